//! A real nginx that ends TLS and passes requests on to one upstream.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{place, real};

/// The name of the upstream that the configuration passes requests to.
pub(crate) const UPSTREAM: &str = "hello";

/// How long it may take to listen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running nginx in a directory of its own; it ends with the test.
pub(crate) struct Nginx {
    process: Child,
    directory: tempfile::TempDir,
    /// Where it listens for TLS.
    pub(crate) port: u16,
}

/// What the access log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    /// The number of requests.
    pub(crate) requests: usize,
    /// The lines of those that were answered with 5xx, or that the client gave up (499).
    pub(crate) failed: Vec<String>,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // One that ended already has no process any more, and its number may be another's.
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.stop();
        }
    }
}

impl Nginx {
    /// Starts one whose upstream is at this address, for instance `127.0.0.1:8080`.
    pub(crate) fn start(upstream: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = place::free_ports()[0];
        make_certificate(directory.path());
        let upstream = format!("upstream {UPSTREAM} {{\n    server {upstream};\n    keepalive 8;\n}}\n");
        std::fs::write(directory.path().join("upstream.conf"), upstream).unwrap();
        std::fs::write(directory.path().join("nginx.conf"), configuration(directory.path(), port)).unwrap();
        // Without the rights to enter the directory, its workers could not write what they buffer.
        open_to_workers(directory.path());
        let mut nginx = Self { process: spawn(directory.path()), directory, port };
        nginx.wait_until_it_listens();
        nginx
    }

    /// Ends it at once; nothing listens any more.
    pub(crate) fn stop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.process);
        // The master ends its workers itself; SIGTERM is its fast shutdown.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        drop(self.process.wait());
    }

    /// Starts it again after [`stop`](Self::stop), with the configuration as it is now.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.directory.path());
        self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended with {ended:?}: {}", self.error_log());
            assert!(Instant::now() < deadline, "nginx does not listen: {}", self.error_log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its configuration, which includes the file with the upstream.
    pub(crate) fn conf(&self) -> PathBuf {
        self.directory.path().join("nginx.conf")
    }

    /// The start of a command line for this nginx, to which `-t` or `-s reload` is added.
    pub(crate) fn argv(&self) -> Vec<String> {
        argv(self.directory.path())
    }

    /// The file with the upstream, which a deployment writes; it is included at the level of `http`.
    pub(crate) fn upstream_conf(&self) -> PathBuf {
        self.directory.path().join("upstream.conf")
    }

    /// The certificate of the authority that its own is signed by.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The address for a path that begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// The version that answers through it; `None` if none does.
    pub(crate) fn version(&self) -> Option<String> {
        let (authority, url) = (self.authority(), self.url("/"));
        let asked =
            Command::new("curl").args(["--silent", "--fail", "--cacert"]).arg(authority).arg(url).output().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&asked.stdout).ok()?;
        Some(body["version"].as_str()?.to_owned())
    }

    /// The requests in the access log, and those of them that failed.
    pub(crate) fn failed_in_log(&self) -> Logged {
        let text = self.access_log();
        let failed = |line: &&str| line.split(' ').next().is_some_and(|s| s == "499" || s.starts_with('5'));
        let failed = text.lines().filter(failed).map(str::to_owned).collect();
        Logged { requests: text.lines().count(), failed }
    }

    /// Empties the access log.
    pub(crate) fn forget_log(&self) {
        // nginx appends to it, so the next line stands at its beginning.
        std::fs::write(self.directory.path().join("access.log"), "").unwrap();
    }

    /// The access log: status, seconds, address of the upstream and request on each line.
    pub(crate) fn access_log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("access.log")).unwrap()
    }

    /// What it complained of.
    pub(crate) fn error_log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }
}

fn spawn(directory: &Path) -> Child {
    let argv = argv(directory);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).args(["-g", "daemon off;"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn argv(directory: &Path) -> Vec<String> {
    let program = real::program("nginx").expect("nginx is there");
    let text = |path: &Path| path.display().to_string();
    vec![text(&program), "-p".to_owned(), text(directory), "-c".to_owned(), text(&directory.join("nginx.conf"))]
}

/// An authority and its certificate for this machine, both valid for a day. They are two, because TLS clients refuse an
/// authority's own certificate as a server's.
pub(crate) fn make_certificate(directory: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["-x509", "-days", "1", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(directory, &[&["req"], &key[..], &authority].concat());
    openssl(
        directory,
        &[&["req"], &key[..], &["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "csr.pem"]].concat(),
    );
    let names = "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
    std::fs::write(directory.join("names"), names).unwrap();
    let sign = ["x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1"];
    openssl(directory, &[&sign[..], &["-days", "1", "-extfile", "names", "-out", "cert.pem"]].concat());
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}

pub(crate) fn open_to_workers(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The whole configuration. Relative paths are relative to the prefix.
fn configuration(directory: &Path, port: u16) -> String {
    let prefix = directory.display();
    // Where it runs as root, its workers would change to an account that may not exist.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        r#"{user}worker_processes 2;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
events {{ worker_connections 1024; }}
http {{
    log_format status '$status $request_time $upstream_addr "$request"';
    access_log {prefix}/access.log status;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include {prefix}/upstream.conf;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {prefix}/cert.pem;
        ssl_certificate_key {prefix}/key.pem;
        location / {{
            proxy_pass http://{UPSTREAM};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_next_upstream error timeout;
        }}
    }}
}}
"#
    )
}
