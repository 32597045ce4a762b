//! A `docker-registry` process of this run.

use std::{
    collections::BTreeMap,
    fs::File,
    io::ErrorKind,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::Failed;

/// How long it may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// Its log counts as complete when nothing was added for so long: a request is logged after its answer was sent.
const QUIET: Duration = Duration::from_millis(100);

/// The requests of a time: how many by method and status, such as `HEAD 404`.
pub(crate) type Requests = BTreeMap<String, usize>;

/// The process. It ends when this is dropped.
pub(crate) struct Registry {
    child: Child,
    directory: PathBuf,
    /// `host:port`
    pub(crate) address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether it can be run.
pub(crate) fn installed() -> bool {
    Command::new("docker-registry").arg("--version").output().is_ok_and(|output| output.status.success())
}

impl Registry {
    /// Starts one with this directory for itself, on a free port.
    pub(crate) async fn start(directory: &Path) -> Result<Self, Failed> {
        std::fs::create_dir_all(directory)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let configuration = directory.join("config.yml");
        std::fs::write(&configuration, self::configuration(directory, &address))?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(File::create(directory.join("access.log"))?)
            .stderr(File::create(directory.join("errors.log"))?)
            .spawn()
            .map_err(|error| {
                format!("docker-registry cannot be started (`scripts/setup test` installs it): {error}")
            })?;
        let mut registry = Self { child, directory: directory.to_owned(), address };
        registry.listens().await?;
        Ok(registry)
    }

    async fn listens(&mut self) -> Result<(), Failed> {
        let until = Instant::now() + STARTS_WITHIN;
        while tokio::net::TcpStream::connect(&self.address).await.is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(self.directory.join("errors.log")).unwrap_or_default();
                return Err(format!("docker-registry does not listen on {}: {said}", self.address).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Where the log ends, once everything is in it.
    pub(crate) async fn mark(&self) -> Result<u64, Failed> {
        let log = self.directory.join("access.log");
        let mut size = std::fs::metadata(&log)?.len();
        loop {
            tokio::time::sleep(QUIET).await;
            let now = std::fs::metadata(&log)?.len();
            if now == size {
                return Ok(size);
            }
            size = now;
        }
    }

    /// The requests that were answered between two marks.
    pub(crate) fn requests(&self, from: u64, to: u64) -> Result<Requests, Failed> {
        let log = std::fs::read(self.directory.join("access.log"))?;
        let (from, to) = (usize::try_from(from)?, usize::try_from(to)?);
        let mut requests = Requests::new();
        for line in String::from_utf8_lossy(log.get(from..to).ok_or("the log became shorter")?).lines() {
            *requests.entry(request(line).ok_or_else(|| format!("not a line of a log: {line}"))?).or_default() += 1;
        }
        Ok(requests)
    }

    /// Removes every image. It has no cache, so it knows at once.
    pub(crate) fn wipe(&self) -> Result<(), Failed> {
        self.remove("docker")
    }

    /// Removes a repository and keeps the blobs, which other repositories may have.
    pub(crate) fn forget(&self, repository: &str) -> Result<(), Failed> {
        self.remove(&format!("docker/registry/v2/repositories/{repository}"))
    }

    fn remove(&self, path: &str) -> Result<(), Failed> {
        match std::fs::remove_dir_all(self.directory.join("storage").join(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Locations of uploads are relative, so that they lead through the proxy again. There is no cache of what blobs exist, since
/// blobs are removed behind the registry's back.
fn configuration(directory: &Path, address: &str) -> String {
    format!(
        r#"version: 0.1
log: {{level: error, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: "{}"}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: "{address}", relativeurls: true}}
"#,
        directory.join("storage").display()
    )
}

/// Method and status of a line in Apache's "combined" format, `… "GET /v2/ HTTP/1.1" 200 2 …`.
fn request(line: &str) -> Option<String> {
    let (request, rest) = line.split_once('"')?.1.split_once("\" ")?;
    Some(format!("{} {}", request.split(' ').next()?, rest.split(' ').next()?))
}
