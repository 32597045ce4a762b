//! The steps of a promotion, and what each leaves on record when it is done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    name::ComponentName,
    reference::Tag,
    undo::{Observed, Undo},
};

/// Something to do in the world. Each is idempotent: it may be done again after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Bring the images to the target's repositories.
    Copy,
    /// Where the environment attests: sign that the images are admitted, and attach that to them.
    Admit,
    /// Write the immutable tags.
    TagImmutable,
    /// Read what is live and what the moving tags name.
    RecordUndo,
    /// Run the migration from the candidate.
    Migrate,
    /// Start the candidate beside what is live.
    Prepare,
    /// Move traffic to the candidate.
    Switch,
    /// Run the checks.
    Verify,
    /// Where the environment attests: sign that the images were verified, and attach that to them.
    AttestVerified,
    /// Move the moving tags.
    MoveTags,
    /// Stop what was live before, and keep it ready.
    Retire,
    /// On the way back: remove a candidate that was never live.
    Discard,
    /// On the way back: make the previous release live again.
    Restore,
    /// On the way back: read that the previous release runs, and check it.
    ConfirmRestored,
    /// On the way back: let the moving tags name what they named.
    RestoreTags,
    /// On the way back: take what was attested off the images again.
    WithdrawAdmission,
}

/// A statement that was signed and attached to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The digest of the statement, the bytes that were signed.
    pub statement: Digest,
    /// The digest of the envelope with statement and signature, which lies beside the log.
    pub envelope: Digest,
    /// The digest of the manifest that refers to the image.
    pub manifest: Digest,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Done {
    /// The images are in the target's repositories.
    Copy {
        /// Bytes that were moved.
        bytes: u64,
        /// Blobs streamed.
        copied: u64,
        /// Blobs mounted.
        mounted: u64,
        /// Blobs that were there.
        skipped: u64,
        /// Tries it took.
        tries: u32,
    },
    /// The images are attested as admitted.
    Admit {
        /// By component, every one of the release.
        attestations: BTreeMap<ComponentName, Attachment>,
    },
    /// The immutable tags name the images.
    TagImmutable {
        /// By component.
        tags: BTreeMap<ComponentName, Vec<Tag>>,
    },
    /// What to go back to is on record.
    RecordUndo(Undo),
    /// The migration ran, or there is none.
    Migrate {
        /// Whether there was one to run.
        ran: bool,
        /// The end of what it wrote, beside the log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Digest>,
    },
    /// The candidate is up.
    Prepare {
        /// The digest of the definition it was started from.
        definition: Digest,
    },
    /// Traffic goes to the candidate.
    Switch {
        /// What was read running afterwards.
        running: Observed,
    },
    /// Every check holds.
    Verify(VerificationSummary),
    /// The images are attested as verified.
    AttestVerified {
        /// By component, every one of the release.
        attestations: BTreeMap<ComponentName, Attachment>,
    },
    /// The moving tags name the images.
    MoveTags {
        /// By component.
        tags: BTreeMap<ComponentName, Vec<Tag>>,
        /// In a rollback: those that could not be moved, because the registry did not answer.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unmoved: BTreeMap<ComponentName, Vec<Tag>>,
    },
    /// What was live before is stopped and ready.
    Retire,
    /// The candidate is gone.
    Discard,
    /// The previous release is live.
    Restore {
        /// What was read running afterwards.
        running: Observed,
    },
    /// The previous release was read running, and its checks hold.
    ConfirmRestored(VerificationSummary),
    /// The moving tags name what they named.
    RestoreTags {
        /// Tags that did not exist before and that the registry would not remove.
        left: Vec<Tag>,
        /// Tags that could not be moved back, because the registry did not answer.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unmoved: BTreeMap<ComponentName, Vec<Tag>>,
    },
    /// What was attested is withdrawn. That it is counts from here on, whatever a registry still has.
    WithdrawAdmission {
        /// Where it could not be removed, by component, and why.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        left: BTreeMap<ComponentName, String>,
    },
}

/// What a verification found, in short. The checks in full are evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationSummary {
    /// How many checks hold.
    pub passed: u32,
    /// Requests sent by the availability probe through the deployment.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The longest gap between successful ones, in milliseconds.
    pub longest_gap_ms: u64,
    /// The full report, beside the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
}

impl Step {
    /// The steps forward, in order, where the environment does not attest.
    pub const FORWARD: [Self; 9] = [
        Self::Copy,
        Self::TagImmutable,
        Self::RecordUndo,
        Self::Migrate,
        Self::Prepare,
        Self::Switch,
        Self::Verify,
        Self::MoveTags,
        Self::Retire,
    ];

    /// The steps forward, in order, where it does.
    pub const ATTESTING: [Self; 11] = [
        Self::Copy,
        Self::Admit,
        Self::TagImmutable,
        Self::RecordUndo,
        Self::Migrate,
        Self::Prepare,
        Self::Switch,
        Self::Verify,
        Self::AttestVerified,
        Self::MoveTags,
        Self::Retire,
    ];

    /// The step that follows on the way forward, of a promotion that attests or one that does not.
    pub(super) fn next(self, attests: bool) -> Option<Self> {
        let after = Self::ATTESTING.into_iter().skip_while(|step| *step != self).skip(1);
        after.into_iter().find(|step| attests || !step.is_attestation())
    }

    /// Whether this is a step of promotions that attest, and of no others.
    pub fn is_attestation(self) -> bool {
        matches!(self, Self::Admit | Self::AttestVerified | Self::WithdrawAdmission)
    }

    /// Whether something live may have been touched once this step was begun.
    pub fn touches_live(self) -> bool {
        matches!(self, Self::Switch | Self::Verify | Self::AttestVerified | Self::MoveTags | Self::Retire)
    }

    /// Whether a candidate may exist once this step was begun, and nothing live was touched.
    pub(super) fn leaves_candidate(self) -> bool {
        matches!(self, Self::Prepare)
    }

    /// The step in a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Admit => "admit",
            Self::TagImmutable => "tag",
            Self::RecordUndo => "undo",
            Self::Migrate => "migrate",
            Self::Prepare => "prepare",
            Self::Switch => "switch",
            Self::Verify => "verify",
            Self::AttestVerified => "attest",
            Self::MoveTags => "move tags",
            Self::Retire => "retire",
            Self::Discard => "discard",
            Self::Restore => "restore",
            Self::ConfirmRestored => "confirm",
            Self::RestoreTags => "restore tags",
            Self::WithdrawAdmission => "withdraw admission",
        }
    }
}

impl Done {
    /// The step that this is the result of.
    pub fn step(&self) -> Step {
        match self {
            Self::Copy { .. } => Step::Copy,
            Self::Admit { .. } => Step::Admit,
            Self::TagImmutable { .. } => Step::TagImmutable,
            Self::RecordUndo(_) => Step::RecordUndo,
            Self::Migrate { .. } => Step::Migrate,
            Self::Prepare { .. } => Step::Prepare,
            Self::Switch { .. } => Step::Switch,
            Self::Verify(_) => Step::Verify,
            Self::AttestVerified { .. } => Step::AttestVerified,
            Self::MoveTags { .. } => Step::MoveTags,
            Self::Retire => Step::Retire,
            Self::Discard => Step::Discard,
            Self::Restore { .. } => Step::Restore,
            Self::ConfirmRestored(_) => Step::ConfirmRestored,
            Self::RestoreTags { .. } => Step::RestoreTags,
            Self::WithdrawAdmission { .. } => Step::WithdrawAdmission,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
