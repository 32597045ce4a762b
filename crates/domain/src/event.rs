//! Everything that can stand in the log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::Proof,
    cost::{Cost, Rebuild},
    digest::Digest,
    evidence::Form,
    freeze::{Freeze, Hold, HoldScope},
    ledger::Ledger,
    name::{ChannelName, EnvironmentName, PersonId},
    offline::OfflineRollback,
    personal::Personal,
    policy::{Contact, Policy},
    promotion::{PromotionEvent, PromotionId},
    record::Build,
    release::Release,
    schema::Schema,
};

/// The kind of [`Event::Snapshot`].
pub(crate) const SNAPSHOT: &str = "snapshot";

/// A fact of the log. Its JSON form is the body of a leaf; its `kind` stands in the leaf too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The policy that counts from here on.
    PolicyAccepted(Box<PolicyAccepted>),
    /// Somebody wants another policy.
    PolicyProposed(Box<PolicyProposed>),
    /// A person accepts a proposed policy; others are still wanted.
    PolicySigned(PolicySigned),
    /// A proposed policy is refused.
    PolicyRejected(PolicyRejected),
    /// An artifact was built.
    BuildRecorded(Build),
    /// A release runs somewhere without our having brought it there.
    DeploymentRecorded(DeploymentRecorded),
    /// A database is at another schema than the promotions say, because a person restored or migrated it.
    DatabaseRecorded(DatabaseRecorded),
    /// A release was verified outside a promotion, or found wanting.
    VerificationRecorded(VerificationRecorded),
    /// An environment was rolled back without the log.
    OfflineRollback(Box<OfflineRollback>),
    /// Evidence about an artifact was handed in.
    EvidenceRecorded(EvidenceRecorded),
    /// A rebuild was measured, to compare deployments with.
    RebuildMeasured(RebuildMeasured),
    /// Something happened to a promotion.
    Promotion(Box<PromotionChanged>),
    /// Somebody took an environment for a while.
    LeaseTaken(LeaseTaken),
    /// The environment is free again.
    LeaseReleased(LeaseReleased),
    /// A digest or an environment is blocked.
    HoldPlaced(HoldPlaced),
    /// The block is gone.
    HoldReleased(HoldReleased),
    /// An environment is frozen for a while.
    FreezePlaced(FreezePlaced),
    /// The freezes of an environment that were placed by hand are gone.
    FreezeLifted(FreezeLifted),
    /// A channel took a notice.
    NoticeDelivered(NoticeReceipt),
    /// A channel refused a notice for good.
    NoticeRefused(NoticeReceipt),
    /// The whole fold up to here, so that a reader may begin here.
    Snapshot(Box<Ledger>),
}

/// See [`Event::PolicyAccepted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyAccepted {
    /// The policy.
    pub policy: Policy,
    /// How to reach its people.
    #[serde(default)]
    pub contacts: BTreeMap<PersonId, Contact>,
    /// Who accepted it and how we know; empty for the first one, which is trusted on first use.
    #[serde(default)]
    pub accepted_by: BTreeMap<PersonId, Proof>,
    /// Whether the ledger keeps from here on since when each key is registered. Policies that were accepted before that was
    /// kept have no such field, and everybody in them counts as registered for ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub registers: bool,
    /// The proposal that it was, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<u64>,
}

/// See [`Event::PolicyProposed`]. The index of this leaf is the proposal's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyProposed {
    /// The policy.
    pub policy: Policy,
    /// How to reach its people.
    #[serde(default)]
    pub contacts: BTreeMap<PersonId, Contact>,
    /// Who proposes it.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// How we know.
    pub proof: Proof,
    /// When it lapses.
    pub expires_at: Timestamp,
}

/// See [`Event::PolicySigned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySigned {
    /// Which.
    pub proposal: u64,
    /// Who.
    pub by: PersonId,
    /// How we know.
    pub proof: Proof,
}

/// See [`Event::PolicyRejected`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRejected {
    /// Which.
    pub proposal: u64,
    /// Who.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// How we know.
    pub proof: Proof,
}

