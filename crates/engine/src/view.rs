//! The audit record of a promotion, in the shape that the promotion model asks for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealift_domain::{
    cost::Cost,
    digest::Digest,
    ledger::Ledger,
    name::{AppName, ComponentName, EnvironmentName, PersonId},
    promotion::{Attested, Ended, Kind, Promotion, PromotionId, Stage, Status},
    reference::Tag,
};
use serde::Serialize;

use crate::outbox::with_database;

/// One promotion as an auditor reads it.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Promotion or rollback.
    pub kind: Kind,
    /// What was promoted; several for an application of several components.
    pub artifacts: Vec<Artifact>,
    /// Where it came from.
    pub source_environment: Option<EnvironmentName>,
    /// Where it went.
    pub target_environment: EnvironmentName,
    /// When it was asked for.
    pub promotion_requested_at: Timestamp,
    /// When consent was complete.
    pub promotion_approved_at: Option<Timestamp>,
    /// When it ended.
    pub promotion_completed_at: Option<Timestamp>,
    /// Who asked.
    pub requester: Option<PersonId>,
    /// Who consented: an e-mail address where one is known and not erased, else the person's handle.
    pub approver: Vec<String>,
    /// The run of the pipeline that asked, else the one that built.
    pub pipeline_run_id: Option<String>,
    /// What the verifications found.
    pub verification_results: BTreeMap<EnvironmentName, &'static str>,
    /// How it went.
    pub status: &'static str,
    /// Why it did not succeed.
    pub failure: Option<String>,
    /// What its deployment took of the host, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What it attested of its images, where its environment wants that. Whether it still counts is told by the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attested>,
}

/// One image of a promotion.
#[derive(Clone, Debug, Serialize)]
pub struct Artifact {
    /// The application, and the component if there are several.
    pub name: String,
    /// An immutable name, if one was given.
    pub tag: Option<Tag>,
    /// The digest.
    pub digest: Digest,
    /// The commit it was built from.
    pub source_commit: Option<String>,
}

/// The audit record of a promotion.
pub fn audit_record(ledger: &Ledger, promotion: &Promotion) -> AuditRecord {
    let consent = promotion.consent.as_ref();
    AuditRecord {
        promotion_id: promotion.id,
        kind: promotion.kind,
        artifacts: artifacts(ledger, promotion),
        source_environment: promotion.from.clone(),
        target_environment: promotion.to.clone(),
        promotion_requested_at: promotion.requested_at,
        promotion_approved_at: consent.map(|(at, _)| *at),
        promotion_completed_at: promotion.ended_at(),
        requester: promotion.requester.person().cloned(),
        approver: consent.into_iter().flat_map(|(_, by)| by).map(|id| reachable(ledger, id)).collect(),
        pipeline_run_id: promotion.run_id.clone().or_else(|| built_by(ledger, promotion)),
        verification_results: verification_results(ledger, promotion),
        status: status(promotion),
        failure: failure(promotion),
        cost: promotion.cost,
        attested: promotion.attested.clone(),
    }
}

fn reachable(ledger: &Ledger, id: &PersonId) -> String {
    let email = ledger.contacts.get(id).and_then(|contact| contact.email.as_ref());
    email.and_then(|email| email.text()).map_or_else(|| id.to_string(), str::to_owned)
}

fn artifacts(ledger: &Ledger, promotion: &Promotion) -> Vec<Artifact> {
    let app = ledger.policy.as_ref().map(|policy| policy.app.clone());
    let app = app.as_ref().map(AppName::as_str).unwrap_or_default();
    let several = promotion.release.components().count() > 1;
    let artifact = |(component, digest): (&sealift_domain::name::ComponentName, Digest)| Artifact {
        name: if several { format!("{app}/{component}") } else { app.to_owned() },
        tag: promotion.immutable_tags.get(component).and_then(|tags| tags.first()).cloned(),
        digest,
        source_commit: ledger.builds.get(&digest).and_then(|build| build.fact.commit.clone()),
    };
    promotion.release.components().map(artifact).collect()
}

fn built_by(ledger: &Ledger, promotion: &Promotion) -> Option<String> {
    let (_, digest) = promotion.release.components().next()?;
    ledger.builds.get(&digest)?.fact.run_id.clone()
}

fn verification_results(ledger: &Ledger, promotion: &Promotion) -> BTreeMap<EnvironmentName, &'static str> {
    let mut results = BTreeMap::new();
    if let Some(from) = &promotion.from {
        let gate = promotion.judged.iter().find(|judged| judged.gate == "verified");
        let verified = match gate {
            Some(judged) => judged.passed(),
            None => ledger.standing(from, &promotion.release).is_some_and(|standing| standing.verified.is_some()),
        };
        results.insert(from.clone(), if verified { "PASSED" } else { "FAILED" });
    }
    let here = match (&promotion.verification, &promotion.stage) {
        (Some(_), _) => "PASSED",
        (None, Stage::Ended(Ended::RolledBack { .. } | Ended::Stuck { .. }) | Stage::Back { .. }) => "FAILED",
        (None, _) => "NOT RUN",
    };
    results.insert(promotion.to.clone(), here);
    results
}

fn status(promotion: &Promotion) -> &'static str {
    match promotion.status() {
        Status::Pending => "PENDING",
        Status::InProgress => "IN_PROGRESS",
        Status::Completed => "SUCCESS",
        Status::Failed => "FAILED",
        Status::RolledBack => "ROLLED_BACK",
        Status::Cancelled => "CANCELLED",
        Status::Stuck => "STUCK",
    }
}

fn failure(promotion: &Promotion) -> Option<String> {
    match &promotion.stage {
        Stage::Ended(Ended::Failed { failure, .. } | Ended::RolledBack { failure }) => {
            Some(with_database(&format!("{}: {}", failure.code, failure.message), promotion))
        }
        Stage::Ended(Ended::Stuck { failure, blocked }) => {
            Some(format!("{}: {}; {}: {}", failure.code, failure.message, blocked.code, blocked.message))
        }
        Stage::Ended(Ended::Cancelled { reason, .. }) => Some(with_database(reason, promotion)),
        _ => None,
    }
}

/// Which tags may still name another release than the one that is live, because the registry did not answer; `None` if
/// there is none.
pub fn unmoved_in_words(ledger: &Ledger, promotion: &Promotion) -> Option<String> {
    let environment = ledger.policy.as_ref()?.environments.get(&promotion.to)?;
    let name = |(component, tag): (&ComponentName, &Tag)| match environment.components.get(component) {
        Some(repository) => format!("{repository}:{tag}"),
        None => tag.to_string(),
    };
    let tags = promotion.unmoved_tags.iter().flat_map(|(of, tags)| tags.iter().map(move |tag| (of, tag)));
    let names: Vec<String> = tags.map(name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} may still name another release than the one that is live, because the registry did not answer; the next \
             promotion or rollback in {} moves what is left. Until then, pull by digest",
            names.join(", "),
            promotion.to
        )
    })
}
