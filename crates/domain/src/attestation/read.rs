//! Reading an attestation back, and comparing it with what somebody wants to see. Everything that is not just that is a refusal.

use std::collections::BTreeMap;

use super::{
    Attestation, Level, PASS, PASSED, PREDICATE_TYPE, SLSA_VERSION, STATEMENT_TYPE, VERIFIER, WAIVED, size_of, wire,
};
use crate::{
    digest::Digest,
    name::EnvironmentName,
    promotion::PromotionId,
    reference::{Pinned, Repository},
    text::printable,
};

/// The largest statement that is read, in bytes. Real ones have a few thousand.
pub(super) const MAX_STATEMENT: usize = 1 << 20;

/// What somebody wants an attestation to say.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The image, where it would be pulled from.
    pub image: &'a Pinned,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// What is to be attested.
    pub level: Level,
    /// The policy that it was judged under; `None` takes every one.
    pub policy: Option<Digest>,
    /// The promotion; `None` takes every one.
    pub promotion: Option<PromotionId>,
}

/// Why a statement is not the attestation that is wanted. Words of the statement are made printable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("it is no statement that can be read: {0}")]
    Malformed(String),
    /// It is another kind of statement.
    #[error("it is a statement of the type `{0}`, not `{PREDICATE_TYPE}`")]
    OtherPredicate(String),
    /// Somebody else verified.
    #[error("it is by the verifier `{0}`, not `{VERIFIER}`")]
    OtherVerifier(String),
    /// It is written by other rules.
    #[error("it is written by version `{0}` of SLSA, and version {SLSA_VERSION} is read")]
    OtherVersion(String),
    /// It does not say that something passed.
    #[error("its result is `{0}`, not {PASSED}")]
    NotPassed(String),
    /// A gate neither passed nor was waived, and it was admitted all the same.
    #[error("its gate `{0}` did not pass")]
    Gate(String),
    /// It is about another image.
    #[error("it is about {found}, not {wanted}")]
    OtherImage {
        /// What it is about.
        found: String,
        /// What is wanted.
        wanted: Digest,
    },
    /// It is about the image in another place.
    #[error("it is for the image in `{found}`, not in {wanted}")]
    OtherRepository {
        /// Where.
        found: String,
        /// Where it is wanted.
        wanted: Repository,
    },
    /// It is for another environment.
    #[error("it is for the environment `{found}`, not `{wanted}`")]
    OtherEnvironment {
        /// Which.
        found: String,
        /// Which is wanted.
        wanted: EnvironmentName,
    },
    /// It says less or something else.
    #[error("it says `{found}`, not `{wanted}`")]
    OtherLevel {
        /// What it says.
        found: String,
        /// What is wanted.
        wanted: String,
    },
    /// It was judged under another policy.
    #[error("it was judged under the policy {found}, not {wanted}")]
    OtherPolicy {
        /// Which.
        found: Digest,
        /// Which is wanted.
        wanted: Digest,
    },
    /// It is of another promotion.
    #[error("it is of promotion {found}, not {wanted}")]
    OtherPromotion {
        /// Which.
        found: PromotionId,
        /// Which is wanted.
        wanted: PromotionId,
    },
    /// Its checkpoint is of a log that has not got that far.
    #[error("its checkpoint does not cover entry {0}, which it names")]
    Checkpoint(u64),
}

