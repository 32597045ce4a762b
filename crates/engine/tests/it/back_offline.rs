//! Going back without the log: cut off at every call, taken in once, and what a run that did not know of it does.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use sealift_domain::{
    approval::{ACT_NAMESPACE, Act, ActStatement},
    digest::Digest,
    ledger::Ledger,
    name::ComponentName,
    offline::Outcome,
    policy::{IdentityProvider, Person, Policy},
    promotion::{Kind, PromotionId, Status, Step},
    schema::{Expected, Schema},
    undo::Observed,
};
use sealift_engine::{
    act::Signed,
    error::EngineError,
    offline::{self, Chosen, Record, Site, Wish},
    ports::{
        driver::{Deployment, Driver, DriverError, DriverErrorKind, DriverObserver, Prepared},
        offline::{Kept, OfflineHost, PastLive, Remembered},
        signature::{Claims, Signatures},
    },
    worker::{RunOptions, Worker},
    world::World,
};

use super::stubs::{Stage, environment, policy, release};

/// A signature here is the name of its key, and holds if the statement says the same.
struct Names;

impl Signatures for Names {
    fn verify(&self, key: &str, namespace: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        let said = format!("{key} {}", Digest::of(message));
        let right = namespace == ACT_NAMESPACE && said.as_bytes() == signature;
        if right { Ok(()) } else { Err("it is another's, or of something else".into()) }
    }

    fn key_of(&self, signature: &[u8]) -> Result<String, String> {
        Ok(String::from_utf8_lossy(signature).split(' ').next().unwrap_or_default().to_owned())
    }

    fn token(&self, _: &[u8], _: &[IdentityProvider], _: jiff::Timestamp) -> Result<Claims, String> {
        Err("none".into())
    }
}

/// A host with a journal, in memory. It may be cut off at one of the calls to it.
#[derive(Default)]
struct Machine(Mutex<State>);

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    fence: u64,
    floor: u64,
    live: Option<(String, u8)>,
    past: Vec<(String, u8)>,
    beside: Vec<String>,
    records: BTreeMap<String, Kept>,
    merged: Vec<Kept>,
    /// What the images' labels say, where they say something.
    schemas: BTreeMap<u8, u64>,
    database: Option<u64>,
    unwell: bool,
    calls: usize,
    /// At which call it is cut off, and whether before it has any effect.
    cut: Option<(usize, bool)>,
}

fn failed(kind: DriverErrorKind) -> DriverError {
    DriverError { kind, message: "the machine says so".into(), output: Vec::new() }
}

fn number(deployment: &Deployment) -> u8 {
    (0..=u8::MAX).find(|n| deployment.release() == Some(release(*n))).unwrap()
}

impl Machine {
    fn ran(numbers: &[u8]) -> Self {
        let past: Vec<(String, u8)> = numbers.iter().map(|n| (format!("p{n}"), *n)).collect();
        Self(Mutex::new(State { fence: 7, live: past.last().cloned(), past, ..State::default() }))
    }

    fn state(&self) -> State {
        self.0.lock().unwrap().clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn call<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Result<T, DriverError> {
        let mut state = self.0.lock().unwrap();
        let this = state.calls;
        state.calls += 1;
        match state.cut {
            Some((at, true)) if at == this => return Err(failed(DriverErrorKind::Unreachable)),
            _ => {}
        }
        let value = effect(&mut state);
        match state.cut {
            Some((at, false)) if at == this => Err(failed(DriverErrorKind::Unreachable)),
            _ => Ok(value),
        }
    }

    fn deploy<T>(&self, d: &Deployment, effect: impl FnOnce(&mut State) -> T) -> Result<T, DriverError> {
        self.call(|state| {
            let newest = state.records.values().max_by_key(|kept| kept.fence);
            let barred = newest.is_some_and(|kept| kept.key != d.key) || d.fence < state.floor.max(state.fence);
            if barred {
                return Err(failed(DriverErrorKind::Fenced));
            }
            state.fence = d.fence;
            Ok(effect(state))
        })?
    }
}

#[async_trait]
impl Driver for Machine {
    fn kind(&self) -> &'static str {
        "machine"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        Ok(b"definition".to_vec())
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        let definition = Some(Digest::of(b"definition"));
        self.call(|state| match &state.live {
            Some((_, n)) => Observed::Running { release: release(*n), definition },
            None => Observed::Nothing,
        })
    }

    async fn migrate(&self, d: &Deployment, _: &[String], _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        self.deploy(d, |_| Prepared::default())
    }

