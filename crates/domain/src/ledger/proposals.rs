//! Policies in force and proposed, and since when their people are registered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{IllegalEntry, Ledger, Registered, Voters, apply::At};
use crate::{
    approval::Proof,
    event::{PolicyAccepted, PolicyProposed, PolicySigned},
    name::PersonId,
    policy::{Contact, Policy},
};

/// A policy that somebody wants, with the signatures so far. It dies when it lapses, when it is refused, and when the policy
/// in force changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its name: the index of its entry.
    pub id: u64,
    /// The policy.
    pub policy: Policy,
    /// How to reach its people.
    #[serde(default)]
    pub contacts: BTreeMap<PersonId, Contact>,
    /// Who proposed it.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Who accepted it so far, and how we know.
    #[serde(default)]
    pub accepted_by: BTreeMap<PersonId, Proof>,
}

impl Ledger {
    /// The people of the policy, and since when they are in it.
    ///
    /// `None` if there is no policy.
    pub fn voters(&self) -> Option<Voters<'_>> {
        let people = &self.policy.as_ref()?.people;
        Some(Voters { people, registered: &self.registered, policy_since: self.policy_since })
    }

    /// The proposals that have not lapsed.
    pub fn open_proposals(&self, now: Timestamp) -> impl Iterator<Item = &Proposal> {
        self.proposals.iter().filter(move |proposal| now < proposal.expires_at)
    }

    pub(super) fn policy_accepted(&mut self, accepted: PolicyAccepted, at: At) {
        // Whoever signed or was waited for agreed to a change of the policy before, not of this one.
        self.proposals.clear();
        if accepted.registers {
            self.registered = self.registered_with(&accepted.policy, at.index);
            self.policy_since = Some(at.index);
        }
        self.policy = Some(accepted.policy);
        self.contacts = accepted.contacts;
    }

    /// Since when the people of `policy` are registered, if it is accepted at `index`: who was there before stays as long as
    /// before, but a person who got another key is registered with that from now on.
    fn registered_with(&self, policy: &Policy, index: u64) -> Registered {
        let before = |id: &PersonId, key: &String| {
            let had = self.policy.as_ref().and_then(|policy| policy.people.get(id));
            had.filter(|person| person.ssh.contains(key))?;
            // Somebody whose time was not kept was there before it was: at 0.
            Some(self.registered.get(id).and_then(|keys| keys.get(key)).copied().unwrap_or(0))
        };
        let keys = |(id, person): (&PersonId, &crate::policy::Person)| {
            let since = person.ssh.iter().map(|key| (key.clone(), before(id, key).unwrap_or(index))).collect();
            (id.clone(), since)
        };
        policy.people.iter().map(keys).collect()
    }

    pub(super) fn policy_proposed(&mut self, proposed: PolicyProposed, at: At) {
        let PolicyProposed { policy, contacts, by, reason, proof: _, expires_at } = proposed;
        let accepted_by = BTreeMap::new();
        let (id, at) = (at.index, at.time);
        self.proposals.retain(|before| at < before.expires_at);
        self.proposals.push(Proposal { id, policy, contacts, by, reason, at, expires_at, accepted_by });
    }

    pub(super) fn policy_signed(&mut self, signed: PolicySigned, at: At) -> Result<(), IllegalEntry> {
        let mut open = self.proposals.iter_mut().filter(|proposal| at.time < proposal.expires_at);
        let proposal = open.find(|proposal| proposal.id == signed.proposal);
        let proposal =
            proposal.ok_or_else(|| IllegalEntry::Nothing(format!("an open proposal {}", signed.proposal)))?;
        proposal.accepted_by.insert(signed.by, signed.proof);
        Ok(())
    }

    pub(super) fn policy_rejected(&mut self, proposal: u64) -> Result<(), IllegalEntry> {
        let before = self.proposals.len();
        self.proposals.retain(|open| open.id != proposal);
        if self.proposals.len() == before {
            return Err(IllegalEntry::Nothing(format!("an open proposal {proposal}")));
        }
        Ok(())
    }
}
