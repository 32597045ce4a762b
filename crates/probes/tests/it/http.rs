//! The `http` check.

use std::sync::Arc;

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::{ManualClock, NoLogs, RealClock, Reply, Server, run};

fn manual() -> Arc<ManualClock> {
    ManualClock::new()
}

#[tokio::test]
async fn an_endpoint_that_becomes_good_and_stays_so_passes() {
    let server = Server::start(|r| Reply::status(if r.nth < 12 { 503 } else { 200 })).await;
    let url = format!("{}/health", server.url);
    let result = run(json!({"http": url, "within": "1m", "stable_for": "30s"}), manual(), &NoLogs).await;
    assert!(result.passed, "{result:?}");
    assert_eq!(result.check, format!("http {url}"));
    assert_eq!(result.found, "200 after 1.2 s, stable for 30 s");
    assert!(result.output.is_empty());
    assert_eq!(server.requests().len(), 13 + 30);
    assert_eq!(server.connections(), 13 + 30, "each request has a connection of its own");
}

#[tokio::test]
async fn without_a_stable_window_the_first_good_answer_passes() {
    let server = Server::start(|_| Reply::status(204)).await;
    let result = run(json!({"http": server.url, "status": 204}), manual(), &NoLogs).await;
    assert_eq!((result.passed, result.found.as_str()), (true, "204 after 0 ms"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_never_becomes_good_fails_with_its_last_answer() {
    let server = Server::start(|_| Reply::Answer {
        status: 503,
        headers: "x-why: \x09disk\r\nset-cookie: session=secret\r\n",
        body: br#"{"status":"error"}"#.to_vec(),
    })
    .await;
    let result = run(json!({"http": server.url, "within": "30s"}), manual(), &NoLogs).await;
    assert_eq!((result.passed, result.found.as_str()), (false, r#"503 {"status":"error"} for 30 s"#));
    let output = String::from_utf8(result.output).unwrap();
    assert!(output.starts_with("HTTP/1.1 503"), "{output}");
    assert!(output.contains("x-why: disk\r\n") && output.ends_with("\r\n\r\n{\"status\":\"error\"}"), "{output}");
    assert!(!output.contains("secret"), "{output}");
    let asked = server.requests().len();
    assert!((45..=55).contains(&asked), "{asked} requests: every 100 ms at first, then about one a second");
}

#[tokio::test]
async fn a_failure_within_the_stable_window_fails_the_check() {
    let server = Server::start(|r| Reply::text(if r.nth == 5 { 500 } else { 200 }, "oops")).await;
    let result = run(json!({"http": server.url, "stable_for": "10s"}), manual(), &NoLogs).await;
    assert_eq!((result.passed, result.found.as_str()), (false, "500 oops, after 2.5 s of good answers"));
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_failure_at_the_very_end_of_the_stable_window_counts() {
    let server = Server::start(|r| Reply::status(if r.nth == 20 { 500 } else { 200 })).await;
    let result = run(json!({"http": server.url, "stable_for": "10s"}), manual(), &NoLogs).await;
    assert_eq!((result.passed, result.found.as_str()), (false, "500, after 10 s of good answers"));
}

#[tokio::test]
async fn json_fields_and_placeholders_are_compared() {
    let server = Server::start(|_| Reply::text(200, r#"{"app":{"version":"0123456789abcdef"},"ok":true}"#)).await;
    let good = json!({"http": server.url, "json": {"app.version": "{commit}", "ok": true}});
    assert!(run(good, manual(), &NoLogs).await.passed);
    let bad = json!({"http": server.url, "within": "1s", "json": {"app.version": "{commit7}"}});
    let result = run(bad, manual(), &NoLogs).await;
    assert!(!result.passed);
    assert!(result.found.contains(r#"(`app.version` is "0123456789abcdef", expected "0123456")"#), "{}", result.found);
}

#[tokio::test]
async fn a_placeholder_without_value_fails_before_any_request() {
    let server = Server::start(|_| Reply::status(200)).await;
    let result = run(json!({"http": server.url, "json": {"v": "{version}"}}), manual(), &NoLogs).await;
    assert!(!result.passed);
    assert!(result.found.starts_with("`{version}` has no value here"), "{}", result.found);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let redirect = |_: &_| Reply::Answer { status: 302, headers: "location: /there\r\n", body: Vec::new() };
    let server = Server::start(redirect).await;
    assert!(run(json!({"http": server.url, "status": 302}), manual(), &NoLogs).await.passed);
    let result = run(json!({"http": server.url, "within": "1s"}), manual(), &NoLogs).await;
    assert_eq!((result.passed, result.found.as_str()), (false, "302 (expected 200) for 1 s"));
    assert!(server.requests().iter().all(|r| r.head.starts_with("GET / ")));
}

#[tokio::test]
async fn a_long_body_is_cut() {
    let server = Server::start(|_| Reply::text(500, &"x".repeat(1_000_000))).await;
    let result = run(json!({"http": server.url, "within": "1s"}), manual(), &NoLogs).await;
    assert!(!result.passed && result.found.len() < 1000);
    assert_eq!(result.output.len(), 64 * 1024);
}

#[tokio::test]
async fn a_refused_connection_is_told_without_the_secret_parts_of_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:secret@{}/?token=secret", listener.local_addr().unwrap());
    drop(listener);
    let result = run(json!({"http": url, "within": "1s"}), manual(), &NoLogs).await;
    assert!(!result.passed);
    assert!(result.found.starts_with("cannot connect: ") && result.found.ends_with(" for 1 s"), "{}", result.found);
    assert!(!format!("{result:?}").contains("secret"), "{result:?}");
}

#[tokio::test]
async fn a_request_never_outlasts_the_window_and_the_answer_before_it_is_told() {
    let server =
        Server::start(|r| if r.nth == 0 { Reply::text(503, "starting") } else { Reply::status(200).after(60_000) });
    let server = server.await;
    let begun = std::time::Instant::now();
    let result = run(json!({"http": server.url, "within": "600ms"}), Arc::new(RealClock), &NoLogs).await;
    assert!(!result.passed);
    assert!(result.found.starts_with("503 starting for "), "{}", result.found);
    assert!(begun.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_told() {
    let server = Server::start(|_| Reply::status(200).after(60_000)).await;
    let result = run(json!({"http": server.url, "within": "300ms"}), Arc::new(RealClock), &NoLogs).await;
    assert!(result.found.starts_with("no answer in time for "), "{}", result.found);
}

#[tokio::test]
async fn tls_towards_a_server_without_it_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    };
    let result = tokio::select! {
        result = run(json!({"http": url, "within": "1s"}), manual(), &NoLogs) => result,
        () = server => unreachable!("the server never ends"),
    };
    assert!(!result.passed);
    // The second is told on a machine without root certificates.
    let told = ["cannot connect: ", "the HTTP client cannot be set up: "];
    assert!(told.iter().any(|start| result.found.starts_with(start)), "{}", result.found);
}