    async fn prepare(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        let unwell = self.deploy(d, |state| {
            if !state.beside.contains(&d.key) {
                state.beside.push(d.key.clone());
            }
            state.unwell
        })?;
        if unwell { Err(failed(DriverErrorKind::Unhealthy)) } else { Ok(Prepared::default()) }
    }

    async fn switch(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<Observed, DriverError> {
        self.deploy(d, |state| {
            let live = (d.key.clone(), number(d));
            state.past.retain(|past| *past != live);
            state.past.push(live.clone());
            state.live = Some(live);
        })?;
        self.observe().await
    }

    async fn restore(
        &self,
        failed: &Deployment,
        previous: Option<&Deployment>,
        _: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        self.deploy(failed, |state| {
            state.past.retain(|(key, _)| *key != failed.key);
            state.live = previous.map(|d| (d.key.clone(), number(d)));
        })?;
        self.observe().await
    }

    async fn retire(&self, d: &Deployment, _: u32, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.deploy(d, |state| state.beside.retain(|key| *key == d.key))
    }

    async fn discard(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.deploy(d, |state| state.beside.retain(|key| *key != d.key))
    }

    async fn logs(&self, _: &Deployment, _: usize) -> Result<Vec<u8>, DriverError> {
        Ok(Vec::new())
    }

    fn offline(&self) -> Option<&dyn OfflineHost> {
        Some(self)
    }
}

#[async_trait]
impl OfflineHost for Machine {
    async fn remembered(&self) -> Result<Remembered, DriverError> {
        let schema = |at: u64| Schema::new(at, at).unwrap();
        self.call(|state| Remembered {
            fence: state.fence.max(state.floor),
            live: state.live.as_ref().map(|(key, _)| key.clone()),
            database: state.database.map(schema),
            past: state
                .past
                .iter()
                .map(|(key, n)| PastLive {
                    key: key.clone(),
                    digest: Digest::of(&[*n]),
                    component: Some(ComponentName::only()),
                    image: None,
                    definition: Some(b"definition".to_vec()),
                    expects: state.schemas.get(n).map_or(Expected::Nothing, |at| Expected::Schema(schema(*at))),
                    at_hand: true,
                })
                .collect(),
        })
    }

    async fn reserve(&self) -> Result<Box<dyn Any + Send>, DriverError> {
        Ok(Box::new(()))
    }

    async fn records(&self) -> Result<Vec<Kept>, DriverError> {
        let mut records: Vec<Kept> = self.state().records.into_values().collect();
        records.sort_by_key(|kept| kept.fence);
        Ok(records)
    }

    async fn merged(&self) -> Result<Vec<Kept>, DriverError> {
        Ok(self.state().merged)
    }

    async fn keep(&self, record: &Kept) -> Result<(), DriverError> {
        self.call(|state| drop(state.records.insert(record.key.clone(), record.clone())))
    }

    async fn withdraw(&self, record: &Kept) -> Result<(), DriverError> {
        self.call(|state| drop(state.records.remove(&record.key)))
    }

    async fn settle(&self, record: &Kept, fence: u64) -> Result<(), DriverError> {
        self.call(|state| {
            state.floor = state.floor.max(fence);
            state.merged.extend(state.records.remove(&record.key));
        })
    }

    async fn forget(&self, by: &Deployment, key: &str, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.deploy(by, |state| state.past.retain(|(past, _)| past != key))
    }
}

/// A policy in which Ana leads and Bob does not, and leads approve for production, if `approval` says so.
fn people() -> Policy {
    let mut policy = policy();
    for (id, role) in [("ana", "lead"), ("bob", "developer")] {
        let person = Person { roles: [role.parse().unwrap()].into(), ssh: [id.to_owned()].into() };
        policy.people.insert(id.parse().unwrap(), person);
    }
    policy
}

/// The production of a stage, on a machine.
struct Scene {
    stage: Stage,
    machine: Arc<Machine>,
    world: World,
    ledger: Ledger,
}

impl Scene {
    /// Production has run these releases, by log and machine.
    async fn new(numbers: &[u8]) -> Self {
        let stage = Stage::new(people()).await;
        for n in numbers {
            stage.bring(*n).await;
        }
        let machine = Arc::new(Machine::ran(numbers));
        let mut world = World { signatures: Arc::new(Names), ..stage.world("run") };
        world.drivers.insert(environment("production"), machine.clone());
        let ledger = Ledger { policy: Some(people()), ..Ledger::default() };
        Self { stage, machine, world, ledger }
    }

