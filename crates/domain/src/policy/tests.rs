use super::*;
use crate::{
    check::RunCheck,
    freeze::{Freeze, Recurring},
    testing::{at, person},
};

fn name(text: &str) -> EnvironmentName {
    text.parse().unwrap()
}

/// An environment with one component for each name.
fn environment(from: Option<&str>, components: &[&str]) -> Environment {
    let repository = |component: &str| format!("ghcr.io/acme/{component}").parse().unwrap();
    Environment {
        from: from.map(name),
        components: components.iter().map(|c| (c.parse().unwrap(), repository(c))).collect(),
        tags: Vec::new(),
        gates: Gates::default(),
        approval: None,
        expedited: None,
        freezes: Vec::new(),
        freeze_override: None,
        migrate: None,
        verify: Vec::new(),
        rollback: RollbackRule::default(),
        attest: None,
        writer: Vec::new(),
    }
}

fn who(role: &str, keys: &[&str]) -> Person {
    Person { roles: [role.parse().unwrap()].into(), ssh: keys.iter().map(|k| (*k).to_owned()).collect() }
}

/// dev → staging → production, where two of three leads must approve.
fn policy() -> Policy {
    let rule = ApprovalRule {
        roles: ["lead".parse().unwrap(), "on-call".parse().unwrap()].into(),
        count: 2,
        expires: Period::from_secs(3600),
        not: [Excluded::Requester].into(),
        accepts: ApprovalRule::default_accepts(),
    };
    let production = Environment { approval: Some(rule), ..environment(Some("staging"), &["web", "worker"]) };
    Policy {
        app: "shop".parse().unwrap(),
        source: None,
        people: [
            (person("ana"), who("lead", &["key a"])),
            (person("bo"), who("on-call", &["key b", "key b at home"])),
            (person("cy"), who("developer", &["key c"])),
        ]
        .into(),
        identities: Vec::new(),
        environments: [
            (name("dev"), environment(None, &["web", "worker"])),
            (name("staging"), environment(Some("dev"), &["web", "worker"])),
            (name("production"), production),
        ]
        .into(),
        notify: BTreeMap::new(),
    }
}

fn at_environment<'a>(policy: &'a mut Policy, environment: &str) -> &'a mut Environment {
    policy.environments.get_mut(&name(environment)).unwrap()
}

fn rule(policy: &mut Policy) -> &mut ApprovalRule {
    at_environment(policy, "production").approval.as_mut().unwrap()
}

/// The error of the policy after `change`.
fn refused(change: impl FnOnce(&mut Policy)) -> PolicyError {
    let mut policy = policy();
    change(&mut policy);
    policy.validate().unwrap_err()
}

#[test]
fn a_sound_policy_is_valid() {
    assert_eq!(policy().validate(), Ok(()));
    let alone = Policy { environments: [(name("production"), environment(None, &["web"]))].into(), ..policy() };
    assert_eq!(alone.validate(), Ok(()));
}

#[test]
fn an_origin_must_exist() {
    let error = refused(|policy| at_environment(policy, "staging").from = Some(name("qa")));
    assert_eq!(error, PolicyError::UnknownFrom { environment: name("staging"), from: name("qa") });
    assert_eq!(error.to_string(), "environment `staging` comes from `qa`, which does not exist");
}

#[test]
fn no_environment_may_come_from_itself_however_far_round() {
    let own = refused(|policy| at_environment(policy, "dev").from = Some(name("dev")));
    assert_eq!(own, PolicyError::Circle(name("dev")));
    let round = refused(|policy| at_environment(policy, "dev").from = Some(name("production")));
    assert_eq!(round, PolicyError::Circle(name("dev")));
    let into_one = refused(|policy| {
        at_environment(policy, "dev").from = Some(name("staging"));
        policy.environments.insert(name("a-spur"), environment(Some("dev"), &["web", "worker"]));
    });
    assert_eq!(into_one, PolicyError::Circle(name("a-spur")), "a way into a circle never begins either");
}

