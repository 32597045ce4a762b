//! Against Debian's `docker-registry`, with `skopeo` as the witness that bytes did not change.

use std::{
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hyper::Method;
use sealift_domain::{
    digest::Digest,
    reference::{Repository, Tag},
};
use sealift_engine::ports::{
    copy::CopyRequest,
    registry::{NewReferrer, Referrer, Registry, RegistryErrorKind, TagMode},
};
use sealift_registry::{
    client::Options,
    credentials::{Credential, CredentialSource},
    image::{Built, Format},
    secret::Secret,
    server::script::{Action, Fault, Nth, status},
};

use crate::support::{client_with, copy, image, multi_platform, server};

/// Both programs, or the reason to skip.
fn programs(test: &str) -> Option<()> {
    let absent: Vec<&str> =
        ["docker-registry", "skopeo", "htpasswd"].into_iter().filter(|name| !in_path(name)).collect();
    if absent.is_empty() {
        return Some(());
    }
    let why = format!("{} not in PATH", absent.join(", "));
    assert_ne!(std::env::var("SEALIFT_REQUIRE_REAL").as_deref(), Ok("1"), "{test}: {why}");
    // Written past the test harness, which keeps what `println!` says in a passing test to itself.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "\nSKIPPED {test}: {why}").unwrap();
    None
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// A running docker-registry; it ends with the test.
struct RealRegistry {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const USER: &str = "ana";
const PASSWORD: &str = "s3cret";

impl RealRegistry {
    fn start(login: bool) -> Self {
        // Another process may take the free port first; then the registry ends and another port is tried.
        for _ in 0..5 {
            if let Some(running) = Self::try_start(login) {
                return running;
            }
        }
        panic!("docker-registry did not start");
    }

    fn try_start(login: bool) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = directory.path().join("config.yml");
        let root = directory.path().join("data");
        let auth = if login { auth(directory.path()) } else { String::new() };
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { process, port, _directory: directory })
    }

    fn repository(&self, name: &str) -> Repository {
        format!("127.0.0.1:{}/{name}", self.port).parse().unwrap()
    }
}

fn auth(directory: &Path) -> String {
    let output = Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]).output().unwrap();
    assert!(output.status.success());
    let file = directory.join("htpasswd");
    std::fs::write(&file, output.stdout).unwrap();
    format!("auth:\n  htpasswd:\n    realm: \"test, realm\"\n    path: {}\n", file.display())
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").arg("--insecure-policy").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A place that skopeo reads: an OCI layout, or for Docker's media types its own `dir:` form.
fn place(image: &Built, format: Format, directory: &Path) -> String {
    if format == Format::Oci {
        image.write_layout(directory, "v1").unwrap();
        return format!("oci:{}:v1", directory.display());
    }
    let write = |name: PathBuf, bytes: &[u8]| std::fs::write(name, bytes).unwrap();
    write(directory.join("version"), b"Directory Transport Version: 1.1\n");
    write(directory.join("manifest.json"), &image.root().unwrap().bytes);
    for bytes in &image.blobs {
        write(directory.join(sealift_domain::digest::Digest::of(bytes).hex()), bytes);
    }
    for raw in &image.manifests {
        write(directory.join(format!("{}.manifest.json", raw.digest.hex())), &raw.bytes);
    }
    format!("dir:{}", directory.display())
}

fn inspect_raw(repository: &Repository, tag: &str, login: bool) -> Vec<u8> {
    let credentials = format!("{USER}:{PASSWORD}");
    let reference = format!("docker://{repository}:{tag}");
    let mut arguments = vec!["inspect", "--raw", "--tls-verify=false"];
    if login {
        arguments.extend(["--creds", &credentials]);
    }
    arguments.push(&reference);
    skopeo(&arguments)
}

async fn promote(image: Built, format: Format) {
    let (a, b) = (RealRegistry::start(false), RealRegistry::start(true));
    let (from, to) = (a.repository("staging/app"), b.repository("production/app"));
    let directory = tempfile::tempdir().unwrap();
    let source = place(&image, format, directory.path());
    let target = format!("docker://{from}:v1");
    skopeo(&["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", &source, &target]);

    let password = Credential::Password { user: USER.to_owned(), password: Secret::new(PASSWORD) };
    let credentials = CredentialSource::none().with(to.registry(), password);
    let client = client_with(Options { credentials, ..Options::default() });
    let v1: Tag = "v1".parse().unwrap();
    assert_eq!(client.resolve(&from, &v1).await.unwrap(), Some(image.digest));
    let read = client.inspect(&from.at(image.digest)).await.unwrap();
    assert!(read.platforms.iter().all(|platform| platform.missing.is_empty()));
    let copied = copy(&client, &from.at(image.digest), &to, &()).await.unwrap();
    assert_eq!(copied.manifests as usize, image.manifests.len());
    assert_eq!(client.resolve(&to, &v1).await.unwrap(), None, "a copy writes no tag");
    client.tag(&to.at(image.digest), &v1, TagMode::Immutable).await.unwrap();
    let (before, after) = (inspect_raw(&from, "v1", false), inspect_raw(&to, "v1", true));
    assert_eq!(before, image.root().unwrap().bytes);
    assert_eq!(before, after);

    let second = b.repository("production/other");
    let mounted = copy(&client, &to.at(image.digest), &second, &()).await.unwrap();
    assert_eq!((mounted.blobs_copied, mounted.bytes), (0, 0));
    assert!(mounted.blobs_mounted > 0);
    let again = copy(&client, &from.at(image.digest), &to, &()).await.unwrap();
    assert_eq!(again.bytes, 0);
}

