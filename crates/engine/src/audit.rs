//! Proving that the log is what was written, and that what is shown follows from it.

pub(crate) mod statements;

use jiff::Timestamp;
use sealift_domain::{digest::Digest, entry::Leaf, event::Event, policy::Policy};
use serde::Serialize;
use statements::Claim;

use crate::{
    book::Book,
    error::EngineError,
    ports::{log::LogError, signature::Signatures},
};

/// What an audit found. An audit that finds a fault is an error, not a report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Entries, each hashed again.
    pub entries: u64,
    /// The root over them, as a digest.
    pub root: Digest,
    /// Signed checkpoints that were verified.
    pub checkpoints: u64,
    /// Approvals whose signatures were verified again.
    pub approvals: u64,
    /// Other statements of persons and workloads that were verified again: requests, rejections, policies, holds.
    pub statements: u64,
    /// Objects that were erased, which retention allows.
    pub erased: usize,
    /// Whether a checkpoint that was kept elsewhere was compared.
    pub kept_checkpoint: bool,
}

/// Audits the whole log: the tree from the stored bytes, the fold from the first entry, what this program shows, and every
/// signature that a person gave.
pub async fn verify(book: &Book, signatures: &dyn Signatures, kept: Option<&str>) -> Result<Report, EngineError> {
    let log = book.log().as_ref();
    let tree = log.audit(kept).await?;
    let mut folding = book.folding();
    folding.up_to(tree.size).await?;
    let folded = folding.ledger;
    let shown = book.ledger().await?;
    if shown.size == tree.size && *shown != folded {
        let what = "what is shown is not the fold of the entries".to_owned();
        return Err(LogError::Tampered { what, at: None }.into());
    }
    let counted = verify_signatures(book, signatures, tree.size).await?;
    Ok(Report {
        entries: tree.size,
        root: Digest::from_bytes(tree.root),
        checkpoints: tree.checkpoints,
        approvals: counted.approvals,
        statements: counted.statements,
        erased: tree.erased.len(),
        kept_checkpoint: kept.is_some(),
    })
}

/// What was verified of what persons signed.
#[derive(Default)]
struct Counted {
    approvals: u64,
    statements: u64,
}

/// Verifies every statement again from the stored bytes, each with a key that its author had in the policy of that time.
async fn verify_signatures(book: &Book, signatures: &dyn Signatures, size: u64) -> Result<Counted, EngineError> {
    let log = book.log();
    let mut counted = Counted::default();
    let mut policy: Option<Policy> = None;
    for (index, bytes) in log.leaves(0, size).await?.iter().enumerate() {
        let index = index as u64;
        let leaf = Leaf::parse(bytes).map_err(|source| EngineError::Entry { index, source })?;
        if !statements::is_signed(&leaf.kind) {
            continue;
        }
        let body = book.object(leaf.body).await?;
        let event = leaf.event(body.as_deref()).map_err(|source| EngineError::Entry { index, source })?;
        for claim in statements::of(&event) {
            let held = verify_claim(book, signatures, policy.as_ref(), &claim, leaf.time).await?;
            held.map_err(|what| EngineError::Log(LogError::Tampered { what, at: Some(index) }))?;
            match claim.is_approval() {
                true => counted.approvals += 1,
                false => counted.statements += 1,
            }
        }
        if let Event::PolicyAccepted(accepted) = event {
            policy = Some(accepted.policy);
        }
    }
    Ok(counted)
}

/// Verifies a claim from what lies beside the log; the inner error says what is wrong with it. Nothing that proves a claim is
/// ever erased, so what is missing was never there, or was taken away.
async fn verify_claim(
    book: &Book,
    signatures: &dyn Signatures,
    policy: Option<&Policy>,
    claim: &Claim<'_>,
    at: Timestamp,
) -> Result<Result<(), String>, EngineError> {
    let Some(objects) = claim.objects(book).await? else {
        return Ok(Err(format!("nothing proves {}: statement or signature is not beside the log", claim.what())));
    };
    Ok(claim.verify(signatures, policy, &objects, at))
}
