//! A scripted world. These are stubs, and called so: the real adapters are tested in their own crates and together in the
//! program's tests. Here they let any step fail at will.

mod host;
mod registry;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sealift_domain::{
    approval::Proof,
    digest::Digest,
    event::Holder,
    evidence::{Evidence, Form, Trust},
    name::{ComponentName, EnvironmentName},
    notice::NoticeKind,
    personal::Salt,
    policy::{AttestRule, Environment, Policy, RollbackRule},
    promotion::{Kind, PromotionId, Requester, Status, Step},
    quantity::Period,
    record::Build,
    reference::{Pinned, Repository, Tag},
    release::Release,
    signature::PublicKey,
};
use sealift_engine::{
    book::{Book, Trust as BookTrust},
    error::EngineError,
    init,
    ports::{
        attest::{Attestor, Opened, Signed},
        clock::{Clock, Entropy},
        driver::{Candidate, Driver},
        evidence::{EvidenceReader, Found},
        host::Host,
        inbox::Inbox,
        log::{AuditReport, Head, Log, LogError, NewLeaf},
        notifier::{Delivery, Notifier, NotifyError},
        registry::{NewReferrer, RegistryErrorKind},
        signature::Signatures,
        source::{SourceError, Sources},
    },
    record,
    request::{self, Ask},
    worker::{RunOptions, Worker},
    world::World,
};
use sealift_store::{key::SigningKey, sqlite::SqliteLog};

use host::{StubDriver, StubProber};
use registry::StubRegistry;
pub(crate) use registry::artifact_says;

/// What the stubs share: what fails, what was done, what is so.
#[derive(Default)]
pub(crate) struct Script {
    /// How many more times each step fails; `u32::MAX` for ever.
    pub(crate) fails: Mutex<BTreeMap<Step, u32>>,
    /// Every step that was done, in order, with the deployment's key where there is one.
    pub(crate) done: Mutex<Vec<String>>,
    pub(crate) live: Mutex<Option<(Release, Digest)>>,
    pub(crate) tags: Mutex<BTreeMap<(Repository, Tag), Digest>>,
    pub(crate) delivered: Mutex<Vec<String>>,
    pub(crate) deaf: Mutex<bool>,
    /// Whether the host tells how busy it is: 10 ms for each thing done, and a byte of memory.
    pub(crate) metered: Mutex<bool>,
    /// How candidates stand beside what is live; beside it, unless something else is said.
    pub(crate) candidate: Mutex<Option<Candidate>>,
    /// How the registry answers everything, if not as it should.
    pub(crate) registry: Mutex<Option<RegistryErrorKind>>,
    /// Whether the host has every image.
    pub(crate) has_images: Mutex<bool>,
    /// What is attached to which image, under the digest of its manifest.
    pub(crate) attached: Mutex<Vec<(Pinned, Digest, NewReferrer)>>,
    /// Envelopes under the tag of cosign 2.
    pub(crate) envelopes: Mutex<BTreeSet<(Pinned, Digest)>>,
    /// The keys that this program has; none if none was given to it.
    pub(crate) keys: Mutex<Vec<PublicKey>>,
    /// What is done at the beginning of a step, once.
    pub(crate) during: Mutex<BTreeMap<Step, Box<dyn FnOnce() + Send>>>,
}

