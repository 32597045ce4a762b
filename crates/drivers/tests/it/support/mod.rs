//! An environment on this machine that cleans up after itself.

pub(crate) mod load;
pub(crate) mod registry;
pub(crate) mod roles;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    future::Future,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sealift_domain::{name::ComponentName, reference::Pinned, release::Release, undo::Observed};
use sealift_drivers::process::{Config, ProcessDriver, stop_agent};
use sealift_engine::ports::driver::{Deployment, Driver, definition_digest};
use serde_json::Value;
use tempfile::TempDir;

use self::registry::FakeRegistry;

/// Runs a test with a deadline.
pub(crate) fn test(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(90), body).await.expect("the test takes too long")
    });
}

/// Waits until `condition` holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("it does not happen: {what}"));
}

/// A port that nobody uses, below those that the system gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 15_000 + (std::process::id() % 150) as u16 * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::SeqCst) % 2000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The command that runs this program as an agent.
pub(crate) fn agent_command() -> Vec<OsString> {
    let me = std::env::current_exe().unwrap();
    let words = ["/usr/bin/env".as_ref(), "SEALIFT_TEST_ROLE=agent".as_ref(), me.as_os_str()];
    words.into_iter().chain(["role", "--exact", "--nocapture"].map(AsRef::as_ref)).map(OsString::from).collect()
}

/// One environment with its registry.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) registry: Arc<FakeRegistry>,
    pub(crate) config: Config,
    pub(crate) driver: ProcessDriver,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(serde_json::json!({}))
    }

    /// An environment with further settings.
    pub(crate) fn with(settings: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = serde_json::json!({
            "listen": free_port(), "ports": [free_port(), free_port()], "state": dir.path().join("state"),
            "health": "/health", "grace": "5s", "drain": "2s", "start_within": "20s",
        });
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(config).unwrap();
        let registry = Arc::new(FakeRegistry::default());
        let driver = ProcessDriver::new(config.clone(), registry.clone(), agent_command()).unwrap();
        Self { dir, registry, config, driver }
    }

    /// Another driver for the same environment, as another run of the command line would have it.
    pub(crate) fn another_driver(&self, agent_command: Vec<OsString>) -> ProcessDriver {
        ProcessDriver::new(self.config.clone(), self.registry.clone(), agent_command).unwrap()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A deployment of an image whose service behaves as `mode` says.
    pub(crate) fn deployment(&self, key: &str, fence: u64, mode: &str) -> Deployment {
        self.deployment_of(key, fence, self.registry.push_service(mode))
    }

    pub(crate) fn deployment_of(&self, key: &str, fence: u64, image: Pinned) -> Deployment {
        Deployment {
            key: key.to_owned(),
            fence,
            app: "shop".parse().unwrap(),
            environment: "staging".parse().unwrap(),
            images: BTreeMap::from([(ComponentName::only(), image)]),
            definition: self.driver.definition().unwrap(),
        }
    }

    /// Deploys and retires what was before.
    pub(crate) async fn go_live(&self, deployment: &Deployment) {
        self.driver.prepare(deployment, &()).await.unwrap();
        assert_eq!(self.driver.switch(deployment, &()).await.unwrap(), running(deployment));
        self.driver.retire(deployment, 2, &()).await.unwrap();
    }

    /// What the front answers to a GET on a fresh connection.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        get(self.config.listen.address().port(), path).await.unwrap()
    }

    /// How often services were started, in order, by key.
    pub(crate) fn starts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.state().join("starts.log")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    }

    /// The process ids of the starts, in order.
    pub(crate) fn started_pids(&self) -> Vec<i32> {
        let text = std::fs::read_to_string(self.state().join("starts.log")).unwrap_or_default();
        text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }

    /// The unpacked images, by digest.
    pub(crate) fn images(&self) -> Vec<String> {
        names(&self.state().join("images")).into_iter().filter(|name| name.len() == 64).collect()
    }

    /// The process id of the agent.
    pub(crate) async fn agent_pid(&self) -> i32 {
        let status = ask(&self.state(), r#"{"version":1,"command":"status"}"#).await.unwrap();
        i32::try_from(status["ok"]["pid"].as_i64().unwrap()).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let state = self.state();
        let stop = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(stop_agent(&state)).unwrap();
        };
        // A thread of its own: the test's may be one of a runtime.
        let stopped = std::thread::spawn(stop).join();
        assert!(stopped.is_ok() || std::thread::panicking(), "the agent does not end");
    }
}

/// What is observed when `deployment` is live.
pub(crate) fn running(deployment: &Deployment) -> Observed {
    let release = Release::new(deployment.images.iter().map(|(name, image)| (name.clone(), image.digest)).collect());
    Observed::Running { release: release.unwrap(), definition: Some(definition_digest(&deployment.definition)) }
}

/// The names in a directory, sorted; none if it does not exist.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// GET on a fresh connection.
pub(crate) async fn get(
    port: u16,
    path: &str,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "shop.test").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}

/// Sends one line to the agent and reads one.
pub(crate) async fn ask(state: &Path, line: &str) -> std::io::Result<Value> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = tokio::net::UnixStream::connect(state.join("agent.sock")).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// Kills a process as a crash would, and waits until it is gone.
pub(crate) async fn kill(pid: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    until("the process is gone", || async move { !alive(pid) }).await;
}

/// Whether a process runs; a zombie does not.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
