//! The policy in the log: trusted on first use, changed only by those whom it names.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::{
    approval::{POLICY_NAMESPACE, Proof},
    digest::Digest,
    event::{Event, PolicyAccepted},
    ledger::Ledger,
    name::{EnvironmentName, PersonId},
    policy::{ApprovalRule, Contact, Environment, Excluded, Policy},
    reference::Repository,
};

use crate::{
    act::Signed,
    book::{Book, Decision, Draft},
    error::EngineError,
    places,
    ports::signature::Signatures,
};

/// A person's signature under a new policy. What is signed is [`acceptance`].
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The armoured signature.
    pub signature: Vec<u8>,
}

/// The bytes that a person signs to accept `new`, with these contacts, in place of the policy in force. They name the entry
/// that brought the policy in force: a signature under a change that was made once makes it no second time.
pub fn acceptance(
    ledger: &Ledger,
    new: &Policy,
    contacts: &BTreeMap<PersonId, Contact>,
) -> Result<Vec<u8>, EngineError> {
    let old = places::policy(ledger)?.digest();
    let since = ledger.policy_since.unwrap_or_default();
    let contacts = serde_json::to_vec(contacts).map_err(|why| EngineError::Statement(why.to_string()))?;
    let (app, new, contacts) = (&new.app, new.digest(), Digest::of(&contacts));
    let text = format!(
        "{{\"v\":2,\"app\":\"{app}\",\"replaces\":\"{old}\",\"since\":{since},\"policy\":\"{new}\",\"contacts\":\"{contacts}\"}}"
    );
    Ok(text.into_bytes())
}

/// Makes `policy` the first policy of the log.
pub async fn first(book: &Book, policy: Policy, contacts: BTreeMap<PersonId, Contact>) -> Result<(), EngineError> {
    book.commit(|ground| {
        if ground.ledger.policy.is_some() {
            return Err(EngineError::Statement("this log has a policy already".to_owned()));
        }
        let accepted = accepted(policy.clone(), contacts.clone(), BTreeMap::new(), None);
        Ok(Decision { drafts: vec![accepted.into()], value: () })
    })
    .await
}

/// That a policy counts from here on.
pub(crate) fn accepted(
    policy: Policy,
    contacts: BTreeMap<PersonId, Contact>,
    accepted_by: BTreeMap<PersonId, Proof>,
    proposal: Option<u64>,
) -> Event {
    let accepted = PolicyAccepted { policy, contacts, accepted_by, registers: true, proposal };
    Event::PolicyAccepted(Box::new(accepted))
}

/// Makes `policy` the policy, if the present one lets these signers do so: as many different persons as its strictest
/// approval rule wants, each with a role of such a rule, and as many as the rule of each environment wants that the change
/// touches; of every environment, where it touches what they have in common. Where requesters may not approve and there are
/// several approvers, one person alone is not enough. Where no environment wants approval, one person of the policy is enough; where the policy names nobody, nobody
/// could ever sign, and the change is accepted as the first policy was.
pub async fn change(
    book: &Book,
    signatures: &dyn Signatures,
    policy: Policy,
    contacts: BTreeMap<PersonId, Contact>,
    given: &[Acceptance],
) -> Result<(), EngineError> {
    book.commit(|ground| {
        let message = acceptance(ground.ledger, &policy, &contacts)?;
        let mut accepted_by = BTreeMap::new();
        let mut evidence = Vec::new();
        for acceptance in given {
            let signed = Signed { statement: message.clone(), signature: acceptance.signature.clone() };
            let (id, proof) = signed.signer(ground.ledger, signatures, POLICY_NAMESPACE)?;
            accepted_by.insert(id, proof);
            evidence.push(acceptance.signature.clone());
        }
        if !given.is_empty() {
            evidence.push(message);
        }
        enough(ground.ledger, (&policy, &contacts), &accepted_by.keys().collect(), None)?;
        let event = accepted(policy.clone(), contacts.clone(), accepted_by, None);
        Ok(Decision { drafts: vec![Draft { event, evidence }], value: () })
    })
    .await
}

