//! A scripted world. These are stubs, and called so: the real adapters are tested in their own crates and together in the
//! program's tests. Here they let any step fail at will.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use sealift_domain::{
    approval::Proof,
    check::{AvailabilityCheck, Check},
    digest::Digest,
    event::Holder,
    evidence::{Evidence, Form, Trust},
    image::{Image, PlatformImage},
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
    undo::Observed,
};
use sealift_engine::{
    book::{Book, Trust as BookTrust},
    error::EngineError,
    init,
    ports::{
        attest::{Attestor, Opened, Signed},
        clock::{Clock, Entropy},
        copy::{Copied, CopyObserver, CopyPlan, CopyRequest, CopyTally},
        driver::{Candidate, Deployment, Driver, DriverError, DriverErrorKind, DriverObserver, Prepared, Usage},
        evidence::{EvidenceReader, Found},
        host::Host,
        inbox::Inbox,
        log::{AuditReport, Head, Log, LogError, NewLeaf},
        notifier::{Delivery, Notifier, NotifyError},
        probe::{Availability, CheckContext, CheckResult, LogSource, Prober, Watch},
        registry::{
            Detached, NewReferrer, RawManifest, Referrer, Registry, RegistryError, RegistryErrorKind, StoredEvidence,
            TagMode,
        },
        signature::Signatures,
        source::{SourceError, Sources},
    },
    record,
    request::{self, Ask},
    worker::{RunOptions, Worker},
    world::World,
};
use sealift_store::{key::SigningKey, sqlite::SqliteLog};

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

struct StubRegistry(Arc<Script>);

impl StubRegistry {
    fn answers(&self) -> Result<(), RegistryError> {
        match *self.0.registry.lock().unwrap() {
            Some(kind) => Err(registry_error(kind)),
            None => Ok(()),
        }
    }
}

/// The manifest of what is attached, as far as anybody reads it.
fn attached_manifest(artifact: &NewReferrer) -> Bytes {
    let layer = serde_json::json!({
        "mediaType": artifact.media_type, "digest": Digest::of(&artifact.bytes), "size": artifact.bytes.len(),
    });
    serde_json::json!({"layers": [layer], "annotations": artifact.annotations}).to_string().into()
}

