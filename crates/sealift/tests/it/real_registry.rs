//! Debian's `docker-registry`, and `skopeo` as a witness from outside.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sealift_domain::digest::Digest;
use sealift_registry::image::{Built, Format};

use crate::real;

/// Whether `docker-registry` and `skopeo` are there; see [`real::is_complete`].
pub(crate) fn are_there(test: &str) -> bool {
    real::is_complete(test, &real::absent(&["docker-registry", "skopeo"]))
}

/// The file that its standard output goes to.
const LOG: &str = "log";

/// A running docker-registry; it ends with the test.
pub(crate) struct RealRegistry {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl RealRegistry {
    /// Starts one with nothing in it.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines under `http` of its configuration.
    pub(crate) fn start_with(http: &str) -> Self {
        // Another process may take the free port first; then the registry ends and another port is tried.
        (0..5).find_map(|_| Self::try_start(http)).expect("docker-registry starts")
    }

    fn try_start(http: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = directory.path().join("config.yml");
        let root = directory.path().join("data");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{http}",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(directory.path().join(LOG)).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { process, port, directory })
    }

    /// The requests that it answered, in the combined format of web servers.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Stops it; what it holds stays.
    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", self.port)).is_err(), "port {} still answers", self.port);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Has skopeo push an image under a tag.
    pub(crate) fn push(&self, image: &Built, format: Format, tag: &str) {
        let directory = tempfile::tempdir().unwrap();
        let source = lay_out(image, format, directory.path());
        let target = format!("docker://{}/hello:{tag}", self.address());
        skopeo(&["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", &source, &target]);
    }

    /// The bytes of the manifest that a tag or digest (`:tag`, `@sha256:…`) names, as skopeo gets them.
    pub(crate) fn raw(&self, which: &str) -> Vec<u8> {
        let reference = format!("docker://{}/hello{which}", self.address());
        skopeo(&["inspect", "--raw", "--tls-verify=false", &reference])
    }

    /// Has it forget the bytes of a blob (OCI Distribution Specification 1.1, "Deleting Blobs").
    pub(crate) fn remove_blob(&self, digest: Digest) {
        let answer = self.ask(&format!("DELETE /v2/hello/blobs/{digest}"));
        assert!(answer.starts_with("HTTP/1.1 202 "), "{digest}: {answer}");
    }

    /// The tags as it lists them itself, sorted; none if there is no such repository or it has no tag.
    pub(crate) fn all_tags(&self) -> Vec<String> {
        let answer = self.ask("GET /v2/hello/tags/list");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if head.starts_with("HTTP/1.1 404 ") {
            return Vec::new();
        }
        let listed: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let mut tags: Vec<String> = serde_json::from_value(listed["tags"].clone()).unwrap_or_default();
        tags.sort();
        tags
    }

    /// One request, given by method and path, and its whole answer.
    fn ask(&self, what: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!("{what} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The tags, as skopeo lists them.
    pub(crate) fn tags(&self) -> Vec<String> {
        let listed = skopeo(&["list-tags", "--tls-verify=false", &format!("docker://{}/hello", self.address())]);
        let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
        let mut tags: Vec<String> = serde_json::from_value(listed["Tags"].clone()).unwrap();
        tags.sort();
        tags
    }
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").arg("--insecure-policy").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Writes an image to where skopeo reads it: an OCI layout, or for Docker's media types its own `dir:` form.
fn lay_out(image: &Built, format: Format, directory: &Path) -> String {
    if format == Format::Oci {
        image.write_layout(directory, "v1").unwrap();
        return format!("oci:{}:v1", directory.display());
    }
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.join(name), bytes).unwrap();
    write("version", b"Directory Transport Version: 1.1\n");
    write("manifest.json", &image.root().unwrap().bytes);
    for bytes in &image.blobs {
        write(&Digest::of(bytes).hex(), bytes);
    }
    format!("dir:{}", directory.display())
}