/// See [`Event::DeploymentRecorded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecorded {
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    pub release: Release,
    /// What it was started from, if the driver knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Digest>,
    /// Whether it is imported as the first thing to go back to.
    pub baseline: bool,
    /// What the labels of its images say of the database, as far as they could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// What the tool that deployed it reported, beside the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
}

/// See [`Event::DatabaseRecorded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRecorded {
    /// Where.
    pub environment: EnvironmentName,
    /// What the database is at now.
    pub schema: Schema,
    /// Why.
    pub reason: String,
}

/// See [`Event::VerificationRecorded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationRecorded {
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    pub release: Release,
    /// Whether every check holds.
    pub passed: bool,
    /// What was found, in short.
    pub summary: String,
}

/// See [`Event::EvidenceRecorded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecorded {
    /// The artifact that it was handed in for: an image or an index.
    pub artifact: Digest,
    /// What it was handed in as.
    #[serde(rename = "as")]
    pub handed_in_as: EvidenceKind,
    /// How it is wrapped.
    pub form: Form,
    /// Its bytes, beside the log.
    pub object: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// What evidence is handed in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// What a scanner found.
    Scan,
    /// What is in it.
    Sbom,
    /// How tests went.
    Test,
    /// How it was built.
    Provenance,
    /// Which vulnerabilities do not matter.
    Vex,
}

/// See [`Event::RebuildMeasured`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildMeasured {
    /// The environment whose deployments it is compared with.
    pub environment: EnvironmentName,
    /// What was measured.
    #[serde(flatten)]
    pub rebuild: Rebuild,
}

/// See [`Event::Promotion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionChanged {
    /// Which; for a request, its own index in the log.
    pub promotion: PromotionId,
    /// The fencing number of the lease under which a step was done or failed; `None` for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<u64>,
    /// What the step took of the host, where its driver can tell; only with a step that was done or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What happened.
    pub change: PromotionEvent,
}

/// See [`Event::LeaseTaken`]. The index of this leaf is the fencing number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTaken {
    /// What is taken.
    pub environment: EnvironmentName,
    /// For what.
    pub promotion: PromotionId,
    /// Who holds it.
    pub holder: Holder,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A running program that holds a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Random, once for each run of the program.
    pub run: String,
    /// The machine since its last boot and the process namespace, as a digest: enough to know whether it is this one.
    pub machine: Digest,
    /// The process.
    pub pid: u32,
    /// When the process began, in the kernel's ticks: a process number alone can come back.
    pub started: u64,
}

/// See [`Event::LeaseReleased`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReleased {
    /// What is free again.
    pub environment: EnvironmentName,
    /// The fencing number of the lease.
    pub lease: u64,
}

/// See [`Event::HoldPlaced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPlaced {
    /// The hold.
    pub hold: Hold,
    /// How we know who placed it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// See [`Event::HoldReleased`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReleased {
    /// What is no longer blocked.
    pub scope: HoldScope,
    /// Why.
    pub reason: String,
    /// Who released it, if they proved who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// How we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// See [`Event::FreezePlaced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezePlaced {
    /// Where.
    pub environment: EnvironmentName,
    /// When, and why.
    pub freeze: Freeze,
}

/// See [`Event::FreezeLifted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeLifted {
    /// Where.
    pub environment: EnvironmentName,
    /// Why.
    pub reason: String,
}

