//! A bare repository as a forge has one: served by sshd, or by git's own HTTP backend behind an nginx with TLS. Both on loopback.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{nginx, place, real};

/// The branch of the log.
pub(crate) const BRANCH: &str = "sealift";
/// A token that may push.
pub(crate) const WRITES: &str = "ghs_mayReadAndWrite0123456789";
/// A token that may only read.
pub(crate) const READS: &str = "ghs_mayOnlyRead9876543210";
/// How long a server may take until it listens.
const DEADLINE: Duration = Duration::from_secs(30);

/// Programs that a server is made of.
pub(crate) const SSH: [&str; 4] = ["git", "sshd", "ssh", "ssh-keygen"];
/// The same for HTTPS.
pub(crate) const HTTPS: [&str; 4] = ["git", "nginx", "fcgiwrap", "openssl"];

/// How the repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Ssh,
    Https,
}

/// A served repository; its servers end with the test.
pub(crate) struct Remote {
    directory: tempfile::TempDir,
    servers: Vec<Child>,
    transport: Transport,
    port: u16,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Remote {
    /// An empty repository, served.
    pub(crate) fn start(transport: Transport) -> Self {
        let directory = tempfile::tempdir().unwrap();
        nginx::open_to_workers(directory.path());
        let mut remote = Self { directory, servers: Vec::new(), transport, port: place::free_ports()[0] };
        git(remote.directory.path(), &["init", "--quiet", "--bare", "web.git"]);
        // As forges have it: parts of a repository may be asked for.
        git(&remote.repository(), &["config", "uploadpack.allowFilter", "true"]);
        match transport {
            Transport::Ssh => remote.write_sshd(),
            Transport::Https => remote.write_nginx(),
        }
        remote.serve();
        remote
    }

    /// The repository's directory.
    pub(crate) fn repository(&self) -> PathBuf {
        self.path("web.git")
    }

    /// A file beside the repository.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `store` says.
    pub(crate) fn store(&self) -> String {
        self.store_through(self.port)
    }

    /// The same through another port, where something stands between.
    pub(crate) fn store_through(&self, port: u16) -> String {
        let repository = self.repository();
        match self.transport {
            Transport::Ssh => {
                format!("git+ssh://{}@127.0.0.1:{port}{}#{BRANCH}", account(), repository.display())
            }
            Transport::Https => format!("git+https://localhost:{port}/web.git#{BRANCH}"),
        }
    }

    /// Where the server listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a run needs to be let in, with the right to write or without.
    pub(crate) fn access(&self, writes: bool) -> Vec<(String, String)> {
        let named = |name: &str, value: String| (name.to_owned(), value);
        match self.transport {
            Transport::Ssh => {
                let key = self.path(if writes { "writer" } else { "reader" });
                let known = self.path("known_hosts");
                let ssh = format!(
                    "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
                     -o UserKnownHostsFile={}",
                    key.display(),
                    known.display()
                );
                vec![named("GIT_SSH_COMMAND", ssh)]
            }
            Transport::Https => {
                let token = if writes { WRITES } else { READS };
                let authority = self.path("ca.pem").display().to_string();
                vec![named("SEALIFT_GIT_TOKEN", token.to_owned()), named("GIT_SSL_CAINFO", authority)]
            }
        }
    }

    /// Ends the servers: nobody answers any more.
    pub(crate) fn stop(&mut self) {
        for mut server in self.servers.drain(..) {
            // The masters end their workers themselves.
            let process = rustix::process::Pid::from_child(&server);
            if server.try_wait().is_ok_and(|ended| ended.is_none()) {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
            }
            drop(server.wait());
        }
        drop(std::fs::remove_file(self.path("fcgi.sock")));
    }

    /// Starts the servers, with the configuration as it is now.
    pub(crate) fn serve(&mut self) {
        match self.transport {
            Transport::Ssh => {
                let sshd = real::program("sshd").unwrap();
                let mut command = Command::new(sshd);
                command.arg("-D").arg("-e").arg("-f").arg(self.path("sshd_config"));
                self.servers.push(started(command));
            }
            Transport::Https => {
                let mut backend = Command::new(real::program("fcgiwrap").unwrap());
                backend.args(["-c", "4", "-s"]).arg(format!("unix:{}", self.path("fcgi.sock").display()));
                self.servers.push(started(backend));
                wait_until("fcgiwrap has its socket", || self.path("fcgi.sock").exists());
                let mut front = Command::new(real::program("nginx").unwrap());
                front.arg("-p").arg(self.directory.path()).arg("-c").arg(self.path("nginx.conf"));
                front.args(["-g", "daemon off;"]);
                self.servers.push(started(front));
            }
        }
        let port = self.port;
        wait_until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// The commit that the branch is at.
    pub(crate) fn head(&self) -> String {
        git(&self.repository(), &["rev-parse", &format!("refs/heads/{BRANCH}")])
    }

    /// Puts the branch at another commit, as somebody with the right to force a push does.
    pub(crate) fn put_head(&self, commit: &str) {
        git(&self.repository(), &["update-ref", &format!("refs/heads/{BRANCH}"), commit]);
    }

    fn write_sshd(&self) {
        for name in ["host", "writer", "reader"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(self.path(name))
                .stdin(Stdio::null())
                .status();
            assert!(made.unwrap().success());
        }
        let public = |name: &str| std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        let reads = "case $SSH_ORIGINAL_COMMAND in git-upload-pack*) exec git-shell -c \\\"$SSH_ORIGINAL_COMMAND\\\";; \
                     *) echo 'ERROR: Permission to acme/web.git denied to deploy key' >&2; exit 128;; esac";
        let authorized = format!(
            "restrict,command=\"git-shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" {}restrict,command=\"{reads}\" {}",
            public("writer"),
            public("reader")
        );
        std::fs::write(self.path("authorized_keys"), authorized).unwrap();
        let at = self.directory.path().display();
        let port = self.port;
        let configuration = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
             PidFile {at}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             PermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\n"
        );
        std::fs::write(self.path("sshd_config"), configuration).unwrap();
        if rustix::process::geteuid().is_root() {
            // Where sshd, as root, keeps its unprivileged half; the service's own script makes it at boot.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
    }

    fn write_nginx(&self) {
        nginx::make_certificate(self.directory.path());
        let basic = |token: &str| STANDARD.encode(format!("x-access-token:{token}"));
        let at = self.directory.path().display();
        let (port, writes, reads) = (self.port, basic(WRITES), basic(READS));
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let backend = git(self.directory.path(), &["--exec-path"]);
        let configuration = format!(
            r#"{user}worker_processes 2;
pid {at}/nginx.pid;
error_log {at}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log {at}/access.log;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    map_hash_bucket_size 256;
    map $http_authorization $may {{ default ""; "Basic {writes}" write; "Basic {reads}" read; }}
    map "$arg_service$uri" $wants {{ default read; "~git-receive-pack" write; }}
    map "$may:$wants" $verdict {{ default 403; "write:read" 200; "write:write" 200; "read:read" 200; "~^:" 401; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {at}/cert.pem;
        ssl_certificate_key {at}/key.pem;
        client_max_body_size 0;
        location / {{
            if ($verdict = 401) {{ add_header WWW-Authenticate 'Basic realm="git"' always; return 401; }}
            if ($verdict = 403) {{ return 403; }}
            fastcgi_pass unix:{at}/fcgi.sock;
            fastcgi_param SCRIPT_FILENAME {backend}/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT {at};
            fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param REMOTE_USER writer;
            fastcgi_param HTTP_GIT_PROTOCOL $http_git_protocol;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
        }}
    }}
}}
"#
        );
        std::fs::write(self.path("nginx.conf"), configuration).unwrap();
    }
}

fn started(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The account of this process, by its number.
fn account() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What git says, run in a directory; it must succeed.
#[track_caller]
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
