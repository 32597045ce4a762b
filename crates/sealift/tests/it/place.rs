//! Where a test takes place: a directory with keys and a configuration, two registries, free ports, and the binary.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use sealift::{
    cli::{Color, Global, Output},
    demo::images,
    session::Session,
    shell::{Shell, Stream},
    system::{SystemClock, SystemEntropy},
    wiring,
};
use sealift_domain::{digest::Digest, ledger::Ledger, undo::Observed};
use sealift_engine::{book::Book, record};
use sealift_registry::{
    image::Built,
    server::{Config, Server},
};
use serde_json::Value;

/// The longest that one command may take. Far more than any needs, so that only one that hangs meets it.
const DEADLINE: Duration = Duration::from_secs(120);
/// The variable that a broken release needs, which only staging has.
pub(crate) const NEEDED: &str = "DATABASE_URL";

/// A directory with everything around it. What runs is stopped when this is dropped, however the test ended.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    /// The registries live on this runtime.
    runtime: tokio::runtime::Runtime,
    /// The registry of staging, unless the test brings its own.
    pub(crate) staging: Server,
    /// The registry of production, unless the test brings its own.
    pub(crate) production: Server,
    /// Front, first and second port of staging, then of production.
    pub(crate) ports: [u16; 6],
    /// More variables for every command.
    pub(crate) variables: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        for environment in ["staging", "production"] {
            let state = self.path(environment);
            drop(self.runtime.block_on(sealift_drivers::process::stop_agent(&state)));
        }
    }
}

impl Place {
    /// A place with a configuration and no log yet.
    pub(crate) fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    /// The same with registries that behave otherwise.
    pub(crate) fn with(staging: Config, production: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let staging = runtime.block_on(Server::start(staging)).unwrap();
        let production = runtime.block_on(Server::start(production)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let place = Self { directory, runtime, staging, production, ports: free_ports(), variables: Vec::new() };
        std::fs::create_dir(place.path("keys")).unwrap();
        for person in ["ana", "bob", "eve"] {
            place.make_key(person);
        }
        place.write("sealift.yaml", &place.configuration());
        place
    }

    /// A place with a log.
    pub(crate) fn initialised() -> Self {
        let place = Self::new();
        place.run(&["init"]).ends(0);
        place
    }

    fn make_key(&self, person: &str) {
        let file = self.path("keys").join(person);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", person, "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .status();
        assert!(made.unwrap().success());
    }

    /// The public key of a person as it stands in the configuration.
    pub(crate) fn public_key(&self, person: &str) -> String {
        std::fs::read_to_string(self.path(&format!("keys/{person}.pub"))).unwrap().trim().to_owned()
    }

    fn configuration(&self) -> String {
        let [staging, a, b, production, c, d] = self.ports;
        let (ana, bob) = (self.public_key("ana"), self.public_key("bob"));
        let (first, second) = (self.staging.address(), self.production.address());
        format!(
            r#"app: hello
source: https://example.com/hello
people:
  - {{id: ana, email: ana@example.com, ssh: "{ana}", roles: [platform-lead]}}
  - {{id: bob, email: bob@example.com, ssh: "{bob}", roles: [developer]}}
environments:
  staging:
    image: {first}/hello
    tags: [staging, "staging-{{commit7}}"]
    deploy: {{process: {{listen: {staging}, ports: [{a}, {b}], state: staging, drain: 50ms, grace: 2s, env: {{{NEEDED}: "db.staging"}}}}}}
    verify:
      - {{http: "http://127.0.0.1:{staging}/health", within: 10s, json: {{status: ok, version: "{{version}}"}}}}
  production:
    from: staging
    image: {second}/hello
    tags: [main, {{immutable: "main-{{commit7}}"}}]
    gates: {{max_size: 100MB, layers: required}}
    approval: {{roles: [platform-lead], expires: 1h, not: [requester]}}
    deploy: {{process: {{listen: {production}, ports: [{c}, {d}], state: production, drain: 50ms, grace: 2s}}}}
    verify:
      - {{http: "http://127.0.0.1:{production}/health", within: 300ms, stable_for: 100ms, json: {{status: ok, version: "{{version}}"}}}}
"#
        )
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a text of the configuration, which must be in it.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path("sealift.yaml")).unwrap();
        assert!(text.contains(from), "the configuration has no `{from}`:\n{text}");
        self.write("sealift.yaml", &text.replace(from, to));
    }

