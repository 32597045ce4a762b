//! A receiver of notices that remembers what it was sent.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;

/// A notice as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    /// The header `webhook-id`.
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Notice>>>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // A last connection ends the wait for one.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (received, over) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (seen, is_over) = (Arc::clone(&received), Arc::clone(&over));
        let thread = thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let seen = Arc::clone(&seen);
                thread::spawn(move || while receive(&connection, &seen).is_some() {});
            }
        });
        Self { port, received, over, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/notices", self.port)
    }

    /// The notices of a promotion in the order of their first arrival. One that came again was the same again.
    pub(crate) fn of(&self, promotion: u64) -> Vec<Notice> {
        let mut first: BTreeMap<String, Notice> = BTreeMap::new();
        let mut order = Vec::new();
        for notice in self.received.lock().unwrap().iter().filter(|notice| notice.body["promotion"] == promotion) {
            match first.get(&notice.id) {
                None => {
                    first.insert(notice.id.clone(), notice.clone());
                    order.push(notice.clone());
                }
                Some(before) => assert_eq!(before, notice, "an id names one notice"),
            }
        }
        let entries: Vec<u64> = order.iter().map(|notice| notice.body["entry"].as_u64().unwrap()).collect();
        assert!(entries.is_sorted_by(|a, b| a < b), "notices of {promotion} out of order: {entries:?}");
        order
    }
}

/// Takes one request (RFC 9112 with a `content-length`) and answers 204; `None` when the client has gone.
fn receive(mut connection: &TcpStream, seen: &Mutex<Vec<Notice>>) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let (mut id, mut length) = (String::new(), 0);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => id = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    // Remembered before it is answered: what was answered was received.
    seen.lock().unwrap().push(Notice { id, body: serde_json::from_slice(&body).ok()? });
    connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()
}
