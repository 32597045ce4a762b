//! The nginx in front of production, with a directory of its own.

use std::{
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{diagnostic::Diagnostic, failure};

/// The file with the upstream, which a deployment writes, as seen from the demo's directory.
pub(super) const INCLUDE: &str = "nginx/upstream.conf";
/// The name of the upstream.
pub(super) const UPSTREAM: &str = "hello";
/// How long it may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);
/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running nginx. It ends when this is dropped.
pub(super) struct Nginx {
    process: Child,
    argv: Vec<String>,
}

/// Where the program is: in `path`, or in the directories for daemons, which not every account has in its `PATH`.
pub(super) fn program(path: &str) -> Option<String> {
    let directories = std::env::split_paths(path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let file = directories.map(|directory| directory.join("nginx")).find(|file| file.is_file())?;
    file.to_str().map(str::to_owned)
}

/// Its version: it says `nginx version: nginx/1.22.1` on standard error.
pub(super) fn version(program: &str) -> Option<String> {
    let said = Command::new(program).arg("-v").stdin(Stdio::null()).output().ok()?.stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_once("nginx/")?.1.split_whitespace().next().map(str::to_owned)
}

impl Nginx {
    /// Starts one in `directory` that listens on this port of 127.0.0.1. Nothing is behind it yet.
    ///
    /// # Errors
    /// A file that cannot be written, or it does not listen in time.
    pub(super) async fn start(program: &str, directory: &Path, port: u16) -> Result<Self, Diagnostic> {
        let file = |error| failure::file("write nginx's configuration to", directory, &error);
        std::fs::create_dir_all(directory).map_err(file)?;
        let nothing = format!("upstream {UPSTREAM} {{\n    server 127.0.0.1:9 down;\n}}\n");
        std::fs::write(directory.join("upstream.conf"), nothing).map_err(file)?;
        std::fs::write(directory.join("nginx.conf"), configuration(port)).map_err(file)?;
        let text = |path: &Path| path.display().to_string();
        let argv = vec![program.to_owned(), "-p".to_owned(), text(directory), "-c".to_owned()];
        let argv = [argv, vec![text(&directory.join("nginx.conf"))]].concat();
        let mut command = Command::new(program);
        command.args(&argv[1..]).args(["-g", "daemon off;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A Ctrl-C at the terminal is for the demo, which ends it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let process = command.spawn().map_err(|error| failure::file("run", Path::new(program), &error))?;
        let mut nginx = Self { process, argv };
        let deadline = Instant::now() + LISTENS_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() >= deadline || !matches!(nginx.process.try_wait(), Ok(None)) {
                let log = std::fs::read_to_string(directory.join("error.log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("its log says nothing").to_owned();
                return Err(failure::usage(format!("nginx does not listen on 127.0.0.1:{port}: {last}"))
                    .next("`sealift demo --driver process` needs none"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(nginx)
    }

    /// The start of a command line for it, to which `-t` or `-s reload` is added.
    pub(super) fn argv(&self) -> &[String] {
        &self.argv
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let master = rustix::process::Pid::from_child(&self.process);
        // The master ends its workers itself; SIGTERM is its fast shutdown.
        let _ = rustix::process::kill_process(master, rustix::process::Signal::TERM);
        drop(self.process.wait());
    }
}

/// The whole configuration. Relative paths are relative to the prefix.
fn configuration(port: u16) -> String {
    // Where it runs as root, its workers would change to an account that may not exist.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        r#"{user}worker_processes 2;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include upstream.conf;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{UPSTREAM};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_next_upstream error timeout;
        }}
    }}
}}
"#
    )
}
