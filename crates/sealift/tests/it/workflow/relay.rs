//! A relay in front of a registry that breaks connections, or answers itself, when certain requests come.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What becomes of a request that is met.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Its connection is closed without an answer.
    Cut,
    /// This is the answer, and the connection is closed; the registry never hears of it.
    Answer(String),
}

/// Requests to meet, by what they begin with, for instance `POST /v2/hello/blobs/uploads/`.
#[derive(Clone, Debug)]
struct Trap {
    begins: String,
    /// What else must stand in it, for instance who asks.
    holds: String,
    fate: Fate,
    /// How many more are met.
    left: usize,
    met: usize,
}

/// Relays connections until the test process ends.
pub(crate) struct Relay {
    port: u16,
    trap: Arc<Mutex<Option<Trap>>>,
}

impl Relay {
    /// Relays to `upstream`, for instance `127.0.0.1:5000`.
    pub(crate) fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let trap = Arc::new(Mutex::new(None));
        let (inside, upstream) = (Arc::clone(&trap), upstream.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let trap = Arc::clone(&inside);
                let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass_back(back, to));
                thread::spawn(move || pass_on(client, server, &trap));
            }
        });
        Self { port, trap }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Meets the next `most` requests that begin so.
    pub(crate) fn meet(&self, begins: &str, most: usize, fate: Fate) {
        self.meet_with(begins, "", most, fate);
    }

    /// The same for requests of the container engine, which says in `User-Agent` that it asks.
    pub(crate) fn meet_engine(&self, begins: &str, fate: Fate) {
        self.meet_with(begins, "docker/", usize::MAX, fate);
    }

    fn meet_with(&self, begins: &str, holds: &str, most: usize, fate: Fate) {
        let trap = Trap { begins: begins.to_owned(), holds: holds.to_owned(), fate, left: most, met: 0 };
        *self.trap.lock().unwrap() = Some(trap);
    }

    /// How many requests were met since then.
    pub(crate) fn met(&self) -> usize {
        self.trap.lock().unwrap().as_ref().map_or(0, |trap| trap.met)
    }
}

fn pass_back(mut server: TcpStream, mut client: TcpStream) {
    // Either side may have gone; then the other one is told.
    drop(std::io::copy(&mut server, &mut client));
    drop(client.shutdown(Shutdown::Both));
}

/// Passes on what the client says. A request begins where the client begins to speak again, since HTTP/1.1 clients wait for
/// an answer before they ask the next thing.
fn pass_on(mut client: TcpStream, mut server: TcpStream, trap: &Mutex<Option<Trap>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        if let Some(fate) = meet(trap, &buffer[..read]) {
            if let Fate::Answer(answer) = fate {
                drop(client.write_all(answer.as_bytes()));
            }
            drop(client.shutdown(Shutdown::Both));
            drop(server.shutdown(Shutdown::Both));
            return;
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    drop(server.shutdown(Shutdown::Write));
}

fn meet(trap: &Mutex<Option<Trap>>, said: &[u8]) -> Option<Fate> {
    let mut trap = trap.lock().unwrap();
    let trap = trap.as_mut().filter(|trap| trap.left > 0 && said.starts_with(trap.begins.as_bytes()))?;
    if !String::from_utf8_lossy(said).contains(&trap.holds) {
        return None;
    }
    trap.left -= 1;
    trap.met += 1;
    Some(trap.fate.clone())
}
