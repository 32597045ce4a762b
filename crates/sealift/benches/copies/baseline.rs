//! The least that a copy has to do: SHA-256 of the bytes, and once from one socket to another.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
};

use sha2::{Digest as _, Sha256};

use crate::{
    Failed,
    launch::{self, Ran},
};

/// The word that asks for [`hash_and_relay`].
pub(crate) const MODE: &str = "--hash-and-relay";

/// What is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// The hidden mode, a process of its own: receives from one local socket, hashes, sends to another. `words` are both
/// addresses.
pub(crate) fn hash_and_relay(words: &[String]) -> Result<(), Failed> {
    let [source, sink] = words else { return Err("two addresses are missing".into()) };
    let (mut source, mut sink) = (TcpStream::connect(source)?, TcpStream::connect(sink)?);
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let n = source.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        sink.write_all(&buffer[..n])?;
    }
    std::io::stdout().write_all(format!("{:x}\n", hash.finalize()).as_bytes())?;
    Ok(())
}

/// What that takes for so many bytes. Both other ends are threads of this process.
pub(crate) async fn measure(home: &Path, bytes: u64) -> Result<Ran, Failed> {
    let (source, sink) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let program = std::env::current_exe()?.display().to_string();
    let addresses = [source.local_addr()?.to_string(), sink.local_addr()?.to_string()];
    let feeder = tokio::task::spawn_blocking(move || feed(&source, bytes));
    let drain = tokio::task::spawn_blocking(move || swallow(&sink));
    let [from, to] = addresses;
    let ran = launch::measure(home, &[program, MODE.to_owned(), from, to]).await?;
    feeder.await??;
    let arrived = drain.await??;
    if arrived == bytes { Ok(ran) } else { Err(format!("{arrived} of {bytes} bytes were relayed").into()) }
}

fn feed(source: &TcpListener, bytes: u64) -> std::io::Result<()> {
    let (mut stream, _) = source.accept()?;
    let piece = vec![0x5A; PIECE];
    let mut left = bytes;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        stream.write_all(&piece[..n])?;
        left -= n as u64;
    }
    Ok(())
}

fn swallow(sink: &TcpListener) -> std::io::Result<u64> {
    let (mut stream, _) = sink.accept()?;
    let (mut buffer, mut all) = (vec![0; PIECE], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(all),
            n => all += n as u64,
        }
    }
}