/// Whether the statement in an artifact of [`StubAttestor`] has this text.
pub(crate) fn artifact_says(artifact: &NewReferrer, text: &str) -> bool {
    String::from_utf8_lossy(&artifact.bytes).contains(text)
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

fn registry_error(kind: RegistryErrorKind) -> RegistryError {
    RegistryError { kind, message: "the script says so".into() }
}

#[async_trait]
impl Registry for StubRegistry {
    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        self.answers()?;
        Ok(self.0.tags.lock().unwrap().get(&(repository.clone(), tag.clone())).copied())
    }

    async fn manifest(&self, image: &Pinned) -> Result<RawManifest, RegistryError> {
        let attached = self.0.attached.lock().unwrap();
        let found = attached.iter().find(|(_, manifest, _)| *manifest == image.digest);
        let bytes = found.map(|(_, _, artifact)| attached_manifest(artifact)).unwrap_or_default();
        Ok(RawManifest { bytes, media_type: String::new(), digest: image.digest })
    }

    async fn blob(
        &self,
        _: &Repository,
        digest: Digest,
        _: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError> {
        let attached = self.0.attached.lock().unwrap();
        let found = attached.iter().map(|(_, _, artifact)| artifact.bytes.clone());
        let found = found.into_iter().find(|bytes| Digest::of(bytes) == digest);
        Ok(futures_util::stream::iter(found.map(Ok)).boxed())
    }

    async fn attach(&self, subject: &Pinned, artifact: &NewReferrer) -> Result<Digest, RegistryError> {
        let verified = artifact_says(artifact, "VERIFIED_IN_");
        let failed = self.0.step(if verified { Step::AttestVerified } else { Step::Admit }, "");
        self.answers()?;
        let manifest = Digest::of(&attached_manifest(artifact));
        // It may have arrived although the answer was lost.
        self.0.attached.lock().unwrap().push((subject.clone(), manifest, artifact.clone()));
        if failed { Err(registry_error(RegistryErrorKind::Denied)) } else { Ok(manifest) }
    }

    async fn detach(&self, subject: &Pinned, manifest: Digest) -> Result<Detached, RegistryError> {
        if self.0.step(Step::WithdrawAdmission, "") {
            return Err(registry_error(RegistryErrorKind::Unsupported));
        }
        self.0.attached.lock().unwrap().retain(|(place, digest, _)| place != subject || *digest != manifest);
        Ok(Detached::Removed)
    }

    async fn add_envelope(&self, subject: &Pinned, envelope: &[u8], _: &str) -> Result<(), RegistryError> {
        self.0.envelopes.lock().unwrap().insert((subject.clone(), Digest::of(envelope)));
        Ok(())
    }

    async fn drop_envelope(&self, subject: &Pinned, envelope: Digest) -> Result<(), RegistryError> {
        self.0.envelopes.lock().unwrap().remove(&(subject.clone(), envelope));
        Ok(())
    }

    async fn evidence(&self, _: &Pinned, _: &[Digest]) -> Result<Vec<StoredEvidence>, RegistryError> {
        Ok(Vec::new())
    }

    async fn referrers(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        self.answers()?;
        let attached = self.0.attached.lock().unwrap();
        let here = attached.iter().filter(|(place, ..)| place == image);
        Ok(here.map(|(_, digest, a)| Referrer { digest: *digest, artifact_type: a.artifact_type.clone() }).collect())
    }

    async fn inspect(&self, image: &Pinned) -> Result<Image, RegistryError> {
        self.answers()?;
        let platform = PlatformImage {
            platform: "linux/amd64".into(),
            digest: image.digest,
            config: None,
            compressed_bytes: 10,
            layers: 1,
            missing: Vec::new(),
            labels: BTreeMap::new(),
            created: None,
        };
        let (media_type, annotations) = ("m".to_owned(), BTreeMap::new());
        Ok(Image { digest: image.digest, media_type, platforms: vec![platform], annotations })
    }

    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        let tags = self.0.tags.lock().unwrap();
        Ok(tags.keys().filter(|(place, _)| place == repository).map(|(_, tag)| tag.clone()).collect())
    }

    async fn plan_copy(&self, _: &CopyRequest) -> Result<CopyPlan, RegistryError> {
        Ok(CopyPlan::default())
    }

    async fn copy(&self, request: &CopyRequest, _: &dyn CopyObserver) -> Result<Copied, RegistryError> {
        let failed = self.0.step(Step::Copy, "");
        self.answers()?;
        match request.from.digest.filter(|_| !failed) {
            Some(digest) => Ok(Copied { digest, tally: CopyTally::default() }),
            None => Err(registry_error(RegistryErrorKind::Transient)),
        }
    }

    async fn tag(&self, image: &Pinned, tag: &Tag, mode: TagMode) -> Result<(), RegistryError> {
        let undoing = self.0.count(Step::Restore) > 0;
        let step = match mode {
            TagMode::Immutable => Step::TagImmutable,
            TagMode::Moving if undoing => Step::RestoreTags,
            TagMode::Moving => Step::MoveTags,
        };
        let failed = self.0.step(step, "");
        self.answers()?;
        // A tag may have been written although the answer was lost.
        if !failed || step == Step::MoveTags {
            self.0.tags.lock().unwrap().insert((image.repository.clone(), tag.clone()), image.digest);
        }
        if failed { Err(registry_error(RegistryErrorKind::Denied)) } else { Ok(()) }
    }

    async fn untag(&self, repository: &Repository, tag: &Tag) -> Result<(), RegistryError> {
        if self.0.step(Step::RestoreTags, "") {
            return Err(registry_error(RegistryErrorKind::Denied));
        }
        self.0.tags.lock().unwrap().remove(&(repository.clone(), tag.clone()));
        Ok(())
    }
}

struct StubDriver(Arc<Script>);

