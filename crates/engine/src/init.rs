//! The policy in the log: trusted on first use, changed only by those whom it names.

use std::collections::BTreeMap;

use sealift_domain::{
    approval::{POLICY_NAMESPACE, Proof},
    digest::Digest,
    event::{Event, PolicyAccepted},
    name::PersonId,
    policy::{Contact, Policy},
};

use crate::{
    book::{Book, Decision, Draft},
    error::EngineError,
    ports::signature::Signatures,
};

/// A person's signature under a new policy. What is signed is [`acceptance`].
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The armoured signature.
    pub signature: Vec<u8>,
}

/// The bytes that a person signs to accept `new` in place of `old`.
pub fn acceptance(old: &Policy, new: &Policy) -> Vec<u8> {
    format!("{{\"v\":1,\"app\":\"{}\",\"replaces\":\"{}\",\"policy\":\"{}\"}}", new.app, old.digest(), new.digest())
        .into_bytes()
}

/// Makes `policy` the first policy of the log.
pub async fn first(book: &Book, policy: Policy, contacts: BTreeMap<PersonId, Contact>) -> Result<(), EngineError> {
    book.commit(|ground| {
        if ground.ledger.policy.is_some() {
            return Err(EngineError::Statement("this log has a policy already".to_owned()));
        }
        let accepted =
            PolicyAccepted { policy: policy.clone(), contacts: contacts.clone(), accepted_by: BTreeMap::new() };
        Ok(Decision { drafts: vec![Event::PolicyAccepted(Box::new(accepted)).into()], value: () })
    })
    .await
}

/// Makes `policy` the policy, if the present one lets these signers do so: as many different persons as its strictest
/// approval rule wants, each with a role of that rule. Where no environment wants approval, one person of the policy is
/// enough; where the policy names nobody, nobody could ever sign, and the change is accepted as the first policy was.
pub async fn change(
    book: &Book,
    signatures: &dyn Signatures,
    policy: Policy,
    contacts: BTreeMap<PersonId, Contact>,
    given: &[Acceptance],
) -> Result<(), EngineError> {
    book.commit(|ground| {
        let old = crate::places::policy(ground.ledger)?;
        let message = acceptance(old, &policy);
        let mut accepted_by = BTreeMap::new();
        let mut evidence = Vec::new();
        for acceptance in given {
            let (id, proof) = signer(old, signatures, &message, &acceptance.signature)?;
            accepted_by.insert(id, proof);
            evidence.push(acceptance.signature.clone());
        }
        if !given.is_empty() {
            evidence.push(message);
        }
        enough(old, &accepted_by)?;
        let accepted = PolicyAccepted { policy: policy.clone(), contacts: contacts.clone(), accepted_by };
        let draft = Draft { event: Event::PolicyAccepted(Box::new(accepted)), evidence };
        Ok(Decision { drafts: vec![draft], value: () })
    })
    .await
}

fn signer(
    policy: &Policy,
    signatures: &dyn Signatures,
    message: &[u8],
    signature: &[u8],
) -> Result<(PersonId, Proof), EngineError> {
    let key = signatures.key_of(signature).map_err(EngineError::Signature)?;
    let (id, _) = policy.owner_of_key(&key).ok_or_else(|| EngineError::UnknownKey(key.clone()))?;
    signatures.verify(&key, POLICY_NAMESPACE, message, signature).map_err(EngineError::Signature)?;
    let proof = Proof::Sshsig { key, statement: Digest::of(message), signature: Digest::of(signature) };
    Ok((id.clone(), proof))
}

fn enough(old: &Policy, accepted_by: &BTreeMap<PersonId, Proof>) -> Result<(), EngineError> {
    if old.people.is_empty() {
        return Ok(());
    }
    let rules = || old.environments.values().filter_map(|environment| environment.approval.as_ref());
    let wanted = rules().map(|rule| rule.count).max().unwrap_or(1);
    let may = |id: &PersonId| {
        let roles = old.people.get(id).map(|person| &person.roles);
        rules().next().is_none() || roles.is_some_and(|roles| rules().any(|rule| !rule.roles.is_disjoint(roles)))
    };
    let have = accepted_by.keys().filter(|id| may(id)).count();
    if have < wanted as usize {
        let message = format!("the policy in force wants {wanted} of its approvers to sign a change, {have} did");
        return Err(EngineError::Statement(message));
    }
    Ok(())
}