    /// Runs the future of a test on the runtime of the registries.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Where an environment answers.
    pub(crate) fn url(&self, environment: &str) -> String {
        let port = if environment == "staging" { self.ports[0] } else { self.ports[3] };
        format!("http://127.0.0.1:{port}/")
    }

    /// The version that answers in an environment; `None` if nothing does.
    pub(crate) fn answers(&self, environment: &str) -> Option<String> {
        answers_on(if environment == "staging" { self.ports[0] } else { self.ports[3] })
    }

    /// Pushes a release that is well everywhere to staging's registry and records its build.
    pub(crate) fn build(&self, version: &str) -> Digest {
        self.record(version, &images::service(version, None).build())
    }

    /// The same for one that is unwell in production.
    pub(crate) fn build_broken(&self, version: &str) -> Digest {
        self.record(version, &images::service(version, Some(NEEDED)).build())
    }

    /// Pushes an image as `version` and records its build.
    pub(crate) fn record(&self, version: &str, image: &Built) -> Digest {
        self.staging.push("hello", image, Some(version));
        let name = format!("{}/hello:{version}", self.staging.address());
        self.run(&["record", "build", &name]).ends(0);
        image.digest
    }

    /// Brings what was built last to staging.
    pub(crate) fn to_staging(&self) {
        self.run(&["promote", "--to", "staging"]).ends(0);
    }

    /// Bob asks for production, and it waits for approval. Returns the promotion.
    pub(crate) fn request(&self) -> u64 {
        self.request_by(&["promote", "--to", "production"])
    }

    /// Bob asks with `command`, and it waits for approval. Returns the promotion.
    pub(crate) fn request_by(&self, command: &[&str]) -> u64 {
        let asks = [command, &["--identity", "keys/bob", "--output", "json"]].concat();
        let asked = self.run(&asks);
        asked.ends(5);
        asked.json()["promotion_id"].as_u64().unwrap()
    }

    /// Ana approves.
    pub(crate) fn approve(&self) {
        self.run(&["approve", "--identity", "keys/ana"]).ends(0);
    }

    /// Brings what staging runs to production. Returns the promotion.
    pub(crate) fn to_production(&self) -> u64 {
        let id = self.request();
        self.approve();
        self.run(&["promote", "--to", "production"]).ends(0);
        id
    }

    /// Brings a fresh release all the way.
    pub(crate) fn release(&self, version: &str) -> Digest {
        let digest = self.build(version);
        self.to_staging();
        self.to_production();
        digest
    }

    /// The JSON of `status`, of one environment.
    pub(crate) fn environment(&self, name: &str) -> Value {
        let status = self.json(&["status"]);
        let environments = status["environments"].as_array().unwrap();
        environments.iter().find(|environment| environment["environment"] == name).unwrap().clone()
    }

    /// The digest that is live by the record.
    pub(crate) fn live(&self, environment: &str) -> Option<Digest> {
        let release = &self.environment(environment)["release"];
        release.as_object()?.values().next()?.as_str()?.parse().ok()
    }

    /// The digest that the driver reads from what runs now.
    pub(crate) fn runs(&self, environment: &str) -> Option<Digest> {
        self.runs_in(&self.session(), environment)
    }

    /// The same with a session that is open already.
    pub(crate) fn runs_in(&self, session: &Session, environment: &str) -> Option<Digest> {
        match self.block_on(record::observe(&session.world, &environment.parse().unwrap())).unwrap() {
            Observed::Running { release, .. } => release.components().next().map(|(_, digest)| digest),
            Observed::Nothing | Observed::Unknown { .. } => None,
        }
    }

