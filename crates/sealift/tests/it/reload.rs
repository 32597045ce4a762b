//! The availability watch through a real nginx that reloads again and again: it closes kept connections while requests are on
//! their way, and no user sees a failure.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use sealift::system::SystemClock;
use sealift_engine::ports::probe::{Availability, CheckContext, Prober, Watch};
use sealift_probes::Probes;

use crate::{place, real};

const RELOADS: u64 = 30;

/// An nginx that answers by itself, over plain HTTP, and closes kept connections about when the next request comes: at 500
/// requests a second, every other one on a kept connection, one comes every 4 ms.
struct Answering {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.command(&["-s", "stop"]);
        drop(self.process.wait());
    }
}

impl Answering {
    fn start() -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), place::free_ports()[0]);
        let text = format!(
            "pid nginx.pid;\nerror_log error.log;\nworker_processes 1;\nevents {{}}\nhttp {{\n  access_log access.log;\n  keepalive_timeout 4ms;\n  \
             server {{\n    listen 127.0.0.1:{port};\n    location / {{ return 200 well; }}\n  }}\n}}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), text).unwrap();
        let process = nginx(directory.path()).args(["-g", "daemon off;"]).stderr(Stdio::null()).spawn().unwrap();
        let answering = Self { process, directory, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        answering
    }

    fn command(&self, arguments: &[&str]) -> bool {
        nginx(self.directory.path()).args(arguments).stderr(Stdio::null()).status().unwrap().success()
    }
}

fn nginx(directory: &Path) -> Command {
    let mut command = Command::new(real::program("nginx").unwrap());
    command.arg("-p").arg(directory).arg("-c").arg(directory.join("nginx.conf"));
    command
}

async fn until(watch: &dyn Watch, wanted: impl Fn(Availability) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted(watch.so_far()) {
        assert!(Instant::now() < deadline, "{:?}", watch.so_far());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn an_nginx_that_reloads_under_traffic_fails_no_request() {
    const TEST: &str = "reload::an_nginx_that_reloads_under_traffic_fails_no_request";
    if !real::is_complete(TEST, &real::absent(&["nginx"])) {
        return;
    }
    let nginx = Answering::start();
    let url = format!("http://127.0.0.1:{}/", nginx.port);
    let check = serde_json::from_value(serde_json::json!({"availability": url, "rate": 500})).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let counts = runtime.block_on(async {
        let probes = Probes::new(Arc::new(SystemClock), BTreeMap::new());
        let watch = probes.watch(&check, &CheckContext::default()).await.unwrap();
        for reload in 1..=RELOADS {
            assert!(nginx.command(&["-s", "reload"]), "reload {reload}");
            let before = watch.so_far().requests;
            until(&*watch, |counts| counts.requests > before + 60).await;
        }
        // Until it was met that a close crossed a request: otherwise nothing would have been tried.
        until(&*watch, |counts| counts.retried > 0).await;
        watch.stop().await
    });
    let log = std::fs::read_to_string(nginx.directory.path().join("access.log")).unwrap();
    let bad = log.lines().filter(|line| !line.contains("\" 200 ")).count();
    assert_eq!((counts.failed, bad), (0, 0), "{counts:?}");
    assert!(counts.requests > RELOADS * 60, "{counts:?}");
}