#[test]
fn a_release_has_the_same_components_everywhere() {
    let error = refused(|policy| drop(at_environment(policy, "staging").components.pop_last()));
    assert!(matches!(&error, PolicyError::Components { .. }));
    let words = error.to_string();
    assert!(words.contains("a release moves as one"), "{words}");
    let other_names =
        refused(|policy| *at_environment(policy, "production") = environment(Some("staging"), &["web", "job"]));
    assert_eq!(other_names, PolicyError::Components { environment: name("production"), from: name("staging") });
    let mut elsewhere = policy();
    let repository = at_environment(&mut elsewhere, "production").components.values_mut().next().unwrap();
    *repository = "registry.acme.dev/web".parse().unwrap();
    assert_eq!(elsewhere.validate(), Ok(()), "where they are kept may differ");
}

#[test]
fn a_quorum_must_be_possible_and_more_than_nobody() {
    let mut exact = policy();
    rule(&mut exact).count = 2;
    assert_eq!(exact.validate(), Ok(()));
    let error = refused(|policy| rule(policy).count = 3);
    let words = "environment `production` wants 3 approvals by lead or on-call, and 2 of its people have such a role";
    assert_eq!(error.to_string(), words);
    let nobody = refused(|policy| rule(policy).count = 0);
    assert!(matches!(nobody, PolicyError::NoApprovers { count: 0, people: 2, .. }));
    let no_role = refused(|policy| rule(policy).roles.clear());
    assert!(matches!(no_role, PolicyError::NoApprovers { people: 0, .. }));
}

fn expedited(count: u32, waive: &[&str]) -> Expedited {
    Expedited {
        roles: ["lead".parse().unwrap(), "on-call".parse().unwrap(), "developer".parse().unwrap()].into(),
        count,
        waive: waive.iter().map(|gate| (*gate).to_owned()).collect(),
        follow_up: Period::from_secs(3600),
        expires: None,
    }
}

fn every(zone: &str) -> FreezeRule {
    let every = "Fri 16:00 to Mon 08:00".parse().unwrap();
    FreezeRule::Every(Recurring { every, zone: zone.into(), reason: "weekend".into() })
}

#[test]
fn the_expedited_way_wants_one_more_than_usual_and_never_waives_what_holds_all_together() {
    let with = |count, waive: &[&str]| {
        let mut policy = policy();
        at_environment(&mut policy, "production").expedited = Some(expedited(count, waive));
        policy.validate().map_err(|error| error.to_string())
    };
    assert_eq!(with(3, &["soak", "verified", "freeze"]), Ok(()));
    let few = with(2, &[]).unwrap_err();
    assert!(few.contains("wants 2 for an expedited promotion and 2 for any other"), "{few}");
    let many = with(4, &[]).unwrap_err();
    assert!(many.contains("wants 4 approvals of an expedited promotion") && many.contains("3 of its people"), "{many}");
    for gate in NEVER_WAIVED {
        let never = with(3, &[gate]).unwrap_err();
        assert!(never.contains(&format!("`{gate}`, which is never waived")), "{never}");
    }
    let unknown = with(3, &["sook"]).unwrap_err();
    assert!(unknown.contains("there is no such gate"), "{unknown}");
}

#[test]
fn who_overrides_a_freeze_must_exist_and_its_time_zone_too() {
    let nobody = refused(|policy| {
        let roles = ["ceo".parse().unwrap()].into();
        at_environment(policy, "production").freeze_override = Some(OverrideRule { roles, count: 1 });
    });
    assert!(nobody.to_string().contains("wants 1 signatures to override a freeze by ceo"), "{nobody}");
    let nowhere = refused(|policy| at_environment(policy, "dev").freezes = vec![every("Europe/Atlantis")]);
    assert!(matches!(nowhere, PolicyError::UnknownZone { .. }), "{nowhere}");
}

#[test]
fn a_rule_must_accept_a_proof_that_can_be_verified() {
    let none = refused(|policy| rule(policy).accepts.clear());
    assert_eq!(none, PolicyError::NoProof(name("production")));
    let later = refused(|policy| rule(policy).accepts = [ProofKind::GithubReview].into());
    assert_eq!(later, PolicyError::NoProof(name("production")));
}

#[test]
fn a_policy_that_was_accepted_before_these_rules_existed_keeps_its_digest() {
    let text = serde_json::to_string(&policy()).unwrap();
    for key in ["accepts", "expedited", "freeze_override", "identities"] {
        assert!(!text.contains(key), "{key} stands in {text}");
    }
}