/// See [`Event::NoticeDelivered`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeReceipt {
    /// The log index of the event that the notice tells.
    pub notice: u64,
    /// Where it went.
    pub channel: ChannelName,
    /// What the channel said, where it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Event {
    /// The kind that stands in the leaf: readable without the body, also after the body was erased.
    pub fn kind(&self) -> String {
        match self {
            Self::PolicyAccepted(_) => "policy-accepted".into(),
            Self::PolicyProposed(_) => "policy-proposed".into(),
            Self::PolicySigned(_) => "policy-signed".into(),
            Self::PolicyRejected(_) => "policy-rejected".into(),
            Self::BuildRecorded(_) => "build-recorded".into(),
            Self::DeploymentRecorded(_) => "deployment-recorded".into(),
            Self::DatabaseRecorded(_) => "database-recorded".into(),
            Self::VerificationRecorded(_) => "verification-recorded".into(),
            Self::OfflineRollback(_) => "offline-rollback".into(),
            Self::EvidenceRecorded(_) => "evidence-recorded".into(),
            Self::RebuildMeasured(_) => "rebuild-measured".into(),
            Self::Promotion(changed) => format!("promotion.{}", changed.change.name()),
            Self::LeaseTaken(_) => "lease-taken".into(),
            Self::LeaseReleased(_) => "lease-released".into(),
            Self::HoldPlaced(_) => "hold-placed".into(),
            Self::HoldReleased(_) => "hold-released".into(),
            Self::FreezePlaced(_) => "freeze-placed".into(),
            Self::FreezeLifted(_) => "freeze-lifted".into(),
            Self::NoticeDelivered(_) => "notice-delivered".into(),
            Self::NoticeRefused(_) => "notice-refused".into(),
            Self::Snapshot(_) => SNAPSHOT.into(),
        }
    }

    /// Visits every personal text that the event carries.
    pub fn each_personal(&mut self, visit: &mut dyn FnMut(&mut Personal)) {
        match self {
            Self::PolicyAccepted(accepted) => each_contact(&mut accepted.contacts, visit),
            Self::PolicyProposed(proposed) => each_contact(&mut proposed.contacts, visit),
            Self::Snapshot(ledger) => {
                each_contact(&mut ledger.contacts, visit);
                ledger.proposals.iter_mut().for_each(|proposal| each_contact(&mut proposal.contacts, visit));
            }
            _ => {}
        }
    }

    /// What the event refers to beside the log, other than its own body and openings.
    pub fn evidence(&self) -> Vec<Digest> {
        match self {
            Self::PolicyAccepted(accepted) => accepted.accepted_by.values().flat_map(Proof::objects).collect(),
            Self::PolicyProposed(proposed) => proposed.proof.objects(),
            Self::PolicySigned(signed) => signed.proof.objects(),
            Self::PolicyRejected(rejected) => rejected.proof.objects(),
            Self::HoldPlaced(placed) => placed.proof.iter().flat_map(Proof::objects).collect(),
            Self::HoldReleased(released) => released.proof.iter().flat_map(Proof::objects).collect(),
            Self::DeploymentRecorded(recorded) => recorded.definition.into_iter().chain(recorded.report).collect(),
            Self::OfflineRollback(rollback) => {
                rollback.proof.objects().into_iter().chain([rollback.record, rollback.definition]).collect()
            }
            Self::EvidenceRecorded(recorded) => vec![recorded.object],
            Self::Promotion(changed) => promotion_evidence(&changed.change),
            _ => Vec::new(),
        }
    }
}

/// Visits the personal texts of a set of contacts.
fn each_contact(contacts: &mut BTreeMap<PersonId, Contact>, visit: &mut dyn FnMut(&mut Personal)) {
    for contact in contacts.values_mut() {
        contact.email.iter_mut().chain(contact.github.iter_mut()).for_each(&mut *visit);
    }
}

fn promotion_evidence(event: &PromotionEvent) -> Vec<Digest> {
    use crate::promotion::Done;
    match event {
        PromotionEvent::Requested(request) => request.requester.proof().map(Proof::objects).unwrap_or_default(),
        PromotionEvent::Judged(judgement) => {
            judgement.facts.into_iter().chain(judgement.objects.iter().copied()).collect()
        }
        PromotionEvent::Approved(approval) | PromotionEvent::Revoked(approval) => approval.proof.objects(),
        PromotionEvent::FreezeOverridden(given) => given.proof.objects(),
        PromotionEvent::Rejected { proof, .. } | PromotionEvent::FollowUpClosed { proof, .. } => proof.objects(),
        PromotionEvent::Done(Done::Prepare { definition }) => vec![*definition],
        PromotionEvent::Done(Done::Admit { attestations } | Done::AttestVerified { attestations }) => {
            attestations.values().map(|attachment| attachment.envelope).collect()
        }
        PromotionEvent::Done(Done::Migrate { output, .. }) => output.iter().copied().collect(),
        PromotionEvent::Done(Done::Verify(summary) | Done::ConfirmRestored(summary)) => {
            summary.report.into_iter().collect()
        }
        PromotionEvent::Failed { failure, .. } => failure.evidence.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
