use super::*;
use crate::{
    policy::{ApprovalRule, Excluded, Person},
    promotion::Requester,
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
        accepts: ApprovalRule::default_accepts(),
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
        expedited: false,
        waived: BTreeSet::new(),
    }
}

/// Who asks and who wrote what: ana and dan unless a test says otherwise.
struct Around {
    requester: Requester,
    authors: Vec<Option<PersonId>>,
    committers: Vec<Option<PersonId>>,
    actors: Vec<Option<PersonId>>,
    registered: Registered,
    policy_since: Option<u64>,
    now: Timestamp,
}

impl Default for Around {
    fn default() -> Self {
        Self {
            requester: by("ana"),
            authors: vec![Some(person("dan"))],
            committers: vec![None],
            actors: vec![None],
            registered: Registered::new(),
            policy_since: Some(1),
            now: at(10),
        }
    }
}

impl Around {
    fn counts(&self, approval: &Approval, rule: &ApprovalRule) -> Result<(), NotCounted> {
        counts(approval, rule, &binding(), self.voters(&people()), &self.parties(), self.now)
    }

    fn consent(&self, approvals: &[Approval], rule: &ApprovalRule) -> Consent {
        let proven = approvals.iter().map(|approval| approval.statement.digest()).collect();
        consent(approvals, &proven, rule, &binding(), self.voters(&people()), &self.parties(), self.now)
    }

    fn voters<'a>(&'a self, people: &'a BTreeMap<PersonId, Person>) -> Voters<'a> {
        Voters { people, registered: &self.registered, policy_since: self.policy_since }
    }