/// Whether these persons may make `new` the policy together.
///
/// # Errors
/// Who is still wanted.
pub(crate) fn enough(
    ledger: &Ledger,
    (new, contacts): (&Policy, &BTreeMap<PersonId, Contact>),
    signers: &BTreeSet<&PersonId>,
    proposer: Option<&PersonId>,
) -> Result<(), EngineError> {
    let old = places::policy(ledger)?;
    if old.people.is_empty() {
        return Ok(());
    }
    let (barred, free): (BTreeSet<&PersonId>, BTreeSet<&PersonId>) =
        signers.iter().copied().partition(|id| interested(ledger, id, proposer));
    let missing = |message: String| Err(EngineError::Statement(format!("{message}{}", why_not(ledger, &barred))));
    let wanted = rules(old).map(|rule| rule.count).max().unwrap_or(1);
    let may = |id: &PersonId| rules(old).next().is_none() || rules(old).any(|rule| has_role(old, id, rule));
    let have = free.iter().filter(|id| may(id)).count();
    if have < wanted as usize {
        return missing(format!("the policy in force wants {wanted} of its approvers to sign a change, {have} did"));
    }
    let everything = common(old, new) || accounts(&ledger.contacts) != accounts(contacts);
    for (name, environment) in &old.environments {
        let touched = everything || touches(old, new, name);
        let Some(rule) = environment.approval.as_ref().filter(|_| touched) else { continue };
        let have = free.iter().filter(|id| has_role(old, id, rule)).count();
        if have < rule.count as usize {
            let roles: Vec<&str> = rule.roles.iter().map(|role| role.as_str()).collect();
            let (count, roles) = (rule.count, roles.join(" or "));
            return missing(format!(
                "the change touches {name}, so {count} with the role {roles} must sign it, {have} did"
            ));
        }
    }
    let voices: BTreeSet<&PersonId> = signers.iter().copied().chain(proposer).collect();
    if takes_two(old) && voices.iter().filter(|id| old.people.contains_key(**id)).count() < 2 {
        let message = "the policy in force lets nobody approve what they asked for, so nobody changes it alone: \
                       a second person proposes the change, or signs it too";
        return missing(message.to_owned());
    }
    Ok(())
}

fn rules(policy: &Policy) -> impl Iterator<Item = &ApprovalRule> {
    policy.environments.values().filter_map(|environment| environment.approval.as_ref())
}

fn has_role(policy: &Policy, id: &PersonId, rule: &ApprovalRule) -> bool {
    policy.people.get(id).is_some_and(|person| !person.roles.is_disjoint(&rule.roles))
}

/// Whether a change takes two different persons: a rule lets nobody approve what they asked for, and there is somebody
/// beside the one who would change the rule alone, and ask and approve afterwards.
fn takes_two(policy: &Policy) -> bool {
    let approvers = |rule: &ApprovalRule| policy.people.keys().filter(|id| has_role(policy, id, rule)).count();
    rules(policy).any(|rule| rule.not.contains(&Excluded::Requester) && approvers(rule) >= 2)
}

/// Why signatures do not count that hold.
fn why_not(ledger: &Ledger, barred: &BTreeSet<&PersonId>) -> String {
    let one = |who: &&PersonId| {
        let mut open = ledger.promotions.values().filter(|promotion| !promotion.has_ended());
        match open.find(|promotion| promotion.requester.person() == Some(*who)) {
            Some(asked) => {
                format!("; `{who}` asked for promotion {}, and does not count until it has ended", asked.id)
            }
            None => format!("; `{who}` proposed the change, and does not accept it as well"),
        }
    };
    barred.iter().map(one).collect()
}

/// Whether a change concerns what all environments rest on: the people, the providers, where the source is, who hears of
/// what, and which environments there are. One more could write what another keeps.
fn common(old: &Policy, new: &Policy) -> bool {
    let named = |policy: &Policy| -> Vec<EnvironmentName> { policy.environments.keys().cloned().collect() };
    old.app != new.app
        || old.source != new.source
        || old.people != new.people
        || old.identities != new.identities
        || old.notify != new.notify
        || named(old) != named(new)
}

/// Whose account is which: it tells who asked for a promotion. An account whose opening was erased is like no other.
fn accounts(contacts: &BTreeMap<PersonId, Contact>) -> BTreeMap<&PersonId, Option<&str>> {
    let named = contacts.iter().filter_map(|(id, contact)| Some((id, contact.github.as_ref()?.text())));
    named.collect()
}

/// Whether a change concerns an environment: its own rules, or another one that is to write a repository of this one.
fn touches(old: &Policy, new: &Policy, name: &EnvironmentName) -> bool {
    let Some(ours) = old.environments.get(name) else { return true };
    let has =
        |environment: &Environment, repository: &Repository| environment.components.values().any(|c| c == repository);
    let intrudes = |(other, after): (&EnvironmentName, &Environment)| {
        let before = old.environments.get(other);
        let fresh = |repository: &&Repository| before.is_none_or(|before| !has(before, repository));
        other != name && after.components.values().filter(fresh).any(|repository| has(ours, repository))
    };
    new.environments.get(name) != Some(ours) || new.environments.iter().any(intrudes)
}

/// Whether a person's signature does not count because they want the change: who proposed it, and who asks for a promotion
/// that is open, wherever requesters may not approve.
pub(crate) fn interested(ledger: &Ledger, who: &PersonId, proposer: Option<&PersonId>) -> bool {
    let Some(policy) = &ledger.policy else { return false };
    let excludes = |rule: &ApprovalRule| rule.not.contains(&Excluded::Requester);
    if proposer == Some(who) && rules(policy).any(excludes) {
        return true;
    }
    ledger.promotions.values().filter(|promotion| !promotion.has_ended()).any(|promotion| {
        let rule = policy.environments.get(&promotion.to).and_then(|environment| environment.approval.as_ref());
        rule.is_some_and(excludes) && promotion.requester.person() == Some(who)
    })
}