    fn site<'a>(&'a self, production: &'a sealift_domain::name::EnvironmentName) -> Site<'a> {
        Site {
            ledger: &self.ledger,
            environment: production,
            driver: self.machine.as_ref(),
            host: self.machine.as_ref(),
            signatures: self.world.signatures.as_ref(),
            prober: self.world.prober.as_ref(),
            clock: self.world.clock.as_ref(),
            observer: &(),
        }
    }

    async fn chosen(&self, wish: Wish) -> Result<Chosen, EngineError> {
        offline::choose(&self.ledger, (self.machine.as_ref(), self.machine.as_ref()), &wish).await
    }

    fn signed(&self, act: Act, who: &str) -> Signed {
        self.signed_once(act, who, NONCE)
    }

    fn signed_once(&self, act: Act, who: &str, nonce: &str) -> Signed {
        let statement = ActStatement {
            v: 1,
            app: "app".parse().unwrap(),
            act,
            person: who.parse().unwrap(),
            reason: "it burns".into(),
            issued_at: self.world.clock.now(),
            nonce: nonce.into(),
        };
        let statement = serde_json::to_vec(&statement).unwrap();
        let signature = format!("{who} {}", Digest::of(&statement)).into_bytes();
        Signed { statement, signature }
    }

    /// Goes back by `who`, or goes on with that.
    async fn back(&self, who: &str) -> Result<Record, EngineError> {
        self.back_once(who, NONCE).await
    }

    async fn back_once(&self, who: &str, nonce: &str) -> Result<Record, EngineError> {
        let production = environment("production");
        let site = self.site(&production);
        let (kept, record) = match offline::open(&site, None).await? {
            Some(open) => open,
            None => {
                let chosen = self.chosen(wish()).await?;
                let signed = self.signed_once(chosen.act.clone(), who, nonce);
                offline::begin(&site, chosen, signed).await?
            }
        };
        Ok(offline::go_on(&site, kept, record).await?.1)
    }

    async fn merge(&self) -> Result<Vec<offline::Merged>, EngineError> {
        offline::merge(&self.stage.book().await, &self.world, &environment("production")).await
    }

