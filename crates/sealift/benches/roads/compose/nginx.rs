//! The nginx in front of production.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::Failed;

/// How long it may take to listen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running nginx; it ends when this is dropped.
pub(crate) struct Nginx {
    process: Child,
    /// The start of a command line for it.
    pub(crate) argv: Vec<String>,
    /// The file with its upstream `web`.
    pub(crate) include: PathBuf,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By the command, so that its workers end too.
        let stop = Command::new(&self.argv[0]).args(&self.argv[1..]).args(["-s", "stop"]).output();
        if !stop.is_ok_and(|output| output.status.success()) {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}

/// Where it is: in `PATH`, or where administrators' programs are.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join("nginx")).find(|file| file.is_file())
}

impl Nginx {
    /// Starts one in this directory that listens on this port of 127.0.0.1, without TLS.
    pub(crate) fn start(program: &Path, directory: &Path, port: u16) -> Result<Self, Failed> {
        let include = directory.join("upstream.conf");
        std::fs::write(&include, "upstream web {\n    server 127.0.0.1:9 down;\n    keepalive 8;\n}\n")?;
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration(directory, port))?;
        let shown = |path: &Path| path.display().to_string();
        let argv = vec![shown(program), "-p".to_owned(), shown(directory), "-c".to_owned(), shown(&file)];
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).args(["-g", "daemon off;"]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut nginx = Self { process, argv, include };
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if nginx.process.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(directory.join("error.log")).unwrap_or_default();
                return Err(format!("nginx does not listen: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(nginx)
    }
}

fn configuration(directory: &Path, port: u16) -> String {
    let prefix = directory.display();
    // As root its workers would change to an account that may not exist, or that cannot enter the directory.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        r#"{user}worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include {prefix}/upstream.conf;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://web;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream error timeout;
        }}
    }}
}}
"#
    )
}
