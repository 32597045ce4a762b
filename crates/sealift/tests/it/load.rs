//! Steady requests through TLS while something else happens: users, as the availability watch of `sealift-probes` plays them.
//!
//! Every other request is made on a new connection, the others on kept ones. A kept connection that the server closed between
//! two requests is no failed request: a client sends a GET again (RFC 9112 section 9.3.1) and no user sees anything. The
//! watch counts a kept connection that breaks as failed all the same when it broke later than the quickest answer came,
//! because by then the server had the request. Answers with 5xx, timeouts and refused connections are failures.
//!
//! It runs in a process of its own, because that is how a test's certificate becomes an authority: `SSL_CERT_FILE`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use sealift::system::SystemClock;
use sealift_domain::check::AvailabilityCheck;
use sealift_engine::ports::probe::{Availability, CheckContext, Prober};

/// The address that the child asks. Without it, the child does nothing.
const URL: &str = "SEALIFT_TEST_LOAD_URL";
/// How many requests a second it makes.
const RATE: &str = "SEALIFT_TEST_LOAD_RATE";
/// What the child's lines begin with, since the test harness prints lines too.
const MARK: &str = "load: ";

/// Requests under way.
pub(crate) struct Load {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Load {
    /// Asks `url` so often a second, trusting this certificate as an authority. Returns after the first success.
    pub(crate) fn start(url: &str, rate: u32, authority: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["load::child", "--exact", "--nocapture"])
            .env(URL, url)
            .env(RATE, rate.to_string())
            .env("SSL_CERT_FILE", authority)
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut load = Self { child, lines };
        assert_eq!(load.next(), "started");
        load
    }

    /// Ends it, and says what the requests came to.
    pub(crate) fn stop(mut self) -> Availability {
        drop(self.child.stdin.take());
        let said = self.next();
        let numbers: Vec<u64> = said.split(' ').map(|n| n.parse().unwrap()).collect();
        let [requests, failed, longest_gap_ms] = numbers[..] else { panic!("three numbers: {said}") };
        Availability { requests, failed, longest_gap_ms }
    }

    fn next(&mut self) -> String {
        let line = self.lines.find_map(|line| Some(line.unwrap().split_once(MARK)?.1.to_owned()));
        line.expect("the child says something before it ends")
    }
}

/// No test of its own: the process that makes the requests until its standard input ends.
#[test]
fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let rate = std::env::var(RATE).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let probes = sealift_probes::Probes::new(Arc::new(SystemClock), Default::default());
        let check = AvailabilityCheck { availability: url, min: Default::default(), rate };
        let watch = probes.watch(&check, &CheckContext::default()).await.unwrap();
        let first = async {
            while watch.so_far().requests <= watch.so_far().failed + 1 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        // Where nothing ever succeeds, the counts say so.
        drop(tokio::time::timeout(std::time::Duration::from_secs(10), first).await);
        say("started");
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        watch.stop().await
    });
    say(&format!("{} {} {}", found.requests, found.failed, found.longest_gap_ms));
}

fn say(text: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{MARK}{text}").unwrap();
    stdout.flush().unwrap();
}
