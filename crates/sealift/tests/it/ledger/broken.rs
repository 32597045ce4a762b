//! Runs that are killed at a push, and networks that break off: the next run, on another empty disk, goes on, and nothing is lost
//! or done twice.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::{
    remote::{HTTPS, SSH, Transport},
    team::{Runner, Secrets, Team},
};
use crate::{place::Ran, real};

/// Whether every case is played, or a few of them.
fn every() -> bool {
    std::env::var("SEALIFT_LONG").as_deref() == Ok("1")
}

/// A `git` that kills who started it at its `at`th push, before or after it.
fn deadly_git(directory: &Path, side: &str, at: usize) {
    let git = real::program("git").unwrap();
    let (git, count) = (git.display(), directory.join("pushes"));
    let count = count.display();
    let script = format!(
        r#"#!/bin/sh
case " $* " in *" push "*) ;; *) exec "{git}" "$@" ;; esac
n=$(cat "{count}" 2>/dev/null || echo 0)
echo $((n + 1)) > "{count}"
[ "$n" = {at} ] || exec "{git}" "$@"
[ {side} = before ] && kill -9 $PPID && exit 1
"{git}" "$@"
kill -9 $PPID
"#
    );
    let path = directory.join("git");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a command with a `git` that kills it at a push. Says how it ended and how many pushes it came to.
fn killed_at(runner: &mut Runner, side: &str, at: usize, arguments: &[&str]) -> (Ran, usize) {
    let bin = runner.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    deadly_git(&bin, side, at);
    let path = std::env::var("PATH").unwrap();
    runner.set("PATH", &format!("{}:{path}", bin.display()));
    let ran = runner.run(arguments);
    let pushes = std::fs::read_to_string(bin.join("pushes")).unwrap_or_default();
    (ran, pushes.trim().parse().unwrap_or(0))
}

/// A promotion to production, killed at one push after the other and begun again, until it comes through.
#[test]
fn a_run_that_is_killed_at_a_push_is_gone_on_with_on_an_empty_disk() {
    if !real::is_complete("ledger::killed", &real::absent(&SSH)) {
        return;
    }
    let team = Team::start(Transport::Ssh);
    for (round, side) in ["before", "after"].into_iter().enumerate() {
        // In the short form every third push is met, on one side or on the other.
        let mut at = if every() { 0 } else { round * 3 };
        loop {
            let version = format!("{}.{at}.0", round + 1);
            team.build(&version);
            team.to_staging();
            let id = team.request();
            team.approve();
            let promote = ["promote", "--to", "production"];
            let (first, pushes) = killed_at(&mut team.runner(Secrets::All), side, at, &promote);
            if pushes <= at {
                first.ends(0);
                assert!(at > 3, "a promotion makes some pushes, not {pushes}");
                break;
            }
            assert_eq!(first.code, None, "{side} push {at}: it was killed: {first:?}");
            let second = team.runner(Secrets::All).run(&promote);
            second.ends(0);
            assert_eq!(team.place.answers("production").as_deref(), Some(version.as_str()), "{side} push {at}");
            assert_eq!(team.starts(id), 1, "{side} push {at}: it was deployed once");
            team.audited();
            at += if every() { 1 } else { 6 };
        }
    }
}

/// Passes connections on, and cuts all of them once the client has said so many bytes. Afterwards nobody is let in.
struct Tunnel {
    port: u16,
    left: Arc<AtomicU64>,
}

impl Tunnel {
    fn to(port: u16, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicU64::new(bytes));
        let inside = Arc::clone(&left);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let left = Arc::clone(&inside);
                let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let gone = Arc::clone(&inside);
                thread::spawn(move || answers(back, to, &gone));
                thread::spawn(move || asks(client, server, &left));
            }
        });
        Self { port: own, left }
    }

    /// Whether it has cut anything.
    fn has_cut(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

fn asks(mut client: TcpStream, mut server: TcpStream, left: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let may = left.load(Ordering::SeqCst).min(read as u64);
        left.fetch_sub(may, Ordering::SeqCst);
        let sent = server.write_all(&buffer[..usize::try_from(may).unwrap()]);
        if sent.is_err() || may < read as u64 || left.load(Ordering::SeqCst) == 0 {
            break;
        }
    }
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}

fn answers(mut server: TcpStream, mut client: TcpStream, left: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        // What was asked may have been done, and nobody hears of it any more.
        if left.load(Ordering::SeqCst) == 0 || client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    drop(client.shutdown(Shutdown::Both));
}

#[test]
fn a_network_that_breaks_off_anywhere_loses_and_doubles_nothing() {
    if !real::is_complete("ledger::cut", &real::absent(&HTTPS)) {
        return;
    }
    let mut team = Team::start(Transport::Https);
    let direct = team.remote.store();
    let plain = team.configuration.clone();
    let step = if every() { 2_000 } else { 20_000 };
    let mut bytes = 0;
    for number in 0.. {
        let version = format!("1.{number}.0");
        team.build(&version);
        let tunnel = Tunnel::to(team.remote.port(), bytes);
        team.configuration = plain.replace(&direct, &team.remote.store_through(tunnel.port));
        let cut = team.runner(Secrets::All).run(&["promote", "--to", "staging"]);
        team.configuration.clone_from(&plain);
        if !tunnel.has_cut() {
            cut.ends(0);
            assert!(number > 2, "some bytes are sent, not only {bytes}");
            break;
        }
        assert_ne!(cut.code, Some(0), "after {bytes} bytes: {cut:?}");
        assert!(cut.stderr.contains("E0207") || cut.stderr.contains("E0209"), "after {bytes} bytes: {cut:?}");
        team.runner(Secrets::All).run(&["promote", "--to", "staging"]).ends(0);
        assert_eq!(team.place.answers("staging").as_deref(), Some(version.as_str()), "after {bytes} bytes");
        team.audited();
        bytes += step;
    }
}
