//! What stands in front of the releases: an `upstream` block that nginx includes, or a file that somebody else reads.
//!
//! The file is the only truth about which port is live. It is replaced by rename; nginx tests it before it is told to
//! reload, and what was there before is put back if anything is wrong with it.

use std::{fmt::Write, path::PathBuf, time::Duration};

use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{command::Call, config::Nginx, host::Host};
use crate::{failure, files};

/// How long nginx may take for a test or an order.
const QUICK: Duration = Duration::from_secs(30);
/// How long nginx may take until it forwards as it was told.
const RELOAD_WITHIN: Duration = Duration::from_secs(15);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// How long it must say so. Its master starts the new workers, and tells the old ones to go only 100 ms later
/// (`ngx_master_process_cycle`, nginx 1.22): until then both accept connections, and the old ones forward as before.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
/// The largest include file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Where traffic goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The deployment, for people and for nginx's own answer.
    pub(super) key: String,
    /// Its port of 127.0.0.1; `None` sends traffic nowhere.
    pub(super) port: Option<u16>,
    /// The port to fall back to when the first does not accept a connection: the release before, as long as it runs.
    pub(super) backup: Option<u16>,
}

/// The front of one environment.
#[derive(Clone, Debug)]
pub(super) struct Front {
    nginx: Option<Nginx>,
    path: PathBuf,
}

impl Front {
    /// The front that `nginx` describes, or a file in the state directory.
    pub(super) fn new(nginx: Option<Nginx>, host: &Host) -> Self {
        let path = nginx.as_ref().map_or_else(|| host.path("upstream"), |nginx| nginx.include.clone());
        Self { nginx, path }
    }

    /// The port that traffic goes to; `None` if it goes nowhere.
    pub(super) fn live_port(&self) -> Result<Option<u16>, DriverError> {
        Ok(self.read()?.and_then(|bytes| first_port(&String::from_utf8_lossy(&bytes))))
    }

    /// Whether nginx accepts its configuration as it is. Where another hand broke it, nothing may be built on it.
    pub(super) async fn check(&self) -> Result<(), DriverError> {
        let Some(nginx) = &self.nginx else { return Ok(()) };
        let test = test(nginx);
        let ran = test.run().await?;
        if ran.code == Some(0) {
            return Ok(());
        }
        let why = format!(
            "nginx refuses its own configuration, which Sealift has not touched: `{}`: {}",
            test.words(),
            ran.words()
        );
        Err(failure(DriverErrorKind::Switch, why))
    }

    /// Sends traffic to `route`. On error it goes where it went before.
    pub(super) async fn send_to(&self, route: &Route) -> Result<(), DriverError> {
        let before = self.read()?;
        let text = self.render(route);
        if before.as_deref() != Some(text.as_bytes()) {
            self.check_unless_new(before.is_some()).await?;
            self.write(text.as_bytes())?;
        }
        let Some(nginx) = &self.nginx else { return Ok(()) };
        if let Err(error) = reload(nginx).await {
            return Err(self.put_back(nginx, before, error).await);
        }
        self.wait_for(nginx, route).await
    }

    async fn check_unless_new(&self, there: bool) -> Result<(), DriverError> {
        // A site that includes a file which does not exist yet cannot pass its test before the file is written.
        if there { self.check().await } else { Ok(()) }
    }

    async fn put_back(&self, nginx: &Nginx, before: Option<Vec<u8>>, error: DriverError) -> DriverError {
        let restored = match before {
            Some(bytes) => self.write(&bytes),
            None => std::fs::remove_file(&self.path).map_err(|e| self.unwritable(&e)),
        };
        let state = match restored {
            Ok(()) => match reload(nginx).await {
                Ok(()) => "the upstream from before was put back, and nginx goes on with it".to_owned(),
                Err(_) => "the upstream from before was put back; an nginx that runs goes on as it was".to_owned(),
            },
            Err(e) => format!("and the upstream from before could not be put back: {}", e.message),
        };
        failure(DriverErrorKind::Switch, format!("{}; {state}", error.message))
    }

    fn read(&self) -> Result<Option<Vec<u8>>, DriverError> {
        files::read_bounded(&self.path, MAX_FILE)
            .map_err(|e| failure(DriverErrorKind::Switch, format!("{}: {e}", self.path.display())))
    }

    /// The file is for nginx, which may run as somebody else, and its directory is the site's.
    fn write(&self, bytes: &[u8]) -> Result<(), DriverError> {
        files::replace_public(&self.path, bytes).map_err(|e| self.unwritable(&e))
    }

    fn unwritable(&self, error: &std::io::Error) -> DriverError {
        failure(DriverErrorKind::Switch, format!("{} cannot be written: {error}", self.path.display()))
    }

    fn render(&self, route: &Route) -> String {
        match &self.nginx {
            Some(nginx) => upstream(nginx, route),
            None => route.port.map_or_else(String::new, |port| format!("127.0.0.1:{port}\n")),
        }
    }