    /// What the log says now.
    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        let log = wiring::stores::open_log(&self.path(".sealift/log.sqlite")).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let book = self.block_on(Book::open(log, clock, entropy, "tester".to_owned())).unwrap();
        self.block_on(book.ledger()).unwrap()
    }

    /// Configuration, log and adapters, opened in this process.
    pub(crate) fn session(&self) -> Session {
        let global = Global { config: "sealift.yaml".into(), output: Output::Json, color: Color::Never };
        let opened = self.block_on(Session::open(&self.shell(), &global));
        opened.unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"))
    }

    /// The surroundings of a command that this process runs itself.
    fn shell(&self) -> Shell {
        let home = self.directory.path().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        Shell {
            variables: [("HOME".to_owned(), home), ("PATH".to_owned(), path)]
                .into_iter()
                .chain(self.variables.iter().cloned())
                .collect(),
            directory: self.directory.path().to_owned(),
            stdout: Stream::new(std::io::sink()),
            stderr: Stream::new(std::io::sink()),
            stdout_terminal: None,
            stdin_terminal: false,
            stderr_terminal: None,
            program: env!("CARGO_BIN_EXE_sealift").into(),
            wrap_log: None,
        }
    }

    /// A promotion as `status` shows it.
    pub(crate) fn promotion(&self, id: u64) -> Value {
        self.json(&["status", &id.to_string()])
    }

    /// How many entries the log has; the audit must hold.
    pub(crate) fn audited(&self) -> u64 {
        let report = self.json(&["audit", "verify"]);
        assert_eq!(report["verified"], true);
        report["entries"].as_u64().unwrap()
    }

    /// The result of a command that succeeds, for programs.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--output", "json"]].concat());
        ran.ends(0);
        ran.json()
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// The same with more variables.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_sealift")));
        command.args(arguments).envs(variables.iter().copied());
        finish(command, &format!("sealift {}", arguments.join(" ")))
    }

    /// Starts the binary, and says how it ended when it is asked to.
    pub(crate) fn start(&self, arguments: &[&str]) -> thread::JoinHandle<Ran> {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_sealift")));
        command.args(arguments);
        let what = format!("sealift {}", arguments.join(" "));
        thread::spawn(move || finish(command, &what))
    }

    /// A program in the directory, in an environment that knows nothing of this account.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).env_clear().env("HOME", self.directory.path()).env("USER", "tester");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The version that a web service on this port answers with; `None` if nothing does.
pub(crate) fn answers_on(port: u16) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body["version"].as_str()?.to_owned())
}

/// Runs a command to its end, which must come before the deadline.
pub(crate) fn finish(command: Command, what: &str) -> Ran {
    finish_with_id(command, what).0
}

/// The same, with the number of the process.
#[track_caller]
pub(crate) fn finish_with_id(mut command: Command, what: &str) -> (Ran, u32) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (id, pid) = (child.id(), rustix::process::Pid::from_child(&child));
    let (done, is_done) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = is_done.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    let ran = Ran::new(output.status, &output.stdout, &output.stderr);
    assert!(!watchdog.join().unwrap(), "`{what}` did not end within {DEADLINE:?}: {ran:?}");
    (ran, id)
}

impl Ran {
    fn new(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// It said this, on whichever stream and however the lines were broken.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        let flow = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = flow(&self.stdout).contains(text) || flow(&self.stderr).contains(text);
        assert!(said, "not said: {text}\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Its result, one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Six ports that are free now, and that nobody is given who asks the system for any port: those begin at 32768
/// (`net.ipv4.ip_local_port_range`), so a client's connection never takes one between now and its use.
pub(crate) fn free_ports() -> [u16; 6] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let mut ports = [0; 6];
    for port in &mut ports {
        *port = loop {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
            let candidate = 12_000 + u16::try_from(offset).unwrap();
            if TcpListener::bind(("127.0.0.1", candidate)).is_ok() {
                break candidate;
            }
        };
    }
    ports
}
