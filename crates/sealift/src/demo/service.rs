//! The web service of the demo: one file, only the standard library, built into a static program by `build.rs`.
//!
//! `GET /` greets, `GET /health` says `{"status":"ok","version":"…"}`. A release whose image sets `NEEDS` to the name of a
//! variable answers 503 on `/health` where that variable is not set: healthy in one environment, broken in another.
//!
//! `hello migrate` stands for a migration: it adds its version as a line to the file that `DATABASE` names. Where `MIGRATION`
//! is `waits` it ends when there is a file of that name and `.go`; where it is `fails` it fails, its work half done.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let version = variable("VERSION");
    if env::args().nth(1).as_deref() == Some("migrate") {
        std::process::exit(migrate(&version, &variable("DATABASE"), &variable("MIGRATION")));
    }
    let missing = Some(variable("NEEDS")).filter(|name| !name.is_empty() && env::var(name).is_err());
    let address = format!("{}:{}", env::var("HOST").unwrap_or_else(|_| "0.0.0.0".into()), variable("PORT"));
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {address}: {error}");
            std::process::exit(1);
        }
    };
    println!("hello {version} listens on {address}");
    if let Some(name) = &missing {
        eprintln!("panic: {name} is not set");
    }
    for connection in listener.incoming().flatten() {
        let (version, missing) = (version.clone(), missing.clone());
        thread::spawn(move || serve(connection, &version, missing.as_deref()));
    }
}

/// Migrates `database`, and returns the exit code.
fn migrate(version: &str, database: &str, how: &str) -> i32 {
    println!("migrating to {version}");
    let written = fs::OpenOptions::new().create(true).append(true).open(database);
    if let Err(error) = written.and_then(|mut file| writeln!(file, "{version}")) {
        eprintln!("cannot write {database}: {error}");
        return 1;
    }
    while how == "waits" && !Path::new(&format!("{database}.go")).exists() {
        thread::sleep(Duration::from_millis(20));
    }
    if how == "fails" {
        eprintln!("panic: column `name` exists already");
        return 4;
    }
    0
}

/// Answers the requests of one connection until the client closes it.
fn serve(connection: TcpStream, version: &str, missing: Option<&str>) {
    let Ok(mut answers) = connection.try_clone() else { return };
    let mut requests = BufReader::new(connection);
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split_whitespace().nth(1).unwrap_or("/").to_owned();
        let mut close = false;
        loop {
            let mut header = String::new();
            if requests.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            let header = header.trim().to_ascii_lowercase();
            close |= header == "connection: close";
            if header.is_empty() {
                break;
            }
        }
        let (status, body) = answer(&path, version, missing);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: {}\r\n\r\n",
            body.len(),
            if close { "close" } else { "keep-alive" }
        );
        if answers.write_all(head.as_bytes()).and_then(|()| answers.write_all(body.as_bytes())).is_err() || close {
            return;
        }
    }
}

fn answer(path: &str, version: &str, missing: Option<&str>) -> (&'static str, String) {
    match (path, missing) {
        ("/", _) => ("200 OK", format!("{{\"hello\":\"world\",\"version\":\"{version}\"}}\n")),
        ("/health", None) => ("200 OK", format!("{{\"status\":\"ok\",\"version\":\"{version}\"}}\n")),
        ("/health", Some(_)) => ("503 Service Unavailable", "{\"status\":\"error\",\"db\":\"unavailable\"}\n".to_owned()),
        _ => ("404 Not Found", "{}\n".to_owned()),
    }
}
