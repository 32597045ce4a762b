//! The promotion attestation: what Sealift signs of an image that it admits to an environment, and of one that it has verified
//! there.
//!
//! A SLSA Verification Summary (slsa.dev/spec/v1.0/verification_summary) in an in-toto Statement (in-toto/attestation,
//! `spec/v1/statement.md`), so that programs of others can ask for it too. What only Sealift knows stands in one field more, named
//! by [`EXTENSION`]. There is none with the result `FAILED`: some programs take whatever a trusted key has signed for consent.

mod read;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use read::{Expected, Refusal};

use crate::{
    approval::ProofKind,
    digest::Digest,
    gate::Judged,
    name::{AppName, ComponentName, EnvironmentName, PersonId},
    promotion::{Promotion, PromotionId, Step},
    reference::Pinned,
};

/// The type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of the predicate.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/verification_summary/v1";
/// Who verified, as programs compare it. The address of no page.
pub const VERIFIER: &str = "https://sealift.dev/verifier";
/// The name of the field with what only Sealift knows.
pub const EXTENSION: &str = "https://sealift.dev/promotion/v1";
/// The version of the SLSA specification whose form this is.
pub const SLSA_VERSION: &str = "1.0";
/// The only result that is ever written or read.
pub const PASSED: &str = "PASSED";

/// The verdict of a gate that passed.
const PASS: &str = "pass";
/// The verdict of a gate that failed in an expedited promotion, where the policy lets it and enough persons consented to that.
const WAIVED: &str = "waived";

/// What is attested of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It may be deployed: every gate passes, and everybody consented whose consent is wanted.
    Admitted,
    /// It was deployed, and every check held.
    Verified,
}

/// What is attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The image, where it is kept for the environment, by its top digest.
    pub image: Pinned,
    /// The environment.
    pub environment: EnvironmentName,
    /// What is attested of it.
    pub level: Level,
    /// When it was admitted or verified.
    pub verified_at: Timestamp,
    /// The version of the program.
    pub program: String,
    /// The digest of the policy that it was judged under.
    pub policy: Digest,
    /// The digests of the evidence that the passing gates used.
    pub inputs: BTreeSet<Digest>,
    /// What only Sealift knows.
    pub details: Details,
}

/// What only Sealift knows of an attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The application.
    pub app: AppName,
    /// The component whose image it is.
    pub component: ComponentName,
    /// The environment, once more: the name of a level does not tell `a-b` from what others may call `A_B`.
    pub environment: EnvironmentName,
    /// The promotion.
    pub promotion: PromotionId,
    /// The gates.
    pub gates: Vec<GateResult>,
    /// The approvals that were counted.
    pub approvals: Vec<CountedApproval>,
    /// What the gate found that wants a release to have run for a while before, where it is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<String>,
    /// Where the admission stands in the log.
    pub log: LogPlace,
}

/// How a gate answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// Its name.
    pub name: String,
    /// Its code.
    pub code: String,
    /// Its version.
    pub version: u32,
    /// [`PASS`] or [`WAIVED`]: nothing else is admitted.
    pub verdict: String,
}

/// An approval that was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedApproval {
    /// Who.
    pub person: PersonId,
    /// How it was proven, in the configuration's word.
    pub proof: String,
    /// What proves it, beside the log: for an SSH signature what was signed, and the signature.
    pub objects: Vec<Digest>,
}

/// An entry of the log, and a commitment to a log that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The index of the judgement that admitted the promotion.
    pub index: u64,
    /// A signed checkpoint of a log of more entries than that (C2SP `tlog-checkpoint`).
    pub checkpoint: String,
}

/// Why a promotion cannot be attested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttestable {
    /// It was not admitted, or not with an attestation in mind.
    #[error("promotion {0} was not admitted, or its environment did not attest then")]
    NotAdmitted(PromotionId),
    /// It was not verified.
    #[error("promotion {0} is not verified")]
    NotVerified(PromotionId),
    /// A gate does not pass and is not waived either.
    #[error("gate `{0}` does not pass")]
    Gate(String),
    /// The checkpoint is of a shorter log, or is none.
    #[error("the checkpoint does not cover entry {0} of the log")]
    Checkpoint(u64),
}