#[test]
fn two_people_need_two_keys() {
    let error = refused(|policy| drop(policy.people.insert(person("cy"), who("developer", &["key b at home"]))));
    assert_eq!(error, PolicyError::SharedKey(person("bo"), person("cy")));
    assert_eq!(error.to_string(), "`bo` and `cy` have the same SSH key: two persons need two keys");
}

#[test]
fn a_key_leads_to_its_owner() {
    let policy = policy();
    assert_eq!(policy.owner_of_key("key b at home").map(|(id, _)| id.as_str()), Some("bo"));
    assert_eq!(policy.owner_of_key("key a").map(|(id, person)| (id.as_str(), person.ssh.len())), Some(("ana", 1)));
    assert_eq!(policy.owner_of_key("key"), None);
}

#[test]
fn environments_come_after_the_one_they_come_from() {
    let mut policy = policy();
    policy.environments.insert(name("canary"), environment(Some("staging"), &["web", "worker"]));
    let order: Vec<&str> = policy.in_order().into_iter().map(EnvironmentName::as_str).collect();
    assert_eq!(order, ["dev", "staging", "canary", "production"]);
    let next = |of: &str| policy.next_after(&name(of)).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(next("staging"), ["canary", "production"]);
    assert_eq!(next("production"), [""; 0]);
}

#[test]
fn a_policy_in_a_circle_has_no_order_and_does_not_hang() {
    let mut policy = policy();
    at_environment(&mut policy, "dev").from = Some(name("production"));
    assert_eq!(policy.in_order(), Vec::<&EnvironmentName>::new());
}