    async fn work(&self, id: PromotionId) -> Result<Status, EngineError> {
        let book = self.stage.book().await;
        Worker::new(&book, &self.world, &(), RunOptions::default()).run(id).await
    }
}

/// The random part of a statement, where a scene has one.
const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn wish() -> Wish {
    Wish { environment: environment("production"), named: None, despite_schema: false }
}

#[tokio::test]
async fn cut_off_at_every_call_and_run_again_it_comes_to_the_same_end() {
    let scene = Scene::new(&[1, 2]).await;
    let undisturbed = scene.back("ana").await.unwrap();
    assert!(matches!(undisturbed.end.unwrap().outcome, Outcome::Verified { .. }));
    let compared = |state: State| State { calls: 0, cut: None, records: BTreeMap::new(), ..state };
    let end = compared(scene.machine.state());
    assert_eq!(end.live, Some(("offline-0123456789abcdef0123456789abcdef".into(), 1)));
    assert_eq!(
        end.past,
        [("p1".to_owned(), 1), ("offline-0123456789abcdef0123456789abcdef".to_owned(), 1)],
        "the other is forgotten"
    );
    let calls = scene.machine.state().calls;
    assert!(calls >= 12, "{calls} calls are no rollback");
    for at in 0..calls {
        for before in [true, false] {
            let machine = Machine::ran(&[1, 2]);
            machine.change(|state| state.cut = Some((at, before)));
            let scene = Scene { machine: Arc::new(machine), world: scene.world.clone(), ..Scene::new(&[]).await };
            let case = format!("call {at} of {calls}, before it: {before}");
            let first = scene.back("ana").await;
            let again = scene.back("ana").await.unwrap_or_else(|error| panic!("{case}: {error}, first {first:?}"));
            assert!(matches!(again.end.unwrap().outcome, Outcome::Verified { .. }), "{case}");
            assert_eq!(compared(scene.machine.state()), end, "{case}");
            assert_eq!(scene.machine.state().records.len(), 1, "{case}");
        }
    }
}

#[tokio::test]
async fn a_release_that_does_not_get_up_leaves_what_is_live() {
    let scene = Scene::new(&[1, 2]).await;
    scene.machine.change(|state| state.unwell = true);
    let record = scene.back("ana").await.unwrap();
    assert!(matches!(record.end.unwrap().outcome, Outcome::Unchanged { code, .. } if code.as_str() == "E0504"));
    let state = scene.machine.state();
    assert_eq!((state.live, state.beside.len()), (Some(("p2".into(), 2)), 0));
    let merged = scene.merge().await.unwrap();
    assert_eq!(merged.len(), 1);
    let ledger = scene.stage.book().await.ledger().await.unwrap();
    assert_eq!(ledger.environments[&environment("production")].live.as_ref().unwrap().release, release(2));
    assert!(ledger.holds.is_empty());
}

#[tokio::test]
async fn a_release_that_is_not_known_to_work_on_the_database_is_passed_over_unless_that_is_signed() {
    let scene = Scene::new(&[1, 2, 3]).await;
    scene.machine.change(|state| {
        state.schemas = [(1, 8), (2, 7), (3, 8)].into();
        state.database = Some(8);
    });
    let chosen = scene.chosen(wish()).await.unwrap();
    assert_eq!(chosen.release, release(1), "the newer one expects another schema");
    assert!(chosen.notes.iter().any(|note| note.contains("the database is at schema 8")), "{:?}", chosen.notes);
    let named = Wish { named: Some(release(2)), ..wish() };
    assert!(matches!(scene.chosen(named.clone()).await, Err(EngineError::NothingOnHost(_))));
    let despite = scene.chosen(Wish { despite_schema: true, ..named }).await.unwrap();
    assert!(despite.notes.iter().any(|note| note.contains("NOT KNOWN TO WORK")), "{:?}", despite.notes);
    assert!(matches!(despite.act, Act::OfflineRollback { despite_schema: true, .. }));
    // What was signed for one is none for the other.
    let production = environment("production");
    let other = scene.signed(despite.act, "ana");
    let refused = offline::begin(&scene.site(&production), chosen, other).await;
    assert!(matches!(refused, Err(EngineError::Statement(_))), "{refused:?}");
    assert_eq!(scene.machine.state().records.len(), 0);
}

#[tokio::test]
async fn what_became_live_while_it_was_signed_is_left_alone() {
    let scene = Scene::new(&[1, 2]).await;
    let chosen = scene.chosen(wish()).await.unwrap();
    let signed = scene.signed(chosen.act.clone(), "ana");
    scene.machine.change(|state| state.live = Some(("p9".into(), 9)));
    let production = environment("production");
    let refused = offline::begin(&scene.site(&production), chosen, signed).await;
    assert!(matches!(refused, Err(EngineError::NothingOnHost(_))), "{refused:?}");
    assert_eq!(scene.machine.state().records.len(), 0, "nothing bars anybody");
}

#[tokio::test]
async fn merging_may_be_cut_off_and_comes_in_once() {
    let scene = Scene::new(&[1, 2]).await;
    scene.back("ana").await.unwrap();
    let size = scene.stage.book().await.ledger().await.unwrap().size;
    // The log has it, and the host does not hear of that.
    let calls = scene.machine.state().calls;
    scene.machine.change(|state| state.cut = Some((calls, true)));
    assert!(scene.merge().await.is_err());
    let again = scene.merge().await.unwrap();
    assert_eq!((again.len(), again[0].new, again[0].entry), (1, false, size));
    assert_eq!((scene.machine.state().records.len(), scene.machine.state().floor), (0, size));
    assert_eq!(scene.stage.book().await.ledger().await.unwrap().size, size + 1);
    let report = sealift_engine::audit::verify(&scene.stage.book().await, &Names, None).await.unwrap();
    assert_eq!(report.statements, 1);
    assert_eq!(scene.merge().await.unwrap(), []);
}

#[tokio::test]
async fn what_somebody_went_back_from_is_not_gone_back_to_also_when_the_log_has_that() {
    let scene = Scene::new(&[1, 2, 3]).await;
    for (nonce, to) in [("0a".repeat(16), 2), ("0b".repeat(16), 1)] {
        let record = scene.back_once("ana", &nonce).await.unwrap();
        assert_eq!(record.release(), Some(release(to)));
        scene.merge().await.unwrap();
    }
    let nothing = scene.chosen(wish()).await.unwrap_err();
    assert!(nothing.to_string().contains("somebody has gone back from it"), "{nothing}");
    let named = scene.chosen(Wish { named: Some(release(2)), ..wish() }).await.unwrap();
    assert_eq!(named.release, release(2), "unless it is meant");
}

/// Two rollbacks, one after the other, as files.
async fn two_records(scene: &Scene) -> [Vec<u8>; 2] {
    // As on a host that was deployed to under leases of this log.
    let size = scene.stage.book().await.ledger().await.unwrap().size;
    scene.machine.change(|state| state.fence = size);
    let first = scene.back_once("ana", &"0a".repeat(16)).await.unwrap();
    // The host is settled without the log, so that the files are all there is.
    scene.machine.change(|state| state.merged.extend(std::mem::take(&mut state.records).into_values()));
    let second = scene.back_once("ana", &"0b".repeat(16)).await.unwrap();
    [first.bytes(), second.bytes()]
}

#[tokio::test]
async fn records_in_the_wrong_order_say_nothing_of_what_is_live() {
    let scene = Scene::new(&[1, 2, 3]).await;
    let [first, second] = two_records(&scene).await;
    let book = scene.stage.book().await;
    for bytes in [&second, &first] {
        offline::merge_bytes(&book, &Names, bytes).await.unwrap();
    }
    let ledger = book.ledger().await.unwrap();
    let record = &ledger.environments[&environment("production")];
    assert_eq!(record.live.as_ref().unwrap().release, release(1));
    assert_eq!(record.offline.iter().map(|past| past.late).collect::<Vec<_>>(), [false, true]);
    let held = |n: u8| ledger.holds.contains_key(&sealift_domain::freeze::HoldScope::Digest(Digest::of(&[n])));
    assert!(held(2) && !held(1), "{:?}", ledger.holds);
}

#[tokio::test]
async fn a_file_of_a_stranger_or_of_another_log_is_refused() {
    let scene = Scene::new(&[1, 2]).await;
    let chosen = scene.chosen(wish()).await.unwrap();
    let production = environment("production");
    let signed = scene.signed(chosen.act.clone(), "ana");
    let (_, record) = offline::begin(&scene.site(&production), chosen, signed).await.unwrap();
    let book = scene.stage.book().await;
    let size = book.ledger().await.unwrap().size;
    let forged = Record { signature: record.signature.replace("ana", "mal"), ..record.clone() };
    let refused = offline::merge_bytes(&book, &Names, &forged.bytes()).await.unwrap_err();
    assert!(refused.to_string().contains("nobody's in the policy"), "{refused}");
    // The same releases never were in this log.
    let other = Scene::new(&[]).await;
    let refused = offline::merge_bytes(&other.stage.book().await, &Names, &record.bytes()).await.unwrap_err();
    assert!(refused.to_string().contains("may be of another log"), "{refused}");
    assert_eq!(book.ledger().await.unwrap().size, size);
}

#[tokio::test]
async fn attack_28_a_run_that_lost_its_host_meanwhile_commits_nothing() {
    let scene = Scene::new(&[1, 2]).await;
    scene.stage.build(3).await;
    let staged = scene.stage.ask(Kind::Promote, 3, "staging").await;
    assert_eq!(scene.stage.run(staged).await, Status::Completed);
    let id = scene.stage.ask(Kind::Promote, 3, "production").await;
    // While the run verifies, a record comes to the host, and the verification fails for that.
    let machine = scene.machine.clone();
    let bar = Kept { key: "offline-x".into(), fence: 900, bytes: b"{}".to_vec() };
    let kept = bar.clone();
    let comes = Box::new(move || machine.change(|state| drop(state.records.insert(kept.key.clone(), kept))));
    scene.stage.script.during.lock().unwrap().insert(Step::Verify, comes);
    scene.stage.fail(Step::Verify, 1);
    let before = scene.work(id).await;
    assert!(matches!(before, Err(EngineError::Unmerged { .. })), "{before:?}");
    let ledger = scene.stage.book().await.ledger().await.unwrap();
    let promotion = &ledger.promotions[&id];
    assert_eq!((promotion.status(), ledger.holds.len()), (Status::InProgress, 0), "no failure was committed");
    assert!(scene.work(id).await.is_err(), "nor is anything begun");
    // Gone back for good, it is over.
    scene.machine.change(|state| drop(state.records.remove(&bar.key)));
    scene.back("ana").await.unwrap();
    scene.merge().await.unwrap();
    let ledger = scene.stage.book().await.ledger().await.unwrap();
    assert_eq!(ledger.promotions[&id].status(), Status::RolledBack);
    assert!(ledger.leases.is_empty());
    assert_eq!(scene.work(id).await.unwrap(), Status::RolledBack);
}