impl StubDriver {
    fn done(&self, step: Step, key: &str, kind: DriverErrorKind) -> Result<(), DriverError> {
        if self.0.step(step, key) {
            return Err(DriverError { kind, message: "the script says so".into(), output: b"last words".to_vec() });
        }
        Ok(())
    }

    fn pulled(&self, bytes: u64) -> Prepared {
        Prepared { pulled_bytes: self.0.metered.lock().unwrap().then_some(bytes) }
    }

    fn running(&self) -> Observed {
        match self.0.live.lock().unwrap().clone() {
            Some((release, definition)) => Observed::Running { release, definition: Some(definition) },
            None => Observed::Nothing,
        }
    }
}

#[async_trait]
impl Driver for StubDriver {
    fn kind(&self) -> &'static str {
        "stub"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        Ok(b"definition".to_vec())
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        let step = if self.0.count(Step::Restore) > 0 { Step::ConfirmRestored } else { Step::RecordUndo };
        self.done(step, "", DriverErrorKind::Unreachable)?;
        Ok(self.running())
    }

    async fn has(&self, _: &Pinned) -> Result<bool, DriverError> {
        Ok(*self.0.has_images.lock().unwrap())
    }

    async fn migrate(&self, d: &Deployment, argv: &[String], _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        assert_eq!(argv, ["migrate"]);
        self.done(Step::Migrate, &d.key, DriverErrorKind::Migrate)?;
        Ok(self.pulled(1000))
    }

    async fn prepare(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        let done = self.done(Step::Prepare, &d.key, DriverErrorKind::Unhealthy);
        tokio::task::yield_now().await;
        done.map(|()| self.pulled(7))
    }

    async fn switch(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<Observed, DriverError> {
        let failed = self.done(Step::Switch, &d.key, DriverErrorKind::Switch);
        // Traffic may have moved although the answer was lost.
        *self.0.live.lock().unwrap() = Some((d.release().unwrap(), Digest::of(&d.definition)));
        failed?;
        Ok(self.running())
    }

    async fn restore(
        &self,
        failed: &Deployment,
        previous: Option<&Deployment>,
        _: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        self.done(Step::Restore, &failed.key, DriverErrorKind::Start)?;
        *self.0.live.lock().unwrap() = previous.map(|d| (d.release().unwrap(), Digest::of(&d.definition)));
        Ok(self.running())
    }

    async fn retire(&self, d: &Deployment, _: u32, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.done(Step::Retire, &d.key, DriverErrorKind::Unreachable)
    }

    async fn discard(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.done(Step::Discard, &d.key, DriverErrorKind::Unreachable)
    }

    async fn logs(&self, _: &Deployment, _: usize) -> Result<Vec<u8>, DriverError> {
        Ok(b"the log".to_vec())
    }

    fn candidate(&self) -> Candidate {
        self.0.candidate.lock().unwrap().unwrap_or(Candidate::Beside)
    }

    async fn usage(&self) -> Option<Usage> {
        let done = self.0.done.lock().unwrap().len() as u64;
        self.0.metered.lock().unwrap().then_some(Usage { cpu_ms: done * 10, memory_bytes: done })
    }
}

struct StubProber(Arc<Script>);

#[async_trait]
impl Prober for StubProber {
    async fn run(&self, _: &Check, _: &CheckContext, _: &dyn LogSource) -> CheckResult {
        let step = if self.0.count(Step::Restore) > 0 { Step::ConfirmRestored } else { Step::Verify };
        let passed = !self.0.step(step, "");
        let found = if passed { "200" } else { "503" };
        CheckResult { check: "http".into(), passed, found: found.into(), output: b"503".to_vec() }
    }

    async fn watch(&self, _: &AvailabilityCheck, _: &CheckContext) -> Result<Box<dyn Watch>, String> {
        Ok(Box::new(StubWatch))
    }
}

struct StubWatch;

#[async_trait]
impl Watch for StubWatch {
    fn so_far(&self) -> Availability {
        Availability { requests: 50, failed: 0, retried: 0, longest_gap_ms: 20 }
    }

    async fn stop(self: Box<Self>) -> Availability {
        self.so_far()
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
