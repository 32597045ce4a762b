//! Proposed policies: put on record by one person, signed by others from their own machines, in force when enough did.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::{
    approval::{Act, POLICY_NAMESPACE},
    event::{Event, PolicyProposed, PolicyRejected, PolicySigned},
    ledger::{Ledger, Proposal},
    name::{PersonId, Role},
    personal::Personal,
    policy::{Contact, Policy},
    quantity::Period,
};

use crate::{
    act::{self, Signed},
    book::{Book, Decision, Draft},
    error::EngineError,
    init, places,
    ports::signature::Signatures,
};

/// How long a proposal waits for signatures.
const LIFE: Period = Period::from_secs(7 * 24 * 3600);
/// How many proposals may be open: each is a whole policy in every snapshot.
const MAX_OPEN: usize = 20;

/// The open proposal of that name.
pub fn find(ledger: &Ledger, id: u64, now: jiff::Timestamp) -> Result<&Proposal, EngineError> {
    ledger.open_proposals(now).find(|proposal| proposal.id == id).ok_or(EngineError::NoProposal(id))
}

/// What a proposal still needs, in words; `None` if it has enough.
pub fn wants(ledger: &Ledger, proposal: &Proposal) -> Option<String> {
    let signers: BTreeSet<&PersonId> = proposal.accepted_by.keys().collect();
    let new = (&proposal.policy, &proposal.contacts);
    match init::enough(ledger, new, &signers, Some(&proposal.by)) {
        Ok(()) => None,
        Err(EngineError::Statement(why)) => Some(why),
        Err(other) => Some(other.to_string()),
    }
}

/// Puts a policy on record as a proposal, or finds the open one that is the same.
pub async fn propose(
    book: &Book,
    signatures: &dyn Signatures,
    (policy, contacts): (Policy, BTreeMap<PersonId, Contact>),
    signed: &Signed,
) -> Result<u64, EngineError> {
    book.commit(|ground| {
        let (statement, proof) = act::read(ground.ledger, signatures, signed, ground.now)?;
        let present = places::policy(ground.ledger)?.digest();
        if statement.act != (Act::ProposePolicy { replaces: present, policy: policy.digest() }) {
            return Err(EngineError::Statement("it is about another policy".to_owned()));
        }
        if let Some(same) = ground
            .ledger
            .open_proposals(ground.now)
            .find(|open| open.policy == policy && same(&open.contacts, &contacts))
        {
            return Ok(Decision::nothing(same.id));
        }
        if ground.ledger.open_proposals(ground.now).count() >= MAX_OPEN {
            let why = format!("{MAX_OPEN} proposals are open already; reject some");
            return Err(EngineError::MayNot { who: statement.person, why });
        }
        let proposed = PolicyProposed {
            policy: policy.clone(),
            contacts: contacts.clone(),
            by: statement.person,
            reason: statement.reason,
            proof,
            expires_at: LIFE.after(ground.now),
        };
        let event = Event::PolicyProposed(Box::new(proposed));
        Ok(Decision { drafts: vec![Draft { event, evidence: signed.objects() }], value: ground.next })
    })
    .await
}

/// Whether two sets of contacts say the same, whatever their salts.
fn same(one: &BTreeMap<PersonId, Contact>, other: &BTreeMap<PersonId, Contact>) -> bool {
    let texts = |contacts: &BTreeMap<PersonId, Contact>| -> Vec<(PersonId, [Option<String>; 2])> {
        let text = |personal: &Option<Personal>| personal.as_ref().and_then(|text| text.text().map(str::to_owned));
        contacts.iter().map(|(id, contact)| (id.clone(), [text(&contact.email), text(&contact.github)])).collect()
    };
    texts(one) == texts(other)
}

/// What became of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// It was the last one wanted, and the proposal is the policy now.
    Accepted,
    /// More are wanted, in words.
    Wanted(String),
}

/// Adds one person's signature to a proposal. With the last one that is wanted, it becomes the policy in the same commit.
pub async fn sign(book: &Book, signatures: &dyn Signatures, id: u64, signature: &[u8]) -> Result<Signing, EngineError> {
    book.commit(|ground| {
        let ledger = ground.ledger;
        let proposal = find(ledger, id, ground.now)?;
        let statement = init::acceptance(ledger, &proposal.policy, &proposal.contacts)?;
        let signed = Signed { statement, signature: signature.to_vec() };
        let (who, proof) = signed.signer(ledger, signatures, POLICY_NAMESPACE)?;
        act::has_role(ledger, &who, &approvers(places::policy(ledger)?, &who))?;
        if init::interested(ledger, &who, Some(&proposal.by)) {
            let why = "who wants a change, or asks for a promotion that is open, does not accept it as well".to_owned();
            return Err(EngineError::MayNot { who, why });
        }
        let mut accepted_by = proposal.accepted_by.clone();
        accepted_by.insert(who.clone(), proof.clone());
        let event = Event::PolicySigned(PolicySigned { proposal: id, by: who, proof });
        let mut drafts = vec![Draft { event, evidence: signed.objects() }];
        let signers = accepted_by.keys().collect();
        let new = (&proposal.policy, &proposal.contacts);
        let value = match init::enough(ledger, new, &signers, Some(&proposal.by)) {
            Ok(()) => {
                let (policy, contacts) = (proposal.policy.clone(), proposal.contacts.clone());
                drafts.push(init::accepted(policy, contacts, accepted_by, Some(id)).into());
                Signing::Accepted
            }
            Err(EngineError::Statement(why)) => Signing::Wanted(why),
            Err(other) => return Err(other),
        };
        Ok(Decision { drafts, value })
    })
    .await
}

/// Refuses a proposal. Whoever may sign it may refuse it, and so may who proposed it.
pub async fn reject(book: &Book, signatures: &dyn Signatures, signed: &Signed) -> Result<u64, EngineError> {
    book.commit(|ground| {
        let (statement, proof) = act::read(ground.ledger, signatures, signed, ground.now)?;
        let Act::RejectProposal { proposal: id } = statement.act else {
            return Err(EngineError::Statement("it is about something else".to_owned()));
        };
        let proposal = find(ground.ledger, id, ground.now)?;
        if proposal.by != statement.person {
            let policy = places::policy(ground.ledger)?;
            act::has_role(ground.ledger, &statement.person, &approvers(policy, &statement.person))?;
        }
        let (by, reason) = (statement.person, statement.reason);
        let event = Event::PolicyRejected(PolicyRejected { proposal: id, by, reason, proof });
        Ok(Decision { drafts: vec![Draft { event, evidence: signed.objects() }], value: id })
    })
    .await
}

/// The roles of every approval rule; where there is none, whatever roles the person has.
pub(crate) fn approvers(policy: &Policy, who: &PersonId) -> BTreeSet<Role> {
    let rules = policy.environments.values().filter_map(|environment| environment.approval.as_ref());
    let roles: BTreeSet<Role> = rules.flat_map(|rule| rule.roles.iter().cloned()).collect();
    match policy.people.get(who).filter(|_| roles.is_empty()) {
        Some(person) => person.roles.clone(),
        None => roles,
    }
}