    fn parties(&self) -> Parties<'_> {
        let (committers, actors) = (self.committers.clone(), self.actors.clone());
        Parties { requester: &self.requester, authors: self.authors.clone(), committers, actors }
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
    let Proof::Sshsig { key, .. } = &mut approval.proof else { panic!("an SSH signature") };
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

#[test]
fn a_proof_of_a_kind_that_the_rule_does_not_list_never_counts() {
    let at = at(5);
    let review =
        Proof::GithubReview { run: 1, reviewer: 2, submitted: digest("new"), delivered_at: at, delivery: digest("d") };
    let session = Proof::ServerSession { session: digest("s"), signed_in_at: at, statement: digest("t") };
    let comment = Proof::GithubComment { comment: 1, author: 2, delivered_at: at, delivery: digest("d") };
    let token = Proof::Oidc { token: digest("t"), keys: digest("k") };
    let with = |proof: &Proof| Approval { proof: proof.clone(), ..yes("bo") };
    for proof in [&review, &session, &comment] {
        let why = Around::default().counts(&with(proof), &rule(1, [])).unwrap_err();
        let words = why.to_string();
        assert!(matches!(why, NotCounted::Kind { .. }), "{words}");
        assert!(words.contains(proof.as_str()) && words.contains("accepts only sshsig"), "{words}");
        // Listed, and still nobody here can tell whose it is, but of a comment.
        let mut all = rule(1, []);
        all.accepts = [ProofKind::Sshsig, proof.kind().unwrap()].into();
        if proof.kind().is_some_and(ProofKind::is_verifiable) {
            assert_eq!(Around::default().counts(&with(proof), &all), Ok(()));
            continue;
        }
        assert_eq!(Around::default().counts(&with(proof), &all), Err(NotCounted::Unverifiable(proof.as_str())));
    }
    let why = Around::default().counts(&with(&token), &rule(1, [])).unwrap_err();
    assert!(matches!(why, NotCounted::Unverifiable(_)), "a workload is nobody: {why}");
    let mut other = rule(1, []);
    other.accepts = [ProofKind::GithubReview].into();
    let signed = Around::default().counts(&yes("bo"), &other).unwrap_err().to_string();
    assert_eq!(signed, "its proof is a SSH signature, and this environment accepts only github-review");
}

#[test]
fn who_committed_and_who_started_the_run_may_be_excluded_and_unknown_ones_exclude_everybody() {
    let committed =
        |by: &[Option<&str>]| Around { committers: by.iter().map(|id| id.map(person)).collect(), ..Around::default() };
    let not = |excluded| rule(1, [excluded]);
    let counts = |around: Around, excluded| around.counts(&yes("bo"), &not(excluded));
    assert_eq!(counts(committed(&[Some("bo")]), Excluded::Committer), Err(NotCounted::IsCommitter(person("bo"))));
    assert_eq!(counts(committed(&[Some("dan"), None]), Excluded::Committer), Err(NotCounted::CommitterUnknown));
    assert_eq!(counts(committed(&[]), Excluded::Committer), Err(NotCounted::CommitterUnknown));
    assert_eq!(counts(committed(&[Some("dan")]), Excluded::Committer), Ok(()));
    let started = |by: Option<&str>| Around { actors: vec![by.map(person)], ..Around::default() };
    assert_eq!(counts(started(Some("bo")), Excluded::Actor), Err(NotCounted::IsActor(person("bo"))));
    assert_eq!(counts(started(None), Excluded::Actor), Err(NotCounted::ActorUnknown));
    assert_eq!(counts(started(Some("dan")), Excluded::Actor), Ok(()));
    assert_eq!(counts(started(None), Excluded::Requester), Ok(()), "nobody excludes the actor");
}

#[test]
fn a_run_asks_in_the_name_of_who_started_it_and_if_nobody_is_known_nobody_may_approve() {
    let asked = |actor: Option<&str>| {
        let proof = Proof::Oidc { token: digest("t"), keys: digest("k") };
        let (issuer, subject) = ("https://id.example".to_owned(), "repo:acme/web:x".to_owned());
        let none = || None;
        Requester::Workload(Box::new(Workload {
            issuer,
            subject,
            proof,
            actor: actor.map(person),
            actor_id: none(),
            repository: none(),
            run_id: none(),
            sha: none(),
            reference: none(),
            workflow_ref: none(),
        }))
    };
    let counts =
        |requester| Around { requester, ..Around::default() }.counts(&yes("bo"), &rule(1, [Excluded::Requester]));
    assert_eq!(counts(asked(Some("bo"))), Err(NotCounted::IsRequester(person("bo"))));
    assert_eq!(counts(asked(None)), Err(NotCounted::RequesterUnknown));
    assert_eq!(counts(asked(Some("ana"))), Ok(()));
}

#[test]
fn attack_11_two_keys_are_one_person_and_whoever_comes_after_the_request_does_not_count() {
    // cy approves with both keys: that is one of the two persons that are wanted.
    let both = [yes("cy"), signed_with(yes("cy"), "cy at home")];
    assert_eq!(Around::default().consent(&both, &rule(2, [])), Consent::Wanted { by: ids(&["cy"]), missing: 1 });
    // bo's key came into the policy after the request: as a person, or as the second key of one who was there.
    let since =
        |index| Around { registered: [(person("bo"), [("bo".to_owned(), index)].into())].into(), ..Around::default() };
    assert_eq!(since(ID.0 - 1).counts(&yes("bo"), &rule(1, [])), Ok(()));
    let late = since(ID.0 + 1).counts(&yes("bo"), &rule(1, [])).unwrap_err();
    assert_eq!(late, NotCounted::Late { who: person("bo"), since: ID.0 + 1, request: ID });
    assert!(late.to_string().contains("after promotion 7 was asked for"), "{late}");
    // Whoever asked may not approve, whichever key is used.
    let own = Around { requester: by("cy"), ..Around::default() };
    for key in ["cy", "cy at home"] {
        let refused = own.counts(&signed_with(yes("cy"), key), &rule(1, [Excluded::Requester]));
        assert_eq!(refused, Err(NotCounted::IsRequester(person("cy"))), "{key}");
    }
}

#[test]
fn attack_10_an_approval_that_was_taken_back_no_longer_counts() {
    let taken_back = Approval { revoked: Some(at(5)), ..yes("bo") };
    assert_eq!(Around::default().counts(&taken_back, &rule(1, [])), Err(NotCounted::Revoked(at(5))));
    let given = [taken_back, yes("cy")];
    assert_eq!(Around::default().consent(&given, &rule(2, [])), Consent::Wanted { by: ids(&["cy"]), missing: 1 });
}

#[test]
fn an_approval_is_bound_to_the_way_and_to_what_is_waived() {
    let refused = |change: fn(&mut ApprovalStatement)| Around::default().counts(&changed(change), &rule(1, []));
    assert_eq!(refused(|s| s.expedited = true), Err(NotCounted::Other("way, expedited or not")));
    assert_eq!(refused(|s| s.waived = ["soak".to_owned()].into()), Err(NotCounted::Other("set of waived gates")));
}

#[test]
fn attack_15_an_approval_that_nobody_could_verify_again_does_not_count() {
    let around = Around::default();
    let both = [yes("bo"), yes("cy")];
    let given = |proven: &[&Approval]| {
        let proven = proven.iter().map(|approval| approval.statement.digest()).collect();
        let people = people();
        consent(&both, &proven, &rule(2, BOTH), &binding(), around.voters(&people), &around.parties(), around.now)
    };
    assert_eq!(given(&[&both[0], &both[1]]), Consent::Given(ids(&["bo", "cy"])));
    assert_eq!(given(&[&both[1]]), Consent::Wanted { by: ids(&["cy"]), missing: 1 });
    let mut other = yes("bo");
    other.statement.nonce = "another".into();
    assert_eq!(given(&[&other]), Consent::Wanted { by: ids(&[]), missing: 2 }, "another statement of theirs");
}

#[test]
fn attack_11_an_account_that_may_have_come_after_the_request_does_not_count() {
    let comment = Proof::GithubComment { comment: 1, author: 2, delivered_at: at(5), delivery: digest("d") };
    let given = Approval { proof: comment, ..yes("bo") };
    let mut rule = rule(1, []);
    rule.accepts = [ProofKind::GithubComment].into();
    let with = |policy_since| Around { policy_since, ..Around::default() }.counts(&given, &rule);
    assert_eq!(with(Some(ID.0 - 1)), Ok(()));
    for since in [None, Some(ID.0 + 1)] {
        assert_eq!(with(since), Err(NotCounted::LateAccount { who: person("bo"), request: ID }), "{since:?}");
    }
    // Nothing but a yes is said by a comment.
    let mut no = given.clone();
    no.statement.decision = Decision::Reject;
    let why = Around::default().counts(&no, &rule);
    assert_eq!(why, Err(NotCounted::Unverifiable("GitHub comment")));
}

#[test]
fn a_code_stands_for_everything_that_an_approval_is_bound_to() {
    let code = binding().code();
    let text = code.to_string();
    assert_eq!((text.len(), text.matches('-').count()), (35, 3), "{text}");
    assert_eq!(text.parse(), Ok(code.clone()));
    let careless = text.to_lowercase().replace('-', "").replace('0', "o").replace('1', "l");
    assert_eq!(careless.parse(), Ok(code.clone()), "{careless}");
    for wrong in ["", "K", &text[1..], &format!("{text}0"), &text.replace(text.chars().next().unwrap(), "U")] {
        assert_eq!(wrong.parse::<ApprovalCode>(), Err(CodeError), "{wrong}");
    }
    let statement = yes("bo").statement;
    assert_eq!(statement.binding(), binding());
    let others: [fn(&mut Binding); 9] = [
        |b| b.promotion = PromotionId(8),
        |b| b.app = "other".parse().unwrap(),
        |b| b.release.values_mut().for_each(|image| image.digest = digest("other")),
        |b| b.from = None,
        |b| b.to = "other".parse().unwrap(),
        |b| b.policy_digest = digest("other"),
        |b| b.evidence_digest = digest("other"),
        |b| b.expedited = true,
        |b| b.waived = ["soak".to_owned()].into(),
    ];
    for (at, change) in others.into_iter().enumerate() {
        let mut other = binding();
        change(&mut other);
        assert_ne!(other.code(), code, "change {at}");
    }
}
