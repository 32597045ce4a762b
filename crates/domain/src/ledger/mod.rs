//! The fold of the whole log: what is so now, because of everything that was written.
//!
//! [`Ledger::apply`] takes one entry after the other. Nothing else changes a ledger, so two readers of the same log
//! have the same ledger, and a row that is shown is never more than a view of it.

mod apply;
mod environment;
mod lease;
mod number_keys;
mod offline;
mod outbox;
mod proposals;
mod writers;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use apply::IllegalEntry;
pub use environment::{EnvironmentRecord, Live, Past};
pub use lease::Lease;
pub use outbox::{Notice, Outbox};
pub use proposals::Proposal;
pub use writers::About;

use crate::{
    approval::{Registered, Voters},
    digest::Digest,
    event::EvidenceRecorded,
    freeze::{Freeze, Hold, HoldScope, UnknownZone},
    gate::{DatabaseFacts, LiveFacts, TargetFacts},
    name::{EnvironmentName, PersonId},
    policy::{Contact, Policy},
    promotion::{Promotion, PromotionId, Status},
    record::{Build, Recorded, Standing},
    release::Release,
};

/// What is so now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// How many entries were folded.
    pub size: u64,
    /// The policy in force.
    pub policy: Option<Policy>,
    /// How to reach its people.
    pub contacts: BTreeMap<PersonId, Contact>,
    /// The index of its acceptance; `None` where that was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_since: Option<u64>,
    /// Since when each person has had each key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registered: Registered,
    /// Policies that somebody wants in its place, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<Proposal>,
    /// What was built.
    pub builds: BTreeMap<Digest, Recorded<Build>>,
    /// What was handed in about artifacts, by the artifact, the newest last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<Digest, Vec<Recorded<EvidenceRecorded>>>,
    /// What was built last.
    pub newest_build: Option<Digest>,
    /// What every environment has seen.
    pub environments: BTreeMap<EnvironmentName, EnvironmentRecord>,
    /// Every promotion. Shared between a ledger and the next one, because all but one stay as they are.
    #[serde(with = "number_keys")]
    pub promotions: BTreeMap<PromotionId, Arc<Promotion>>,
    /// Who works on which environment.
    pub leases: BTreeMap<EnvironmentName, Lease>,
    /// What is blocked, and why.
    #[serde(with = "holds_as_list")]
    pub holds: BTreeMap<HoldScope, Hold>,
    /// Freezes that were placed by hand.
    pub freezes: BTreeMap<EnvironmentName, Vec<Freeze>>,
    /// Notices on their way.
    pub outbox: Outbox,
}

/// JSON maps have text keys; holds are a list there.
mod holds_as_list {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{BTreeMap, Hold, HoldScope};

    pub(super) fn serialize<S: Serializer>(
        holds: &BTreeMap<HoldScope, Hold>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(holds.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<HoldScope, Hold>, D::Error> {
        let list = Vec::<Hold>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|hold| (hold.scope.clone(), hold)).collect())
    }
}

impl Ledger {
    /// The promotion that is not over yet into `environment`, if there is one.
    pub fn open_promotion(&self, environment: &EnvironmentName) -> Option<&Promotion> {
        self.promotions.values().rev().map(Arc::as_ref).find(|p| p.to == *environment && !p.has_ended())
    }

    /// The promotion that works on `environment` now, if there is one.
    pub fn running_promotion(&self, environment: &EnvironmentName) -> Option<&Promotion> {
        let mut promotions = self.promotions.values().map(Arc::as_ref);
        promotions.find(|p| p.to == *environment && p.status() == Status::InProgress)
    }

    /// How `release` stands in `environment`.
    pub fn standing(&self, environment: &EnvironmentName, release: &Release) -> Option<&Standing> {
        self.environments.get(environment)?.standing(release)
    }

    /// The holds on a digest of `release` or on `environment`.
    pub fn holds_on(&self, release: &Release, environment: &EnvironmentName) -> Vec<Hold> {
        let concerns = |hold: &&Hold| match &hold.scope {
            HoldScope::Digest(digest) => release.contains(*digest),
            HoldScope::Environment(name) => name == environment,
        };
        self.holds.values().filter(concerns).cloned().collect()
    }

    /// The earlier known-good releases of `environment` that work on its database, the newest last: neither live nor on hold.
    pub fn ways_back(&self, environment: &EnvironmentName) -> Vec<&Past> {
        let Some(record) = self.environments.get(environment) else { return Vec::new() };
        let live = record.live.as_ref().map(|live| &live.release);
        let held = |past: &Past| {
            let mut digests = past.release.components();
            digests.any(|(_, digest)| self.holds.contains_key(&HoldScope::Digest(digest)))
        };
        let fits = |past: &&Past| Some(&past.release) != live && !held(past) && record.serves(past.schema);
        record.known_good.iter().filter(fits).collect()
    }

    /// What gates are told of the database of `environment`.
    pub fn database_facts(&self, environment: &EnvironmentName) -> DatabaseFacts {
        let Some(record) = self.environments.get(environment) else { return DatabaseFacts::default() };
        DatabaseFacts {
            at: record.database.clone(),
            live: record.live.as_ref().map(|live| LiveFacts { release: live.release.clone(), schema: live.schema }),
            oldest_safe: self.ways_back(environment).first().map(|past| past.release.clone()),
            target: None,
        }
    }

    /// What the labels of a release said when it was promoted to `environment`, if they were judged then.
    pub fn schema_on_record(&self, environment: &EnvironmentName, release: &Release) -> Option<TargetFacts> {
        let known = &self.environments.get(environment)?.known_good;
        let past = known.iter().find(|past| past.release == *release)?;
        let brought = self.promotions.get(&past.promotion?)?;
        let judged = brought.judged.iter().any(|judged| judged.gate == "schema" && judged.passed());
        judged.then_some(TargetFacts { schema: past.schema })
    }

    /// The freezes of `environment`, of the policy and placed by hand; of those that come every week, the window that covers
    /// `now` or the next one.
    ///
    /// # Errors
    /// The policy names a time zone that this program does not know, so nobody can say whether it is frozen.
    pub fn freezes_of(&self, environment: &EnvironmentName, now: Timestamp) -> Result<Vec<Freeze>, UnknownZone> {
        let policy = self.policy.as_ref().and_then(|policy| policy.environments.get(environment));
        let declared = policy.into_iter().flat_map(|rules| &rules.freezes).map(|rule| rule.window(now));
        let by_hand = self.freezes.get(environment).into_iter().flatten().cloned().map(Ok);
        declared.chain(by_hand).collect()
    }
}
