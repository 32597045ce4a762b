//! The web service of the demo: one file, only the standard library, built into a static program by `build.rs`.
//!
//! `GET /` greets, `GET /health` says `{"status":"ok","version":"…"}`. `hello health [PATH]` asks the service on
//! `127.0.0.1:$PORT` for `/health` or that path, and ends with 0 or 1: the health check of a container.
//!
//! Variables that its image sets make a release misbehave:
//!
//! - `NEEDS`, the name of a variable: `/health` answers 503 where that variable is not set. Healthy in one environment,
//!   broken in another.
//! - `DIE_AFTER`: it ends with 1 so many milliseconds after its start; 0 is before it listens.
//! - `UNHEALTHY_AFTER`: `/health` answers 503 from so many milliseconds after its start on.
//! - `SLOW`: each answer takes so many milliseconds more.
//!
//! `hello migrate` stands for a migration: it adds its version as a line to the file that `DATABASE` names. Where `MIGRATION`
//! is `waits` it ends when there is a file of that name and `.go`; where it is `fails` it fails, its work half done.
//!
//! It handles no signal. Where it is process 1 of a container, the kernel therefore ignores SIGTERM for it
//! (pid_namespaces(7)), and only SIGKILL ends it: a service that does not stop when it is asked to.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How long `hello health` waits for an answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a release is like.
struct Release {
    version: String,
    /// The variable that it needs and lacks.
    missing: Option<String>,
    unhealthy_from: Option<Instant>,
    slow: Duration,
}

fn main() {
    let listen = variable("PORT").unwrap_or_default();
    if env::args().nth(1).as_deref() == Some("health") {
        let path = env::args().nth(2).unwrap_or_else(|| "/health".into());
        let healthy = is_healthy(&format!("127.0.0.1:{listen}"), &path).unwrap_or(false);
        std::process::exit(i32::from(!healthy));
    }
    let text = |name: &str| variable(name).unwrap_or_default();
    if env::args().nth(1).as_deref() == Some("migrate") {
        std::process::exit(migrate(&text("VERSION"), &text("DATABASE"), &text("MIGRATION")));
    }
    let started = Instant::now();
    if let Some(after) = milliseconds("DIE_AFTER") {
        die(after);
    }
    let release = Arc::new(Release {
        version: variable("VERSION").unwrap_or_default(),
        missing: variable("NEEDS").filter(|name| env::var(name).is_err()),
        unhealthy_from: milliseconds("UNHEALTHY_AFTER").map(|after| started + after),
        slow: milliseconds("SLOW").unwrap_or_default(),
    });
    let address = format!("{}:{listen}", variable("HOST").unwrap_or_else(|| "0.0.0.0".into()));
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {address}: {error}");
            std::process::exit(1);
        }
    };
    println!("hello {} listens on {address}", release.version);
    if let Some(name) = &release.missing {
        eprintln!("panic: {name} is not set");
    }
    for connection in listener.incoming().flatten() {
        let release = Arc::clone(&release);
        thread::spawn(move || serve(connection, &release));
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that holds a time. What is no number there is a mistake of the image, and ends the service.
fn milliseconds(name: &str) -> Option<Duration> {
    let value = variable(name)?;
    match value.parse() {
        Ok(milliseconds) => Some(Duration::from_millis(milliseconds)),
        Err(error) => {
            eprintln!("{name}={value}: {error}");
            std::process::exit(1);
        }
    }
}

/// Ends the process after a time, at once if that is none.
fn die(after: Duration) {
    let end = move || {
        eprintln!("panic: it ends {} ms after its start", after.as_millis());
        std::process::exit(1);
    };
    if after.is_zero() {
        end();
    }
    thread::spawn(move || {
        thread::sleep(after);
        end();
    });
}

/// Whether the service at this address answers GET for this path with 200.
fn is_healthy(address: &str, path: &str) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
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
fn serve(connection: TcpStream, release: &Release) {
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
        thread::sleep(release.slow);
        let (status, body) = answer(&path, release);
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

fn answer(path: &str, release: &Release) -> (&'static str, String) {
    let unwell = release.missing.is_some() || release.unhealthy_from.is_some_and(|from| Instant::now() >= from);
    let version = &release.version;
    match path {
        "/" => ("200 OK", format!("{{\"hello\":\"world\",\"version\":\"{version}\"}}\n")),
        "/health" if unwell => {
            ("503 Service Unavailable", "{\"status\":\"error\",\"db\":\"unavailable\"}\n".to_owned())
        }
        "/health" => ("200 OK", format!("{{\"status\":\"ok\",\"version\":\"{version}\"}}\n")),
        _ => ("404 Not Found", "{}\n".to_owned()),
    }
}