impl Script {
    fn step(&self, step: Step, what: &str) -> bool {
        let action = self.during.lock().unwrap().remove(&step);
        if let Some(action) = action {
            action();
        }
        self.done.lock().unwrap().push(format!("{step} {what}").trim().to_owned());
        match self.fails.lock().unwrap().get_mut(&step) {
            Some(0) | None => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    pub(crate) fn count(&self, step: Step) -> usize {
        let name = step.as_str();
        self.done.lock().unwrap().iter().filter(|done| done.starts_with(&format!("{name} ")) || *done == name).count()
    }
}

pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn advance(&self, period: Period) {
        self.0.fetch_add(i64::try_from(period.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, period: Period) {
        // A renewal is waited for beside a step that never takes that long here.
        if period >= Period::from_secs(300) {
            std::future::pending::<()>().await;
        }
        // Whoever waits beside something else lets that go on.
        tokio::task::yield_now().await;
        self.advance(period);
    }
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn salt(&self) -> Salt {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        Salt(*Digest::of(&n.to_be_bytes()).as_bytes())
    }
}

#[derive(Clone)]
pub(crate) struct StubHost {
    pub(crate) run: String,
    pub(crate) gone: Arc<Mutex<BTreeSet<String>>>,
}

impl Host for StubHost {
    fn holder(&self) -> Holder {
        Holder { run: self.run.clone(), machine: Digest::of(b"here"), pid: 1, started: 1 }
    }

    fn is_gone(&self, holder: &Holder) -> bool {
        self.gone.lock().unwrap().contains(&holder.run)
    }
}

/// A public key by a name.
pub(crate) fn key(name: &str) -> PublicKey {
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{name}\n-----END PUBLIC KEY-----\n");
    PublicKey::from_canonical_pem(pem).unwrap()
}

/// The same policy, where an environment attests by a key of its own name.
pub(crate) fn attesting(mut policy: Policy, name: &str) -> Policy {
    let rules = policy.environments.get_mut(&environment(name)).unwrap();
    rules.attest = Some(AttestRule { keys: vec![key(name)], legacy_att: false });
    policy
}

/// Signs by saying so. The real signatures are the business of the crate that makes them.
pub(crate) struct StubAttestor(pub(crate) Arc<Script>);

impl Attestor for StubAttestor {
    fn key_among(&self, keys: &[PublicKey]) -> Result<PublicKey, String> {
        let ours = self.0.keys.lock().unwrap();
        keys.iter().find(|key| ours.contains(key)).cloned().ok_or_else(|| "no key was given to this run".to_owned())
    }

    fn sign(&self, key: &PublicKey, statement: &[u8]) -> Result<Signed, String> {
        let statement = std::str::from_utf8(statement).unwrap();
        let envelope = serde_json::json!({"key": key, "statement": statement}).to_string();
        Ok(Signed { envelope: envelope.clone().into(), bundle: format!("[{envelope}]").into() })
    }

    fn verify(&self, bundle: &[u8], keys: &[PublicKey]) -> Result<Opened, String> {
        let read: Vec<serde_json::Value> = serde_json::from_slice(bundle).map_err(|why| why.to_string())?;
        let key = keys.iter().find(|key| read[0]["key"] == serde_json::json!(key));
        let key = key.cloned().ok_or_else(|| "it is signed by none of the keys".to_owned())?;
        let statement = read[0]["statement"].as_str().unwrap().as_bytes().to_vec();
        Ok(Opened { statement, envelope: read[0].to_string().into(), key })
    }
}

struct StubNotifier(Arc<Script>);

#[async_trait]
impl Notifier for StubNotifier {
    async fn deliver(&self, delivery: &Delivery) -> Result<(), NotifyError> {
        if *self.0.deaf.lock().unwrap() {
            return Err(NotifyError { transient: true, message: "nobody listens".into() });
        }
        let body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        self.0.delivered.lock().unwrap().push(format!("{} {}", body["promotion"], body["type"].as_str().unwrap()));
        Ok(())
    }
}

/// Lets others run right after each commit, before the writer knows of it: where a run may be killed.
struct Yielding(Arc<SqliteLog>);

#[async_trait]
impl Log for Yielding {
    async fn head(&self) -> Result<Head, LogError> {
        self.0.head().await
    }

    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError> {
        let head = self.0.append(expected, batch).await;
        tokio::task::yield_now().await;
        head
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
        self.0.leaves(from, to).await
    }

    async fn objects(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError> {
        self.0.objects(digests).await
    }

    async fn last_snapshot(&self, size: u64) -> Result<Option<u64>, LogError> {
        self.0.last_snapshot(size).await
    }

    async fn checkpoint(&self) -> Result<String, LogError> {
        self.0.checkpoint().await
    }

    async fn audit(&self, kept: Option<&str>) -> Result<AuditReport, LogError> {
        self.0.audit(kept).await
    }
}

pub(crate) struct NoSignatures;

impl Signatures for NoSignatures {
    fn verify(&self, _: &str, _: &str, _: &[u8], signature: &[u8]) -> Result<(), String> {
        if signature == b"forged" { Err("the stub says so".into()) } else { Ok(()) }
    }

    fn key_of(&self, _: &[u8]) -> Result<String, String> {
        Ok("ssh-ed25519 AAAA".into())
    }
}

impl EvidenceReader for NoSignatures {
    fn read(&self, _: &[Found], _: &[&Trust]) -> Result<Vec<Evidence>, String> {
        Ok(Vec::new())
    }

    fn form_of(&self, _: &[u8]) -> Form {
        Form::Document
    }
}

#[async_trait]
impl Sources for NoSignatures {
    async fn branches_with(&self, _: &str, _: &str, _: &[&str]) -> Result<BTreeSet<String>, SourceError> {
        Ok(BTreeSet::new())
    }
}

/// One place to test in: a log on disk, two environments, and the script.
pub(crate) struct Stage {
    pub(crate) script: Arc<Script>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) gone: Arc<Mutex<BTreeSet<String>>>,
    log: Arc<SqliteLog>,
    salts: Arc<Counting>,
    /// Whom a run believes, and what it signs with; nothing unless a test says so.
    pub(crate) trust: Mutex<BookTrust>,
    /// Where people hand in what they signed; nowhere unless a test says so.
    pub(crate) inbox: Mutex<Option<Arc<dyn Inbox>>>,
    _directory: tempfile::TempDir,
}

pub(crate) fn environment(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

pub(crate) fn release(n: u8) -> Release {
    Release::single(Digest::of(&[n]))
}

fn rules(from: Option<&str>, repository: &str) -> Environment {
    Environment {
        from: from.map(environment),
        components: [(ComponentName::only(), repository.parse().unwrap())].into(),
        tags: serde_json::from_str(r#"["moving", {"immutable": "fixed-{digest12}"}]"#).unwrap(),
        gates: Default::default(),
        approval: None,
        expedited: None,
        freezes: Vec::new(),
        freeze_override: None,
        migrate: Some(vec!["migrate".into()]),
        verify: serde_json::from_str(r#"[{"http": "http://x/"}, {"availability": "http://x/"}]"#).unwrap(),
        rollback: RollbackRule::default(),
        attest: None,
        writer: Vec::new(),
    }
}

pub(crate) fn policy() -> Policy {
    let all = [
        NoticeKind::ApprovalWanted,
        NoticeKind::Started,
        NoticeKind::Completed,
        NoticeKind::Failed,
        NoticeKind::RolledBack,
        NoticeKind::Cancelled,
        NoticeKind::Stuck,
    ];
    Policy {
        app: "app".parse().unwrap(),
        source: None,
        people: BTreeMap::new(),
        identities: Vec::new(),
        environments: [
            (environment("staging"), rules(None, "r.example/staging")),
            (environment("production"), rules(Some("staging"), "r.example/production")),
        ]
        .into(),
        notify: [("hook".parse().unwrap(), all.into())].into(),
    }
}

impl Stage {
    pub(crate) async fn new(policy: Policy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("test.example/log").unwrap();
        let log = Arc::new(SqliteLog::create(&directory.path().join("log.sqlite"), key).unwrap());
        let stage = Self {
            script: Arc::default(),
            clock: Arc::new(ManualClock(AtomicI64::new(0))),
            gone: Arc::default(),
            log,
            salts: Arc::new(Counting(AtomicU64::new(0))),
            trust: Mutex::default(),
            inbox: Mutex::default(),
            _directory: directory,
        };
        init::first(&stage.book().await, policy, BTreeMap::new()).await.unwrap();
        stage
    }

    /// A reader and writer of its own, as another run of the program has.
    pub(crate) async fn book(&self) -> Book {
        let trust = self.trust.lock().unwrap().clone();
        self.book_on(Arc::new(Yielding(self.log.clone())), trust).await.unwrap()
    }

    /// The same on another view of the log, with other trust.
    pub(crate) async fn book_on(&self, log: Arc<dyn Log>, trust: BookTrust) -> Result<Book, EngineError> {
        Book::open_with(log, self.clock.clone(), self.salts.clone(), "tester".into(), trust).await
    }

    /// The log itself, for those who have its key.
    pub(crate) fn log(&self) -> Arc<SqliteLog> {
        self.log.clone()
    }

    /// The same over a log that behaves otherwise.
    pub(crate) async fn book_over(&self, log: impl FnOnce(Arc<SqliteLog>) -> Arc<dyn Log>) -> Book {
        Book::open(log(self.log.clone()), self.clock.clone(), self.salts.clone(), "tester".into()).await.unwrap()
    }

    pub(crate) fn world(&self, run: &str) -> World {
        let driver: Arc<dyn Driver> = Arc::new(StubDriver(self.script.clone()));
        World {
            registry: Arc::new(StubRegistry(self.script.clone())),
            drivers: [(environment("staging"), driver.clone()), (environment("production"), driver)].into(),
            prober: Arc::new(StubProber(self.script.clone())),
            notifiers: [("hook".parse().unwrap(), Arc::new(StubNotifier(self.script.clone())) as Arc<dyn Notifier>)]
                .into(),
            signatures: Arc::new(NoSignatures),
            evidence: Arc::new(NoSignatures),
            attestor: Arc::new(StubAttestor(self.script.clone())),
            sources: Arc::new(NoSignatures),
            clock: self.clock.clone(),
            host: Arc::new(StubHost { run: run.into(), gone: self.gone.clone() }),
            inbox: self.inbox.lock().unwrap().clone(),
        }
    }

    pub(crate) async fn build(&self, n: u8) {
        let repository = "r.example/staging".parse().unwrap();
        let build = Build {
            repository,
            digest: Digest::of(&[n]),
            commit: None,
            run_id: None,
            author: None,
            committer: None,
            actor: None,
            version: None,
        };
        record::build(&self.book().await, &self.world("build"), build).await.unwrap();
    }

    pub(crate) async fn ask(&self, kind: Kind, n: u8, to: &str) -> PromotionId {
        let ask = Ask {
            kind,
            from: None,
            to: environment(to),
            release: release(n),
            by_hand: false,
            requester: Requester::Unknown,
            proof: Vec::new(),
            reason: None,
            run_id: None,
            expedited: false,
        };
        request::ask(&self.book().await, &ask).await.unwrap().id()
    }

    pub(crate) async fn run(&self, id: PromotionId) -> Status {
        self.run_as("run", id).await.unwrap()
    }

    pub(crate) async fn run_as(&self, run: &str, id: PromotionId) -> Result<Status, EngineError> {
        let (book, world) = (self.book().await, self.world(run));
        Worker::new(&book, &world, &(), RunOptions::default()).run(id).await
    }

    /// A release through staging into production.
    pub(crate) async fn bring(&self, n: u8) {
        self.build(n).await;
        for to in ["staging", "production"] {
            let id = self.ask(Kind::Promote, n, to).await;
            assert_eq!(self.run(id).await, Status::Completed, "{to}");
        }
    }

    /// Another policy, which nobody has to sign.
    pub(crate) async fn accept(&self, policy: Policy) {
        init::change(&self.book().await, &NoSignatures, policy, BTreeMap::new(), &[]).await.unwrap();
    }

    pub(crate) fn tag(&self, to: &str) -> Option<Digest> {
        let repository: Repository = format!("r.example/{to}").parse().unwrap();
        self.script.tags.lock().unwrap().get(&(repository, "moving".parse().unwrap())).copied()
    }

    pub(crate) fn forget(&self) {
        self.script.done.lock().unwrap().clear();
        self.script.delivered.lock().unwrap().clear();
    }

    pub(crate) fn fail(&self, step: Step, times: u32) {
        self.script.fails.lock().unwrap().insert(step, times);
    }
}

/// A signature that the stub of [`Signatures`] takes for good.
pub(crate) fn proof() -> Proof {
    Proof::Sshsig { key: "ssh-ed25519 AAAA".into(), statement: Digest::of(b"s"), signature: Digest::of(b"g") }
}

/// 32 hexadecimal digits for each name.
pub(crate) fn nonce(of: &str) -> String {
    let digest = Digest::of(of.as_bytes()).to_string();
    digest.trim_start_matches("sha256:").chars().take(32).collect()
}
