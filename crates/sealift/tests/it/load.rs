//! Steady requests through TLS while something else happens, as users make them: half of them on kept connections, half on
//! new ones.
//!
//! A kept connection that the server closed between two requests is no failed request: a client sends a GET again
//! (RFC 9112 section 9.3.1), and no user sees anything. So one that ends before any byte of an answer is asked again once, on
//! a new connection; it is a success if that one answers, and counted as retried. Everything else that is not 200, and whatever
//! happens to a new connection, is a failure. A request that a server took and dropped looks the same from here: the
//! server's log is to be looked at as well.
//!
//! It is no user of `sealift-probes`: what availability checks find should not be measured by themselves. The availability
//! watch follows the same rule.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde::Deserialize;

const PROGRAM: &str = include_str!("load.py");

/// What the requests came to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Found {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Those that were made again because their kept connection had been closed.
    pub(crate) retried: u64,
    /// The longest time without a success, in milliseconds, from the start to the end.
    pub(crate) longest_gap_ms: u64,
    /// The first failures: when, on what connection, and why.
    pub(crate) words: Vec<String>,
}

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
    /// Asks `url` so often a second, trusting this certificate as an authority. Returns after the first successes.
    pub(crate) fn start(url: &str, rate: u32, authority: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM, url, &rate.to_string()])
            .arg(authority)
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
    pub(crate) fn stop(mut self) -> Found {
        drop(self.child.stdin.take());
        let said = self.next();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn next(&mut self) -> String {
        self.lines.next().expect("it says something before it ends").unwrap()
    }
}
