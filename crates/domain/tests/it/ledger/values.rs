//! Values in few words: one application with two environments, three approvers and two channels.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealift_domain::{
    approval::Proof,
    cost::Cost,
    digest::Digest,
    event::{Event, Holder, PolicyAccepted},
    failure::{Code, Failure},
    image::{Image, PlatformImage},
    name::{ComponentName, EnvironmentName, PersonId},
    notice::NoticeKind,
    personal::{Personal, Salt},
    policy::{ApprovalRule, AttestRule, Contact, Environment, Excluded, Person, Policy, RollbackRule},
    promotion::{Kind, PromotionId, Request, Requester},
    quantity::Period,
    record::Build,
    release::Release,
    schema::{COMPATIBLE_LABEL, SCHEMA_LABEL, Schema},
    signature::PublicKey,
};

/// An instant `seconds` after a fixed one.
pub(super) fn at(seconds: u64) -> Timestamp {
    Period::from_secs(seconds).after("2026-01-01T00:00:00Z".parse().unwrap())
}

pub(super) fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// The `n`th release; the first component changes with each, the second seldom.
pub(super) fn release(n: u8) -> Release {
    let worker = "worker".parse().unwrap();
    let digests =
        [(ComponentName::only(), digest(&format!("app {n}"))), (worker, digest(&format!("worker {}", n / 4)))];
    Release::new(digests.into()).unwrap()
}

/// What the images of a release say of the schema in a world with labels: its own, and the oldest that works on it.
pub(super) fn labels_of(release: &Release) -> Option<(u64, u64)> {
    let app = release.digest(&ComponentName::only())?;
    match (0..6).find(|n| digest(&format!("app {n}")) == app)? {
        0 => Some((1, 0)),
        1 => Some((1, 1)),
        2 => Some((2, 1)),
        3 => Some((2, 2)),
        4 => Some((3, 2)),
        _ => None,
    }
}

pub(super) fn schema((at, from): (u64, u64)) -> Schema {
    Schema::new(at, from).unwrap()
}

pub(super) fn environment(production: bool) -> EnvironmentName {
    if production { "production" } else { "staging" }.parse().unwrap()
}

pub(super) fn staging() -> EnvironmentName {
    environment(false)
}

pub(super) fn production() -> EnvironmentName {
    environment(true)
}

pub(super) fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

pub(super) fn proof(key: &str) -> Proof {
    Proof::Sshsig { key: key.into(), statement: digest(&format!("{key} statement")), signature: digest(key) }
}

pub(super) fn by(id: &str) -> Requester {
    Requester::Person { id: person(id), proof: proof(id) }
}

pub(super) fn failure(words: &str) -> Failure {
    Failure { code: Code::new("E0001"), message: words.into(), evidence: vec![digest(words)] }
}

/// A run of the program.
pub(super) fn holder(run: &str) -> Holder {
    Holder { run: run.into(), machine: digest("machine"), pid: 42, started: 4711 }
}

/// The record of the build of one digest.
pub(super) fn build(digest: Digest) -> Build {
    Build {
        repository: "ghcr.io/acme/shop".parse().unwrap(),
        digest,
        commit: Some("7a3f9c2".repeat(6)),
        run_id: Some("4711".into()),
        author: Some(person("dan")),
        committer: None,
        actor: None,
        version: None,
    }
}

/// What a registry reads under `digest`, with these schema labels.
pub(super) fn image(digest: Digest, labels: Option<(u64, u64)>) -> Image {
    let platform = PlatformImage {
        platform: "linux/amd64".into(),
        digest,
        config: None,
        compressed_bytes: 1000,
        layers: 3,
        missing: Vec::new(),
        labels: labels
            .iter()
            .flat_map(|(at, from)| [(SCHEMA_LABEL.into(), at.to_string()), (COMPATIBLE_LABEL.into(), from.to_string())])
            .collect(),
        created: None,
    };
    Image { digest, media_type: "m".into(), platforms: vec![platform], annotations: BTreeMap::new() }
}

fn key() -> PublicKey {
    PublicKey::from_canonical_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap()
}

fn environment_policy(from: Option<EnvironmentName>, approvals: u32) -> Environment {
    let rule = ApprovalRule {
        roles: ["lead".parse().unwrap()].into(),
        count: approvals,
        expires: Period::from_secs(3600),
        not: [Excluded::Requester].into(),
        accepts: ApprovalRule::default_accepts(),
    };
    let gates = if from.is_some() { serde_json::json!({"soak": "2m"}) } else { serde_json::json!({}) };
    Environment {
        from,
        components: [
            (ComponentName::only(), "ghcr.io/acme/shop".parse().unwrap()),
            ("worker".parse().unwrap(), "ghcr.io/acme/worker".parse().unwrap()),
        ]
        .into(),
        tags: Vec::new(),
        gates: serde_json::from_value(gates).unwrap(),
        approval: (approvals > 0).then_some(rule),
        expedited: None,
        freezes: Vec::new(),
        freeze_override: None,
        migrate: None,
        verify: Vec::new(),
        rollback: RollbackRule::default(),
        // Histories with the one policy and with the other have promotions that attest and promotions that do not.
        attest: (approvals > 1).then(|| AttestRule { keys: vec![key()], legacy_att: false }),
        writer: Vec::new(),
    }
}

/// A policy where production wants this many approvals, and its channels: `chat` wants all, `mail` wants some.
pub(super) fn policy(approvals: u32) -> Policy {
    let people = ["ana", "bo", "cy"]
        .map(|id| (person(id), Person { roles: ["lead".parse().unwrap()].into(), ssh: [id.to_owned()].into() }));
    let all = [
        NoticeKind::ApprovalWanted,
        NoticeKind::Started,
        NoticeKind::Completed,
        NoticeKind::Failed,
        NoticeKind::RolledBack,
        NoticeKind::Cancelled,
        NoticeKind::Stuck,
    ];
    let environments =
        [(staging(), environment_policy(None, 0)), (production(), environment_policy(Some(staging()), approvals))];
    Policy {
        app: "shop".parse().unwrap(),
        source: None,
        people: people.into(),
        identities: Vec::new(),
        environments: environments.into(),
        notify: [
            ("chat".parse().unwrap(), all.into()),
            ("mail".parse().unwrap(), [NoticeKind::ApprovalWanted, NoticeKind::Stuck].into()),
        ]
        .into(),
    }
}

/// Its acceptance, with a personal text.
pub(super) fn accepted(policy: Policy) -> Event {
    let contact = Contact { email: Some(Personal::new("ana@acme.dev", Salt([3; 32]))), github: None };
    let contacts = [(person("ana"), contact)].into();
    Event::PolicyAccepted(Box::new(PolicyAccepted {
        policy,
        contacts,
        accepted_by: [(person("bo"), proof("bo"))].into(),
        registers: true,
        proposal: None,
    }))
}

/// A request of ana's.
pub(super) fn request(kind: Kind, to: EnvironmentName, release: Release) -> Request {
    Request {
        kind,
        from: (kind == Kind::Promote && to == production()).then(staging),
        asked_from: None,
        to,
        release,
        by_hand: false,
        requester: by("ana"),
        reason: Some("because".into()),
        run_id: None,
        policy: policy(1).digest(),
        expedited: false,
    }
}

/// A promotion that nobody ever requested.
pub(super) const NOBODY: PromotionId = PromotionId(u64::MAX);

/// What a step took, by a number that differs from step to step.
pub(super) fn cost(n: u64) -> Cost {
    Cost { cpu_ms: n, peak_memory_bytes: n, pulled_bytes: n.is_multiple_of(2).then_some(n), elapsed_ms: n }
}
