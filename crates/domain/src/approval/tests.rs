use super::*;
use crate::{
    quantity::Period,
    testing::{approval, at, by, digest, person},
};

const ID: PromotionId = PromotionId(7);

/// ana and bo may approve, cy too and with two keys; dan has no such role.
fn people() -> BTreeMap<PersonId, Person> {
    let one = |role: &str, keys: &[&str]| Person {
        roles: [role.parse().unwrap()].into(),
        ssh: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    [
        (person("ana"), one("release-manager", &["ana"])),
        (person("bo"), one("platform-lead", &["bo"])),
        (person("cy"), one("release-manager", &["cy", "cy at home"])),
        (person("dan"), one("developer", &["dan"])),
    ]
    .into()
}

fn rule(count: u32, not: impl IntoIterator<Item = Excluded>) -> ApprovalRule {
    ApprovalRule {
        roles: ["release-manager".parse().unwrap(), "platform-lead".parse().unwrap()].into(),
        count,
        expires: Period::from_secs(3600),
        not: not.into_iter().collect(),
    }
}

/// What [`approval`] is bound to.
fn binding() -> Binding {
    let statement = approval(ID, "bo", Decision::Approve).statement;
    Binding {
        promotion: ID,
        app: statement.app,
        release: statement.release,
        from: statement.from,
        to: statement.to,
        policy_digest: statement.policy_digest,
        evidence_digest: statement.evidence_digest,
    }
}

/// Who asks and who wrote what: ana and dan unless a test says otherwise.
struct Around {
    requester: Requester,
    authors: Vec<Option<PersonId>>,
    now: Timestamp,
}

impl Default for Around {
    fn default() -> Self {
        Self { requester: by("ana"), authors: vec![Some(person("dan"))], now: at(10) }
    }
}

impl Around {
    fn counts(&self, approval: &Approval, rule: &ApprovalRule) -> Result<(), NotCounted> {
        let parties = Parties { requester: &self.requester, authors: self.authors.clone() };
        counts(approval, rule, &binding(), &people(), &parties, self.now)
    }

    fn consent(&self, approvals: &[Approval], rule: &ApprovalRule) -> Consent {
        let parties = Parties { requester: &self.requester, authors: self.authors.clone() };
        consent(approvals, rule, &binding(), &people(), &parties, self.now)
    }
}

fn yes(id: &str) -> Approval {
    approval(ID, id, Decision::Approve)
}

/// bo's approval with a statement that `change` has changed.
fn changed(change: impl FnOnce(&mut ApprovalStatement)) -> Approval {
    let mut approval = yes("bo");
    change(&mut approval.statement);
    approval
}

fn signed_with(mut approval: Approval, other: &str) -> Approval {
    let Proof::Sshsig { key, .. } = &mut approval.proof;
    *key = other.to_owned();
    approval.statement.nonce = other.to_owned();
    approval
}

fn ids(ids: &[&str]) -> BTreeSet<PersonId> {
    ids.iter().map(|id| person(id)).collect()
}

const BOTH: [Excluded; 2] = [Excluded::Requester, Excluded::Author];

#[test]
fn an_approval_that_meets_every_rule_counts() {
    assert_eq!(Around::default().counts(&yes("bo"), &rule(1, BOTH)), Ok(()));
    assert_eq!(Around::default().counts(&signed_with(yes("cy"), "cy at home"), &rule(1, BOTH)), Ok(()));
}

#[test]
fn an_approval_counts_only_for_what_was_signed() {
    let other = "ghcr.io/acme/app@".to_owned() + &digest("other").to_string();
    let elsewhere = "ghcr.io/evil/app@".to_owned() + &digest("new").to_string();
    let only = ComponentName::only();
    let cases: Vec<(&str, Approval)> = vec![
        ("promotion", changed(|s| s.promotion = PromotionId(8))),
        ("application", changed(|s| s.app = "other".parse().unwrap())),
        ("release", changed(|s| drop(s.release.insert(only.clone(), other.parse().unwrap())))),
        ("release", changed(|s| drop(s.release.insert(only.clone(), elsewhere.parse().unwrap())))),
        ("release", changed(|s| s.release.clear())),
        ("origin", changed(|s| s.from = None)),
        ("origin", changed(|s| s.from = Some("dev".parse().unwrap()))),
        ("target", changed(|s| s.to = "staging".parse().unwrap())),
        ("policy", changed(|s| s.policy_digest = digest("another policy"))),
        ("set of evidence", changed(|s| s.evidence_digest = digest("other evidence"))),
    ];
    for (what, approval) in cases {
        assert_eq!(Around::default().counts(&approval, &rule(1, [])), Err(NotCounted::Other(what)));
    }
    let old = changed(|s| s.v = STATEMENT_VERSION + 1);
    assert_eq!(Around::default().counts(&old, &rule(1, [])), Err(NotCounted::Version(STATEMENT_VERSION + 1)));
}

#[test]
fn an_approval_counts_until_the_instant_it_expires() {
    let at_time = |now| Around { now, ..Around::default() }.counts(&yes("bo"), &rule(1, []));
    let just_before = at(3600).checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap();
    assert_eq!(at_time(just_before), Ok(()));
    assert_eq!(at_time(at(3600)), Err(NotCounted::Expired(at(3600))));
    assert_eq!(at_time(at(3601)), Err(NotCounted::Expired(at(3600))));
}

#[test]
fn an_approver_s_clock_may_be_a_minute_fast_and_no_more() {
    let dated = |issued: u64| {
        changed(|s| {
            s.issued_at = at(issued);
            s.expires_at = at(issued + 60);
        })
    };
    assert_eq!(Around::default().counts(&dated(70), &rule(1, [])), Ok(()));
    assert_eq!(Around::default().counts(&dated(71), &rule(1, [])), Err(NotCounted::Future(at(71))));
}

#[test]
fn an_approval_may_live_as_long_as_the_policy_says_and_no_longer() {
    let until = |expires: u64| changed(|s| s.expires_at = at(expires));
    assert_eq!(Around::default().counts(&until(3600), &rule(1, [])), Ok(()));
    assert_eq!(Around::default().counts(&until(3601), &rule(1, [])), Err(NotCounted::TooLong));
}

#[test]
fn only_people_of_the_policy_with_their_own_key_and_a_role_count() {
    let counts = |approval: Approval| Around::default().counts(&approval, &rule(1, []));
    assert_eq!(counts(yes("eve")), Err(NotCounted::Stranger(person("eve"))));
    assert_eq!(counts(signed_with(yes("bo"), "cy")), Err(NotCounted::ForeignKey(person("bo"))));
    assert_eq!(counts(yes("dan")), Err(NotCounted::Role(person("dan"))));
}

#[test]
fn whoever_asked_may_not_approve_and_nobody_may_if_that_is_unknown() {
    let counts = |requester, who: &str, not: &[Excluded]| {
        let around = Around { requester, ..Around::default() };
        around.counts(&yes(who), &rule(1, not.iter().copied()))
    };
    let not = [Excluded::Requester];
    assert_eq!(counts(by("bo"), "bo", &not), Err(NotCounted::IsRequester(person("bo"))));
    assert_eq!(counts(by("ana"), "bo", &not), Ok(()));
    assert_eq!(counts(Requester::Unknown, "bo", &not), Err(NotCounted::RequesterUnknown));
    assert_eq!(counts(by("bo"), "bo", &[Excluded::Author]), Ok(()), "the policy does not exclude requesters");
    assert_eq!(counts(Requester::Unknown, "bo", &[]), Ok(()));
}

#[test]
fn whoever_wrote_any_component_may_not_approve_and_nobody_may_if_one_author_is_unknown() {
    let counts = |authors: &[Option<&str>], not: &[Excluded]| {
        let authors = authors.iter().map(|id| id.map(person)).collect();
        Around { authors, ..Around::default() }.counts(&yes("bo"), &rule(1, not.iter().copied()))
    };
    let not = [Excluded::Author];
    assert_eq!(counts(&[Some("bo")], &not), Err(NotCounted::IsAuthor(person("bo"))));
    assert_eq!(counts(&[Some("dan"), Some("bo")], &not), Err(NotCounted::IsAuthor(person("bo"))));
    assert_eq!(counts(&[Some("dan"), Some("cy")], &not), Ok(()));
    assert_eq!(counts(&[Some("dan"), None], &not), Err(NotCounted::AuthorUnknown));
    assert_eq!(counts(&[], &not), Err(NotCounted::AuthorUnknown), "no author at all is an unknown one");
    assert_eq!(counts(&[Some("bo")], &[Excluded::Requester]), Ok(()), "the policy does not exclude authors");
    assert_eq!(counts(&[None], &[]), Ok(()));
}

#[test]
fn a_quorum_is_of_persons_not_of_keys_or_statements() {
    let twice = [yes("cy"), signed_with(yes("cy"), "cy at home")];
    let wanted = Consent::Wanted { by: ids(&["cy"]), missing: 1 };
    assert_eq!(Around::default().consent(&twice, &rule(2, BOTH)), wanted);
    assert_eq!(Around::default().consent(&twice, &rule(1, BOTH)), Consent::Given(ids(&["cy"])));
}

#[test]
fn consent_needs_as_many_persons_as_the_policy_says() {
    let around = Around::default();
    let wanted = |by: &[&str], missing| Consent::Wanted { by: ids(by), missing };
    assert_eq!(around.consent(&[], &rule(2, BOTH)), wanted(&[], 2));
    assert_eq!(around.consent(&[yes("bo")], &rule(2, BOTH)), wanted(&["bo"], 1));
    assert_eq!(around.consent(&[yes("bo"), yes("cy")], &rule(2, BOTH)), Consent::Given(ids(&["bo", "cy"])));
    let with_requester = [yes("bo"), yes("ana"), yes("dan")];
    assert_eq!(around.consent(&with_requester, &rule(2, BOTH)), wanted(&["bo"], 1), "ana asked, dan has no role");
    let three = [yes("ana"), yes("bo"), yes("cy")];
    let without_exclusions = around.consent(&three, &rule(2, []));
    assert_eq!(without_exclusions, Consent::Given(ids(&["ana", "bo", "cy"])), "more than enough is enough");
}

#[test]
fn a_rejection_is_no_consent() {
    let no = approval(ID, "bo", Decision::Reject);
    let wanted = Consent::Wanted { by: ids(&[]), missing: 1 };
    assert_eq!(Around::default().consent(&[no], &rule(1, BOTH)), wanted);
}

#[test]
fn consent_lapses_with_its_approvals() {
    let later = Around { now: at(3600), ..Around::default() };
    let wanted = Consent::Wanted { by: ids(&[]), missing: 1 };
    assert_eq!(later.consent(&[yes("bo")], &rule(1, BOTH)), wanted);
}

#[test]
fn a_rule_of_nobody_is_never_met() {
    let wanted = |by: &[&str]| Consent::Wanted { by: ids(by), missing: 1 };
    assert_eq!(Around::default().consent(&[], &rule(0, [])), wanted(&[]));
    assert_eq!(Around::default().consent(&[yes("bo")], &rule(0, [])), wanted(&["bo"]));
}

#[test]
fn every_refusal_says_why() {
    let who = || person("bo");
    for (why, words) in [
        (NotCounted::Version(2), "its form is version 2, this program knows 1"),
        (NotCounted::Other("policy"), "it was given for another policy"),
        (NotCounted::Expired(at(0)), "it expired at 2026-01-01T00:00:00Z"),
        (NotCounted::Stranger(who()), "`bo` is not in the policy"),
        (NotCounted::ForeignKey(who()), "the key is not one of `bo`'s in the policy"),
        (NotCounted::IsAuthor(who()), "`bo` wrote the source commit, and authors may not approve"),
    ] {
        assert_eq!(why.to_string(), words);
    }
}
