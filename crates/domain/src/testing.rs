//! What several unit tests need: values in few words.

use jiff::Timestamp;

use crate::{
    approval::{Approval, ApprovalStatement, Decision, Proof, STATEMENT_VERSION},
    digest::Digest,
    failure::{Code, Failure},
    gate::{Finding, Judged, Verdict},
    name::{ComponentName, PersonId},
    promotion::{Kind, PromotionId, Request, Requester},
    quantity::Period,
    release::Release,
    undo::{Observed, Undo},
};

/// An instant `seconds` after a fixed one.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Period::from_secs(seconds).after("2026-01-01T00:00:00Z".parse().unwrap())
}

pub(crate) fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

pub(crate) fn release(of: &str) -> Release {
    Release::single(digest(of))
}

pub(crate) fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

/// A proof by `key`, whose objects are told apart by it.
pub(crate) fn proof(key: &str) -> Proof {
    Proof::Sshsig { key: key.into(), statement: digest(&format!("{key} statement")), signature: digest(key) }
}

pub(crate) fn by(id: &str) -> Requester {
    Requester::Person { id: person(id), proof: proof(id) }
}

pub(crate) fn failure(words: &str) -> Failure {
    Failure { code: Code::new("E0001"), message: words.into(), evidence: Vec::new() }
}

pub(crate) fn judged(passed: bool) -> Judged {
    let verdict = if passed {
        Verdict::Pass { found: "good".into() }
    } else {
        Verdict::Fail { reason: "bad".into(), remedy: "mend it".into(), clears_at: None }
    };
    Judged {
        gate: "order".into(),
        code: Code::new("G003"),
        version: 1,
        finding: Finding { verdict, evidence: Vec::new() },
        waived: false,
    }
}

pub(crate) fn running(of: &str) -> Observed {
    Observed::Running { release: release(of), definition: None }
}

/// An undo record with one moving tag.
pub(crate) fn undo(previous: Observed) -> Undo {
    let tags = [("main".parse().unwrap(), Some(digest("old"))), ("latest".parse().unwrap(), None)];
    Undo { previous, tags: [(ComponentName::only(), tags.into())].into(), database: None }
}

/// A request to bring `new` from staging to production.
pub(crate) fn request(kind: Kind) -> Request {
    Request {
        kind,
        from: Some("staging".parse().unwrap()),
        asked_from: None,
        to: "production".parse().unwrap(),
        release: release("new"),
        by_hand: false,
        requester: by("ana"),
        reason: None,
        run_id: None,
        policy: digest("policy"),
        expedited: false,
    }
}

/// What `approver` says to promotion `id` of `new`, from `at(0)` for an hour.
pub(crate) fn approval(id: PromotionId, approver: &str, decision: Decision) -> Approval {
    let pinned = format!("ghcr.io/acme/app@{}", digest("new")).parse().unwrap();
    let statement = ApprovalStatement {
        v: STATEMENT_VERSION,
        promotion: id,
        app: "shop".parse().unwrap(),
        release: [(ComponentName::only(), pinned)].into(),
        from: Some("staging".parse().unwrap()),
        to: "production".parse().unwrap(),
        policy_digest: digest("policy"),
        evidence_digest: digest("evidence"),
        decision,
        approver: person(approver),
        issued_at: at(0),
        expires_at: at(3600),
        nonce: format!("nonce of {approver}"),
        reason: None,
        expedited: false,
        waived: std::collections::BTreeSet::new(),
    };
    Approval { statement, proof: proof(approver), at: at(1), revoked: None }
}