#[tokio::test]
async fn a_single_oci_image_passes_through_real_registries() {
    if programs("a_single_oci_image_passes_through_real_registries").is_some() {
        promote(image(Format::Oci), Format::Oci).await;
    }
}

#[tokio::test]
async fn an_oci_index_passes_through_real_registries() {
    if programs("an_oci_index_passes_through_real_registries").is_some() {
        promote(multi_platform(Format::Oci), Format::Oci).await;
    }
}

#[tokio::test]
async fn a_docker_schema_2_image_passes_through_real_registries() {
    if programs("a_docker_schema_2_image_passes_through_real_registries").is_some() {
        promote(image(Format::Docker), Format::Docker).await;
    }
}

#[tokio::test]
async fn a_real_registry_refuses_without_login_and_does_not_remove_tags() {
    if programs("a_real_registry_refuses_without_login_and_does_not_remove_tags").is_none() {
        return;
    }
    let (a, b) = (RealRegistry::start(false), RealRegistry::start(true));
    let image = image(Format::Oci);
    let directory = tempfile::tempdir().unwrap();
    let source = place(&image, Format::Oci, directory.path());
    let from = a.repository("app");
    skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", &source, &format!("docker://{from}:v1")]);
    let client = client_with(Options::default());
    let refused = copy(&client, &from.at(image.digest), &b.repository("app"), &()).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Unauthenticated, "{refused}");
    let v1: Tag = "v1".parse().unwrap();
    let refused = client.untag(&from, &v1).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Unsupported, "{refused}");
    assert_eq!(client.resolve(&from, &v1).await.unwrap(), Some(image.digest));
}

#[tokio::test]
async fn what_is_attached_at_a_real_registry_is_found_and_taken_off_again() {
    if programs("what_is_attached_at_a_real_registry_is_found_and_taken_off_again").is_none() {
        return;
    }
    let (a, b) = (server().await, RealRegistry::start(false));
    let image = image(Format::Oci);
    a.push("staging/app", &image, Some("v1"));
    let client = client_with(Options::default());
    let from = a.repository("staging/app").unwrap().at(image.digest);
    let to = b.repository("production/app");
    copy(&client, &from, &to, &()).await.unwrap();
    let at = to.at(image.digest);
    let artifact = |text: &str| NewReferrer {
        artifact_type: "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
        media_type: "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
        bytes: text.to_owned().into(),
        annotations: std::collections::BTreeMap::new(),
    };
    let first = client.attach(&at, &artifact("{}")).await.unwrap();
    let second = client.attach(&at, &artifact("[]")).await.unwrap();
    assert_eq!(client.attach(&at, &artifact("[]")).await.unwrap(), second);
    let listed = |referrers: Vec<Referrer>| referrers.into_iter().map(|r| r.digest).collect::<Vec<_>>();
    assert_eq!(listed(client.referrers(&at).await.unwrap()), [first, second]);
    client.add_envelope(&at, b"{}", "https://x.example/v1").await.unwrap();
    assert_eq!(client.evidence(&at, &[]).await.unwrap().len(), 3);
    client.detach(&at, first).await.unwrap();
    client.drop_envelope(&at, Digest::of(b"{}")).await.unwrap();
    assert_eq!(listed(client.referrers(&at).await.unwrap()), [second]);
    assert_eq!(client.inspect(&at).await.unwrap().digest, image.digest);
}

/// What a source does wrong once has no consequence at a real destination, and a program of somebody else reads all of it back.
#[tokio::test]
async fn faults_at_the_source_leave_no_trace_in_a_real_registry() {
    if programs("faults_at_the_source_leave_no_trace_in_a_real_registry").is_none() {
        return;
    }
    let (a, b) = (server().await, RealRegistry::start(false));
    let image = multi_platform(Format::Oci);
    a.push("staging/app", &image, Some("v1"));
    let layer = |n: usize| format!("*/blobs/{}", Digest::of(&image.blobs[n]));
    a.script(Fault::new(&layer(1), Action::Truncate(100_000)).method(Method::GET).nth(Nth::Only(1)));
    a.script(Fault::new(&layer(4), status(503)).method(Method::GET).nth(Nth::Only(1)));
    a.script(Fault::new("*/manifests/sha256:*", status(503)).method(Method::GET).nth(Nth::Only(1)));
    let to = b.repository("production/app");
    let from = format!("{}/staging/app:v1", a.address()).parse().unwrap();
    let request = CopyRequest::new(from, to.clone()).tagged(Some("v1".parse().unwrap()));
    let copied = client_with(Options::default()).copy(&request, &()).await.unwrap();
    assert_eq!(copied.digest, image.digest);
    let raw = inspect_raw(&to, "v1", false);
    assert_eq!(crate::honest::digest(&raw), image.digest.to_string());

    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (format!("docker://{to}:v1"), format!("dir:{}", directory.path().display()));
    skopeo(&["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &source, &target]);
    for bytes in &image.blobs {
        let read = std::fs::read(directory.path().join(Digest::of(bytes).hex())).unwrap();
        assert_eq!(read, bytes.to_vec());
    }
    for raw in image.manifests.iter().filter(|raw| raw.digest != image.digest) {
        let read = std::fs::read(directory.path().join(format!("{}.manifest.json", raw.digest.hex()))).unwrap();
        assert_eq!(read, raw.bytes.to_vec());
    }
    assert_eq!(std::fs::read(directory.path().join("manifest.json")).unwrap(), raw);
}