    /// Waits until nginx itself says that it forwards as it was told, where it has a port to say so.
    async fn wait_for(&self, nginx: &Nginx, route: &Route) -> Result<(), DriverError> {
        let Some(port) = nginx.status_port else { return Ok(()) };
        let deadline = Instant::now() + RELOAD_WITHIN;
        let wanted = stamp(route);
        let mut right_since: Option<Instant> = None;
        loop {
            let said = tokio::time::timeout(QUICK, ask(port)).await.unwrap_or_else(|_| Err("no answer".to_owned()));
            match said {
                Ok(found) if found == wanted => {
                    if right_since.get_or_insert_with(Instant::now).elapsed() >= SETTLED_AFTER {
                        return Ok(());
                    }
                }
                found if Instant::now() >= deadline => {
                    let found = found.unwrap_or_else(|e| e);
                    let why = format!(
                        "nginx was told to forward to {wanted}, and {RELOAD_WITHIN:?} later port {port} says: {found}"
                    );
                    return Err(failure(DriverErrorKind::Switch, why));
                }
                _ => right_since = None,
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

fn test(nginx: &Nginx) -> Call {
    Call::new(&nginx.command, QUICK).args(["-t", "-q"])
}

async fn reload(nginx: &Nginx) -> Result<(), DriverError> {
    test(nginx).succeed(DriverErrorKind::Switch).await?;
    let order = Call::new(&nginx.command, QUICK).args(["-s", "reload"]);
    let ran = order.run().await?;
    if ran.code == Some(0) {
        return Ok(());
    }
    // The configuration passed its test a moment ago, so it is the order that did not arrive.
    let why = format!(
        "nginx accepts its configuration and does not take the order to reload it; does it run? `{}`: {}",
        order.words(),
        ran.words()
    );
    Err(failure(DriverErrorKind::Switch, why))
}

/// The block for nginx (ngx_http_upstream_module, `upstream`, `server`). Names and numbers only: all were checked before.
fn upstream(nginx: &Nginx, route: &Route) -> String {
    let mut text = String::from("# Written by Sealift at every switch; an edit is overwritten.\n");
    let servers = match (route.port, route.backup) {
        // nginx wants a server in each block; one that is down is answered with 502.
        (None, _) => "    server 127.0.0.1:9 down;\n".to_owned(),
        (Some(port), None) => format!("    server 127.0.0.1:{port};\n"),
        (Some(port), Some(backup)) => {
            format!("    server 127.0.0.1:{port} max_fails=0;\n    server 127.0.0.1:{backup} backup;\n")
        }
    };
    let keepalive = nginx.keepalive.map(|n| format!("    keepalive {n};\n")).unwrap_or_default();
    let _ = write!(text, "upstream {} {{\n{servers}{keepalive}}}\n", nginx.upstream);
    if let Some(port) = nginx.status_port {
        let stamp = stamp(route);
        let _ = write!(
            text,
            "server {{\n    listen 127.0.0.1:{port};\n    access_log off;\n    location / {{\n        \
             return 200 \"{stamp}\\n\";\n    }}\n}}\n"
        );
    }
    text
}

/// What nginx answers on its status port.
fn stamp(route: &Route) -> String {
    let port = |port: Option<u16>| port.map_or_else(|| "none".to_owned(), |port| port.to_string());
    format!("{} {} {}", route.key, port(route.port), port(route.backup))
}

/// The port of the first server that is neither a backup nor down, in nginx's syntax or as a bare address.
fn first_port(text: &str) -> Option<u16> {
    let uncommented: String =
        text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    if let Some(port) = uncommented.trim().strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok()) {
        return Some(port);
    }
    uncommented.split(['{', '}', ';']).find_map(|directive| {
        let mut words = directive.split_whitespace();
        let (server, address) = (words.next()?, words.next()?);
        if server != "server" || words.any(|word| word == "backup" || word == "down") {
            return None;
        }
        address.rsplit_once(':')?.1.parse().ok()
    })
}

/// What the status port says. A bare HTTP/1.0 exchange: there is nothing to negotiate with one's own machine.
async fn ask(port: u16) -> Result<String, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|e| e.to_string())?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.take(MAX_FILE).read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
    body.ok_or_else(|| format!("no HTTP answer: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx() -> Nginx {
        Nginx {
            include: "/x".into(),
            upstream: "hello".to_owned(),
            command: vec!["nginx".to_owned()],
            keepalive: Some(8),
            status_port: Some(19),
        }
    }

    fn route(port: Option<u16>, backup: Option<u16>) -> Route {
        Route { key: "p7".to_owned(), port, backup }
    }

    #[test]
    fn the_block_says_where_traffic_goes_and_is_read_back() {
        let text = upstream(&nginx(), &route(Some(18081), Some(18080)));
        insta::assert_snapshot!(text);
        assert_eq!(first_port(&text), Some(18081));
        assert_eq!(first_port(&upstream(&nginx(), &route(Some(18080), None))), Some(18080));
        assert_eq!(first_port(&upstream(&nginx(), &route(None, None))), None);
    }

    #[test]
    fn a_block_of_another_hand_is_understood() {
        let text = "# server 127.0.0.1:1;\nupstream a { zone a 64k; server 127.0.0.1:2 backup;\n server localhost:3000 weight=5; }";
        assert_eq!(first_port(text), Some(3000));
        assert_eq!(first_port("127.0.0.1:18080\n"), Some(18080));
        assert_eq!((first_port(""), first_port("nonsense")), (None, None));
    }
}
