//! Recorded facts about artifacts and environments: what gates judge.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{digest::Digest, name::PersonId, reference::Repository};

/// That an artifact was built: the origin of every release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Where it was pushed.
    pub repository: Repository,
    /// What was built.
    pub digest: Digest,
    /// The source commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The run of the pipeline that built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Who wrote the source commit, if that is a known person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<PersonId>,
    /// Who put it into the repository, if that is a known person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<PersonId>,
    /// Who started the run that built it, if that is a known person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<PersonId>,
    /// The version that people call it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A record with the digest of the log body that carries it, which is what evidence refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded<T> {
    /// What was recorded.
    pub fact: T,
    /// When.
    pub at: Timestamp,
    /// The digest of the body in the log.
    pub receipt: Digest,
}

/// How much a verification is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Found running when the environment was taken over. Good enough to go back to, not to be promoted from.
    Baseline,
    /// The environment's checks passed.
    Verified,
}

/// How one release stands in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The verification that holds without a break until now or until [`Standing::until`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Recorded<Grade>>,
    /// When the release stopped being live there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The newest failure there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Recorded<String>>,
}

impl Standing {
    /// How long the release has been verified without a break, while it was live.
    pub fn soaked(&self, now: Timestamp) -> Option<crate::quantity::Period> {
        let since = self.verified.as_ref()?.at;
        Some(crate::quantity::Period::between(since, self.until.unwrap_or(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quantity::Period,
        testing::{at, digest},
    };

    #[test]
    fn a_release_soaks_from_its_verification_until_it_is_replaced() {
        let verified = Recorded { fact: Grade::Verified, at: at(10), receipt: digest("receipt") };
        let mut standing = Standing { verified: Some(verified), until: None, failed: None };
        assert_eq!(standing.soaked(at(70)), Some(Period::from_secs(60)));
        standing.until = Some(at(40));
        assert_eq!(standing.soaked(at(70)), Some(Period::from_secs(30)));
        standing.verified = None;
        assert_eq!(standing.soaked(at(70)), None);
    }
}
