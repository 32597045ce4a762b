//! A forward proxy that knows where names are, as the proxy of a company does.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A running proxy. Its threads end with the connections, the listener with the test's process.
pub(crate) struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that leads to these hosts, each with the address at which it really is, and to no other.
    pub(crate) fn start(hosts: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hosts: BTreeMap<String, String> =
            hosts.iter().map(|(host, address)| ((*host).to_owned(), (*address).to_owned())).collect();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (hosts, log) = (hosts.clone(), Arc::clone(&log));
                // A client that goes away early is no failure of the proxy's.
                thread::spawn(move || client.and_then(|client| serve(client, &hosts, &log)));
            }
        });
        Self { address, asked }
    }

    /// How clients name it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of the connections so far, without the version, for instance `CONNECT registry.test:443`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Passes one connection on. Requests in absolute form (RFC 9112, section 3.2.2) are passed on as they are: servers must
/// take them.
fn serve(mut client: TcpStream, hosts: &BTreeMap<String, String>, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let head = head(&mut client)?;
    let text = String::from_utf8_lossy(&head);
    let line = text.lines().next().unwrap_or_default();
    let line = line.rsplit_once(' ').map_or(line, |(line, _)| line);
    log.lock().unwrap().push(line.to_owned());
    let (method, target) = line.split_once(' ').unwrap_or_default();
    let authority = target.strip_prefix("http://").unwrap_or(target).split('/').next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    let Some(address) = hosts.get(host) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    };
    let mut server = TcpStream::connect(address)?;
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        server.write_all(&head)?;
    }
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        to.shutdown(Shutdown::Write)
    });
    drop(io::copy(&mut server, &mut client));
    client.shutdown(Shutdown::Write)?;
    there.join().unwrap()
}

/// Everything up to and with the empty line, and nothing of what follows.
fn head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}
