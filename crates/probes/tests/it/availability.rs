//! The `availability` watch, in real time.

use std::time::{Duration, Instant};

use sealift_domain::check::AvailabilityCheck;
use sealift_engine::ports::probe::{Availability, Prober, Watch};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{ManualClock, Reply, Request, Server, context, probes};

async fn watch(url: &str, rate: u32) -> Box<dyn Watch> {
    let check: AvailabilityCheck = serde_json::from_value(json!({"availability": url, "rate": rate})).unwrap();
    probes(ManualClock::new()).watch(&check, &context()).await.unwrap()
}

// Waits until the watch shows what is wanted.
async fn until(watch: &dyn Watch, wanted: impl Fn(Availability) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted(watch.so_far()) {
        assert!(Instant::now() < deadline, "{:?}", watch.so_far());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_fresh(request: &Request) -> bool {
    request.header("connection") == Some("close")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_steady_and_half_of_them_on_fresh_connections() {
    let server = Server::start(|_| Reply::text(200, "ok")).await;
    let watch = watch(&server.url, 50).await;
    let begun = Instant::now();
    until(&*watch, |a| a.requests >= 60).await;
    let took = begun.elapsed();
    let counts = watch.stop().await;
    assert!((Duration::from_millis(1100)..Duration::from_secs(10)).contains(&took), "{took:?}");
    assert_eq!(counts.failed, 0);
    let requests = server.requests();
    assert_eq!(requests.len() as u64, counts.requests);
    let fresh = requests.iter().filter(|r| is_fresh(r)).count();
    assert!(fresh.abs_diff(requests.len() - fresh) <= 1, "{fresh} of {}", requests.len());
    let kept_connections = server.connections() - fresh;
    assert!(kept_connections <= 10, "{kept_connections} connections for the kept half");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_do_not_lower_the_rate() {
    let server = Server::start(|_| Reply::status(200).after(1500)).await;
    let watch = watch(&server.url, 50).await;
    let begun = Instant::now();
    until(&*watch, |a| a.requests >= 50).await;
    assert!(begun.elapsed() < Duration::from_millis(1450), "requests waited for answers: {:?}", begun.elapsed());
    let counts = watch.stop().await;
    assert_eq!(counts.failed, 0, "those under way were waited for");
    assert_eq!(server.requests().len() as u64, counts.requests);
    assert!(counts.longest_gap_ms >= 900, "no success yet is a gap: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_count_and_client_errors_do_not() {
    let server = Server::start(|r| Reply::status(if r.nth % 3 == 0 { 502 } else { 404 })).await;
    let watch = watch(&server.url, 200).await;
    until(&*watch, |a| a.requests >= 60).await;
    let counts = watch.stop().await;
    assert_eq!(counts.failed, counts.requests.div_ceil(3), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_counted_and_measured() {
    let server = Server::start(|_| Reply::status(200)).await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let watch = watch(&server.url, 100).await;
    until(&*watch, |a| a.requests >= 10).await;
    assert_eq!(watch.so_far().failed, 0);
    drop(server);
    until(&*watch, |a| a.failed >= 20).await;
    let server = loop {
        match TcpListener::bind(&address).await {
            Ok(listener) => break Server::on(listener, |_| Reply::status(200)),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    until(&*watch, |_| server.requests().len() > 10).await;
    let counts = watch.stop().await;
    assert!(counts.failed >= 20 && counts.failed < counts.requests, "{counts:?}");
    assert!(counts.longest_gap_ms >= 150, "20 failures at 100 a second: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_listening_is_failure_throughout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let watch = watch(&url, 100).await;
    until(&*watch, |a| a.failed >= 20).await;
    let counts = watch.stop().await;
    assert_eq!(counts.failed, counts.requests);
    assert!(counts.longest_gap_ms >= 150, "from the start to the end: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_idle_connections_is_no_failure() {
    let server = Server::start(|r| if is_fresh(r) { Reply::status(200) } else { Reply::ThenClose(200) }).await;
    let watch = watch(&server.url, 50).await;
    until(&*watch, |a| a.requests >= 40).await;
    let counts = watch.stop().await;
    assert_eq!(counts.failed, 0, "{counts:?}");
    assert_eq!(server.connections() as u64, counts.requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_connection_closed_exactly_when_the_request_comes_is_asked_again() {
    for after in [0, 300] {
        let script = move |r: &Request| if r.nth_here > 0 { Reply::Close.after(after) } else { Reply::status(200) };
        let server = Server::start(script).await;
        let watch = watch(&server.url, 50).await;
        until(&*watch, |a| a.retried >= 3).await;
        let counts = watch.stop().await;
        let closed = server.requests().iter().filter(|r| r.nth_here > 0).count() as u64;
        assert_eq!((counts.failed, counts.retried), (0, closed), "closed after {after} ms: {counts:?}");
        assert_eq!(server.requests().len() as u64, counts.requests + closed, "each once more, and on a new connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_that_is_not_answered_well_is_a_failure() {
    // Kept connections are closed at their second request, and new ones that do not stay are refused an answer.
    let script = |r: &Request| match () {
        () if is_fresh(r) => Reply::status(503),
        () if r.nth_here > 0 => Reply::Close,
        () => Reply::status(200),
    };
    let server = Server::start(script).await;
    let watch = watch(&server.url, 50).await;
    until(&*watch, |_| server.requests().iter().filter(|r| r.nth_here > 0).count() >= 3).await;
    let counts = watch.stop().await;
    let fresh = server.requests().iter().filter(|r| is_fresh(r)).count() as u64;
    assert_eq!((counts.failed, counts.retried), (fresh, 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_that_was_to_be_kept_is_not_asked_again() {
    let server = Server::start(|r| if is_fresh(r) { Reply::status(200) } else { Reply::Close }).await;
    let watch = watch(&server.url, 50).await;
    until(&*watch, |a| a.requests >= 20).await;
    let counts = watch.stop().await;
    assert_eq!((counts.failed, counts.retried), (counts.requests.div_ceil(2), 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_on_a_reused_connection_is_a_failure() {
    for broken in ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "nonsense\r\n\r\n"] {
        let script = |r: &Request| if r.nth_here > 0 { Reply::Raw(broken) } else { Reply::status(200) };
        let server = Server::start(script).await;
        let watch = watch(&server.url, 50).await;
        until(&*watch, |_| server.requests().iter().filter(|r| r.nth_here > 0).count() >= 3).await;
        let counts = watch.stop().await;
        let cut = server.requests().iter().filter(|r| r.nth_here > 0).count() as u64;
        assert_eq!((counts.failed, counts.retried), (cut, 0), "{broken:?}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_closed_without_an_answer_is_a_failure() {
    let server = Server::start(|r| if is_fresh(r) { Reply::Close } else { Reply::status(200) }).await;
    let watch = watch(&server.url, 50).await;
    until(&*watch, |a| a.requests >= 20).await;
    let counts = watch.stop().await;
    assert_eq!(counts.failed, counts.requests / 2, "every other request, beginning with a kept one: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_and_a_long_answer_are_successes() {
    let script = |r: &Request| match r.nth % 2 {
        0 => Reply::Answer { status: 302, headers: "location: /x\r\n", body: Vec::new() },
        _ => Reply::text(200, &"x".repeat(100_000)),
    };
    let server = Server::start(script).await;
    let watch = watch(&server.url, 50).await;
    until(&*watch, |a| a.requests >= 20).await;
    assert_eq!(watch.stop().await.failed, 0);
    assert!(server.requests().iter().all(|r| r.head.starts_with("GET / ")));
}

#[tokio::test]
async fn a_watch_that_cannot_be_kept_is_refused() {
    for (url, rate, reason) in [
        ("http://h/", 0, "0 requests a second"),
        ("http://h/", 100_000, "100000 requests a second"),
        ("ftp://h/", 50, "only http and https"),
        ("http://h/{version}", 50, "`{version}` has no value"),
    ] {
        let check = serde_json::from_value(json!({"availability": url, "rate": rate})).unwrap();
        let error = probes(ManualClock::new()).watch(&check, &context()).await.err().unwrap();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_bounded_and_those_beyond_count_as_failed() {
    // Connections wait in the listener's queue, so nothing is ever answered and nothing times out this early.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let begun = Instant::now();
    let watch = watch(&format!("http://{}", listener.local_addr().unwrap()), 1000).await;
    until(&*watch, |a| a.failed > 0).await;
    let counts = watch.so_far();
    assert!(begun.elapsed() < Duration::from_secs(5), "a request timed out before the bound was reached");
    assert!(counts.requests - counts.failed <= 500 && counts.requests > 500, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_watch_sends_nothing_more() {
    let server = Server::start(|_| Reply::status(200)).await;
    let abandoned = watch(&server.url, 100).await;
    until(&*abandoned, |a| a.requests >= 5).await;
    drop(abandoned);
    // The time in which another watch sends twenty requests is enough for one of the first to show.
    let other = Server::start(|_| Reply::status(200)).await;
    let watch = watch(&other.url, 100).await;
    until(&*watch, |a| a.requests >= 5).await;
    let before = server.requests().len();
    until(&*watch, |a| a.requests >= 25).await;
    assert_eq!(server.requests().len(), before);
}