#[test]
fn what_is_left_out_has_a_cautious_default() {
    let rule: ApprovalRule = serde_json::from_str(r#"{"roles":["lead"]}"#).unwrap();
    assert_eq!((rule.count, rule.expires, rule.not), (1, Period::from_secs(86_400), [Excluded::Requester].into()));
    let rollback: RollbackRule = serde_json::from_str("{}").unwrap();
    assert_eq!((rollback.automatic, rollback.keep), (true, 10));
    assert_eq!(rollback, RollbackRule::default());
    assert!(serde_json::from_str::<RollbackRule>(r#"{"automatc":false}"#).is_err());
}

#[test]
fn the_digest_survives_json_and_stays_the_same_from_release_to_release() {
    let text = serde_json::to_string(&policy()).unwrap();
    let read: Policy = serde_json::from_str(&text).unwrap();
    assert_eq!((&read, read.digest()), (&policy(), policy().digest()));
    assert_eq!(policy().digest(), Digest::of(text.as_bytes()));
    // Approvals that were given are bound to this digest: it may change only with a new version of the statement.
    assert_eq!(policy().digest().short(), "5f1f20f96ab3");
}

#[test]
fn a_number_with_many_decimals_is_read_as_it_was_written() {
    let mut before = policy();
    let check = r#"{"http":"https://shop.acme.dev/health","json":{"load":0.10957860598549463}}"#;
    at_environment(&mut before, "staging").verify = vec![serde_json::from_str(check).unwrap()];
    let text = serde_json::to_string(&before).unwrap();
    assert!(text.contains("0.10957860598549463"), "{text}");
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap().digest(), before.digest());
}

type Change = fn(&mut Policy);

/// Everything that can be said in a policy, each changed by itself.
fn changes() -> Vec<(&'static str, Change)> {
    vec![
        ("app", |p| p.app = "other".parse().unwrap()),
        ("source", |p| p.source = Some("https://github.com/acme/shop".into())),
        ("a person more", |p| drop(p.people.insert(person("dan"), who("developer", &["key d"])))),
        ("a person less", |p| drop(p.people.remove(&person("cy")))),
        ("a role", |p| drop(p.people.insert(person("cy"), who("lead", &["key c"])))),
        ("a key", |p| drop(p.people.insert(person("cy"), who("developer", &["key e"])))),
        ("an environment", |p| drop(p.environments.insert(name("qa"), environment(None, &["web"])))),
        ("origin", |p| at_environment(p, "production").from = Some(name("dev"))),
        ("components", |p| at_environment(p, "dev").components.clear()),
        ("tags", |p| at_environment(p, "dev").tags = vec![TagTemplate::Moving("main".into())]),
        ("immutable tags", |p| {
            at_environment(p, "dev").tags = vec![TagTemplate::Immutable { immutable: "main".into() }]
        }),
        ("gates", |p| at_environment(p, "dev").gates.soak = Some(Period::from_secs(1))),
        ("approval none", |p| at_environment(p, "production").approval = None),
        ("approval roles", |p| drop(rule(p).roles.pop_first())),
        ("approval count", |p| rule(p).count = 1),
        ("approval life", |p| rule(p).expires = Period::from_secs(3601)),
        ("approval exclusions", |p| rule(p).not = [Excluded::Requester, Excluded::Author].into()),
        ("approval proofs", |p| rule(p).accepts = [ProofKind::Sshsig, ProofKind::GithubReview].into()),
        ("expedited", |p| at_environment(p, "production").expedited = Some(expedited(2, &[]))),
        ("expedited waivers", |p| at_environment(p, "production").expedited = Some(expedited(2, &["soak"]))),
        ("freeze override", |p| {
            let roles = ["lead".parse().unwrap()].into();
            at_environment(p, "production").freeze_override = Some(OverrideRule { roles, count: 1 });
        }),
        ("identities", |p| {
            let text = |text: &str| text.to_owned();
            let (issuer, jwks, audience) = (text("https://id.example"), text("{}"), text("sealift"));
            p.identities = vec![IdentityProvider { issuer, jwks, audience, subjects: Vec::new() }];
        }),
        ("weekly freezes", |p| at_environment(p, "dev").freezes = vec![every("Europe/Berlin")]),
        ("freezes", |p| {
            at_environment(p, "dev").freezes =
                vec![FreezeRule::Once(Freeze { from: at(0), until: at(1), reason: "x".into() })]
        }),
        ("migrate", |p| at_environment(p, "dev").migrate = Some(vec!["migrate".into()])),
        ("verify", |p| {
            let check = RunCheck { run: vec!["true".into()], within: Period::from_secs(1) };
            at_environment(p, "dev").verify = vec![Check::Run(check)];
        }),
        ("rollback automatic", |p| at_environment(p, "dev").rollback.automatic = false),
        ("rollback keep", |p| at_environment(p, "dev").rollback.keep = 3),
        ("notify", |p| drop(p.notify.insert("chat".parse().unwrap(), [NoticeKind::Stuck].into()))),
        ("notify nothing", |p| drop(p.notify.insert("chat".parse().unwrap(), BTreeSet::new()))),
    ]
}

#[test]
fn every_change_changes_the_digest() {
    let mut digests = BTreeMap::from([(policy().digest(), "nothing")]);
    for (what, change) in changes() {
        let mut policy = policy();
        change(&mut policy);
        let read: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        assert_eq!(read, policy, "{what}");
        let same = digests.insert(policy.digest(), what);
        assert_eq!(same, None, "{what} has the digest of another change");
    }
}

#[test]
fn a_writer_key_speaks_for_one_environment() {
    let key = |text: &str| text.parse::<WriterKey>().unwrap();
    let first = "shop/dev+11111111+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let with = |dev: &[&str], staging: &[&str]| {
        let mut policy = policy();
        for (at, keys) in [("dev", dev), ("staging", staging)] {
            policy.environments.get_mut(&name(at)).unwrap().writer = keys.iter().map(|text| key(text)).collect();
        }
        policy
    };
    let other = "shop/staging+22222222+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX";
    let good = with(&[first], &[other]);
    assert_eq!(good.validate(), Ok(()));
    assert_eq!(good.writer("22222222"), Some((&name("staging"), &key(other))));
    assert_eq!((good.writer("33333333"), good.has_writers(), policy().has_writers()), (None, true, false));
    let renamed = "shop/staging+22222222+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let same_id = "shop/staging+11111111+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX";
    for shared in [first, renamed, same_id] {
        let refused = with(&[first], &[shared]).validate().unwrap_err();
        assert!(matches!(refused, PolicyError::SharedWriter { .. }), "{shared}: {refused}");
        let refused = with(&[first, shared], &[]).validate().unwrap_err();
        assert!(matches!(refused, PolicyError::WriterTwice { .. }), "{shared}: {refused}");
    }
    let (last, first): (Vec<_>, Vec<_>) = (good.last().collect(), good.first().collect());
    assert_eq!((last, first), (vec![&name("production")], vec![&name("dev")]));
    assert!(
        !serde_json::to_string(&policy()).unwrap().contains("writer"),
        "policies without writers keep their digest"
    );
}