impl Level {
    /// The name of the level for an environment, such as `ADMITTED_TO_PRODUCTION`. It never begins with `SLSA_`, which the
    /// specification keeps for itself.
    pub fn name(self, environment: &EnvironmentName) -> String {
        let environment = environment.as_str().to_ascii_uppercase().replace('-', "_");
        match self {
            Self::Admitted => format!("ADMITTED_TO_{environment}"),
            Self::Verified => format!("VERIFIED_IN_{environment}"),
        }
    }

    /// The level in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Verified => "verified",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Attestation {
    /// What there is to attest of `image`, a component of what `promotion` brings. `checkpoint` is of a log that has its admission.
    ///
    /// # Errors
    /// See [`NotAttestable`]: nothing is attested that the log does not say.
    pub fn of(
        promotion: &Promotion,
        app: &AppName,
        (component, image): (&ComponentName, &Pinned),
        level: Level,
        checkpoint: String,
    ) -> Result<Self, NotAttestable> {
        let index = promotion.attested.as_ref().and_then(|attested| attested.authorised_by);
        let index = index.ok_or(NotAttestable::NotAdmitted(promotion.id))?;
        if size_of(&checkpoint).is_none_or(|size| size <= index) {
            return Err(NotAttestable::Checkpoint(index));
        }
        if let Some(gate) = promotion.judged.iter().find(|judged| !judged.admits()) {
            return Err(NotAttestable::Gate(gate.gate.clone()));
        }
        let (what, missing) = match level {
            Level::Admitted => ("judged", NotAttestable::NotAdmitted(promotion.id)),
            Level::Verified => (Step::Verify.as_str(), NotAttestable::NotVerified(promotion.id)),
        };
        let moment = promotion.timeline.iter().rev().find(|moment| moment.what == what).ok_or(missing)?;
        Ok(Self {
            image: image.clone(),
            environment: promotion.to.clone(),
            level,
            verified_at: moment.at,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            policy: promotion.policy,
            inputs: promotion.judged.iter().flat_map(|judged| judged.finding.evidence.iter().copied()).collect(),
            details: Details {
                app: app.clone(),
                component: component.clone(),
                environment: promotion.to.clone(),
                promotion: promotion.id,
                gates: promotion.judged.iter().map(GateResult::of).collect(),
                approvals: consents(promotion),
                soak: promotion.judged.iter().find(|judged| judged.gate == "soak").map(|soak| soak.words().to_owned()),
                log: LogPlace { index, checkpoint },
            },
        })
    }
}

impl GateResult {
    fn of(judged: &Judged) -> Self {
        let verdict = match (judged.passed(), judged.waived) {
            (true, _) => PASS,
            (false, true) => WAIVED,
            (false, false) => "fail",
        };
        Self {
            name: judged.gate.clone(),
            code: judged.code.to_string(),
            version: judged.version,
            verdict: verdict.to_owned(),
        }
    }
}

/// The approvals that were counted when consent was complete and still stand: of each person the newest.
fn consents(promotion: &Promotion) -> Vec<CountedApproval> {
    let Some((_, persons)) = &promotion.consent else { return Vec::new() };
    let stand = promotion.approvals.iter().filter(|given| given.revoked.is_none());
    let newest: BTreeMap<&PersonId, _> = stand.map(|given| (&given.statement.approver, given)).collect();
    let counted = newest.into_values().filter(|given| persons.contains(&given.statement.approver));
    let consent = |approval: &crate::approval::Approval| CountedApproval {
        person: approval.statement.approver.clone(),
        proof: approval.proof.kind().map_or("none", ProofKind::as_str).to_owned(),
        objects: approval.proof.objects(),
    };
    counted.map(consent).collect()
}

/// How many entries the log has that a checkpoint is of: its second line (C2SP `tlog-checkpoint`). Whether it is signed is not
/// looked at here.
fn size_of(checkpoint: &str) -> Option<u64> {
    checkpoint.lines().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests;