impl Attestation {
    /// Reads the bytes of a statement. Who signed it must have been looked at before.
    ///
    /// # Errors
    /// A [`Refusal`]: it is anything but an attestation of ours with the one result that there is.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_STATEMENT {
            return Err(Refusal::Malformed(format!("it has {} bytes, and {MAX_STATEMENT} are read", bytes.len())));
        }
        let malformed = |why: serde_json::Error| Refusal::Malformed(printable(&why.to_string()));
        let head: wire::Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.kind != STATEMENT_TYPE {
            return Err(Refusal::Malformed(format!(
                "its `_type` is `{}`, not `{STATEMENT_TYPE}`",
                printable(&head.kind)
            )));
        }
        if head.predicate_type != PREDICATE_TYPE {
            return Err(Refusal::OtherPredicate(printable(&head.predicate_type)));
        }
        let statement: wire::Statement = serde_json::from_slice(bytes).map_err(malformed)?;
        let wire::Statement { subject, predicate, .. } = statement;
        if predicate.verifier.id != VERIFIER {
            return Err(Refusal::OtherVerifier(printable(&predicate.verifier.id)));
        }
        if predicate.slsa_version != SLSA_VERSION {
            return Err(Refusal::OtherVersion(printable(&predicate.slsa_version)));
        }
        if predicate.verification_result != PASSED {
            return Err(Refusal::NotPassed(printable(&predicate.verification_result)));
        }
        if let Some(gate) = predicate.details.gates.iter().find(|gate| gate.verdict != PASS && gate.verdict != WAIVED) {
            return Err(Refusal::Gate(printable(&gate.name)));
        }
        let index = predicate.details.log.index;
        if size_of(&predicate.details.log.checkpoint).is_none_or(|size| size <= index) {
            return Err(Refusal::Checkpoint(index));
        }
        assembled(subject, predicate)
    }

    /// Whether it says what is wanted.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), Refusal> {
        if self.image.digest != expected.image.digest {
            let (found, wanted) = (self.image.digest.to_string(), expected.image.digest);
            return Err(Refusal::OtherImage { found, wanted });
        }
        if self.environment != *expected.environment {
            let (found, wanted) = (self.environment.to_string(), expected.environment.clone());
            return Err(Refusal::OtherEnvironment { found, wanted });
        }
        if self.image.repository != expected.image.repository {
            let (found, wanted) = (self.image.repository.to_string(), expected.image.repository.clone());
            return Err(Refusal::OtherRepository { found, wanted });
        }
        if self.level != expected.level {
            let name = |level: Level| level.name(expected.environment);
            return Err(Refusal::OtherLevel { found: name(self.level), wanted: name(expected.level) });
        }
        if let Some(wanted) = expected.policy.filter(|wanted| *wanted != self.policy) {
            return Err(Refusal::OtherPolicy { found: self.policy, wanted });
        }
        match expected.promotion.filter(|wanted| *wanted != self.details.promotion) {
            Some(wanted) => Err(Refusal::OtherPromotion { found: self.details.promotion, wanted }),
            None => Ok(()),
        }
    }
}

/// Puts together what several fields say, and refuses where they do not agree.
fn assembled(subject: Vec<wire::Subject>, predicate: wire::Predicate) -> Result<Attestation, Refusal> {
    let contradiction = |what: &str| Refusal::Malformed(what.to_owned());
    let [subject] = <[_; 1]>::try_from(subject).map_err(|_| contradiction("it has not exactly one subject"))?;
    let repository: Repository = subject.name.parse().map_err(|_| contradiction("its subject is no repository"))?;
    let image = repository.at(digest(&subject.digest)?);
    let environment = predicate.details.environment.clone();
    if predicate.resource_uri != wire::resource_uri(&image.repository, &environment) {
        return Err(contradiction("its `resourceUri` names another repository or environment than the rest of it"));
    }
    let [level] = <[_; 1]>::try_from(predicate.verified_levels.clone())
        .map_err(|_| contradiction("it has not exactly one of `verifiedLevels`"))?;
    let known = [Level::Admitted, Level::Verified].into_iter().find(|known| known.name(&environment) == level);
    let level = known.ok_or_else(|| contradiction("its `verifiedLevels` are not of its environment"))?;
    Ok(Attestation {
        image,
        environment,
        level,
        verified_at: predicate.time_verified,
        program: printable(predicate.verifier.program()),
        policy: digest(&predicate.policy.digest)?,
        inputs: predicate.input_attestations.iter().map(|input| digest(&input.digest)).collect::<Result<_, _>>()?,
        details: predicate.details,
    })
}

/// The SHA-256 of a set of digests.
fn digest(set: &BTreeMap<String, String>) -> Result<Digest, Refusal> {
    let hex = set.get(wire::SHA256).and_then(|hex| format!("sha256:{hex}").parse().ok());
    hex.ok_or_else(|| Refusal::Malformed("a digest in it is no SHA-256".to_owned()))
}
