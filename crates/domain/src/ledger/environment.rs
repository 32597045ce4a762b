//! What an environment has seen: what is live, how every release stands, what can be gone back to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    cost::Rebuild,
    digest::Digest,
    offline::OfflinePast,
    promotion::PromotionId,
    record::{Grade, Recorded, Standing},
    release::Release,
    schema::Schema,
};

/// What is live by our own record. What really runs is the driver's to observe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The release.
    pub release: Release,
    /// The promotion that brought it; `None` if it was recorded.
    pub promotion: Option<PromotionId>,
    /// Since when.
    pub since: Timestamp,
    /// The digest of the definition that it was started from.
    pub definition: Option<Digest>,
    /// What the labels of its images say of the database, if that is on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
}

/// A release that was live and verified here, and can be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The release.
    pub release: Release,
    /// The promotion that brought it.
    pub promotion: Option<PromotionId>,
    /// When it was last verified.
    pub verified_at: Timestamp,
    /// What that is worth.
    pub grade: Grade,
    /// The digest of the definition that it was started from.
    pub definition: Option<Digest>,
    /// What the labels of its images say of the database, if that is on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
}

/// What an environment has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// What is live.
    pub live: Option<Live>,
    /// How every release stands that ever was here.
    pub standings: Vec<(Release, Standing)>,
    /// Releases to go back to, the newest last; each stands here once.
    pub known_good: Vec<Past>,
    /// The newest schema that its database was ever migrated to, or may have been; whatever is live, it is still there.
    /// `None` where no release carried a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Recorded<Schema>>,
    /// The rebuild that was measured last, to compare deployments with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<Recorded<Rebuild>>,
    /// Rollbacks that were made without the log and came into it since, in the order of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<OfflinePast>,
}

impl EnvironmentRecord {
    /// How `release` stands.
    pub fn standing(&self, release: &Release) -> Option<&Standing> {
        self.standings.iter().find(|(r, _)| r == release).map(|(_, s)| s)
    }

    fn standing_mut(&mut self, release: &Release) -> &mut Standing {
        let at = match self.standings.iter().position(|(r, _)| r == release) {
            Some(at) => at,
            None => {
                let unknown = Standing { verified: None, until: None, failed: None };
                self.standings.push((release.clone(), unknown));
                self.standings.len() - 1
            }
        };
        &mut self.standings[at].1
    }

    /// The live release if it is verified, else `None`.
    pub fn verified_now(&self) -> Option<&Release> {
        let live = &self.live.as_ref()?.release;
        self.standing(live)?.verified.as_ref()?;
        Some(live)
    }

    /// Whether a release that expects `schema` works on the database. Where nothing is known of it, nothing is against it.
    pub fn serves(&self, schema: Option<Schema>) -> bool {
        self.database.as_ref().is_none_or(|database| database.fact.serves(schema))
    }

    /// A release that expects `schema` has migrated the database, or may have.
    pub(super) fn migrated(&mut self, schema: Schema, at: Timestamp, receipt: Digest) {
        let before = self.database.as_ref().map(|database| database.fact);
        let after = schema.after(before);
        if before != Some(after) {
            self.database = Some(Recorded { fact: after, at, receipt });
        }
    }

    /// A release that expects `schema` is live without our having migrated for it: the database is at least there.
    pub(super) fn serves_live(&mut self, schema: Schema, at: Timestamp, receipt: Digest) {
        if self.database.as_ref().is_none_or(|database| database.fact.at() < schema.at()) {
            self.migrated(schema, at, receipt);
        }
    }

    /// `release` is live from now on.
    pub(super) fn goes_live(&mut self, live: Live) {
        if let Some(before) = self.live.take().filter(|before| before.release != live.release) {
            self.standing_mut(&before.release).until = Some(live.since);
        }
        let standing = self.standing_mut(&live.release);
        if standing.until.take().is_some() {
            // It was away: what was verified then is no unbroken verification now.
            standing.verified = None;
        }
        self.live = Some(live);
    }

    /// Nothing is live from now on.
    pub(super) fn goes_dark(&mut self, at: Timestamp) {
        if let Some(before) = self.live.take() {
            self.standing_mut(&before.release).until = Some(at);
        }
    }

    /// `release` was verified.
    pub(super) fn verified(&mut self, release: &Release, grade: Grade, at: Timestamp, receipt: Digest) {
        let standing = self.standing_mut(release);
        let better = standing.verified.as_ref().is_none_or(|before| before.fact < grade);
        if better {
            standing.verified = Some(Recorded { fact: grade, at, receipt });
        }
        let live = self.live.as_ref().filter(|live| live.release == *release);
        let past = Past {
            release: release.clone(),
            promotion: live.and_then(|l| l.promotion),
            verified_at: at,
            grade,
            definition: live.and_then(|l| l.definition),
            schema: live.and_then(|l| l.schema),
        };
        self.known_good.retain(|known| known.release != *release);
        self.known_good.push(past);
    }

    /// `release` failed here.
    pub(super) fn failed(&mut self, release: &Release, why: String, at: Timestamp, receipt: Digest) {
        let standing = self.standing_mut(release);
        standing.verified = None;
        standing.failed = Some(Recorded { fact: why, at, receipt });
        self.known_good.retain(|known| known.release != *release);
    }
}
