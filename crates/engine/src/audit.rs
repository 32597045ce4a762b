//! Proving that the log is what was written, and that what is shown follows from it.

use sealift_domain::{
    approval::{APPROVAL_NAMESPACE, Proof},
    digest::Digest,
    entry::Leaf,
    event::Event,
    ledger::Ledger,
    promotion::PromotionEvent,
};
use serde::Serialize;

use crate::{
    book::{self, Book},
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
    let mut folded = Ledger::default();
    book::fold(log, &mut folded, 0, tree.size).await?;
    let shown = book.ledger().await?;
    if shown.size == tree.size && *shown != folded {
        let what = "what is shown is not the fold of the entries".to_owned();
        return Err(LogError::Tampered { what, at: None }.into());
    }
    Ok(Report {
        entries: tree.size,
        root: Digest::from_bytes(tree.root),
        checkpoints: tree.checkpoints,
        approvals: verify_signatures(book, signatures, tree.size).await?,
        erased: tree.erased.len(),
        kept_checkpoint: kept.is_some(),
    })
}

/// Verifies every approval again from the stored statement and signature.
async fn verify_signatures(book: &Book, signatures: &dyn Signatures, size: u64) -> Result<u64, EngineError> {
    let log = book.log();
    let mut verified = 0;
    for (index, bytes) in log.leaves(0, size).await?.iter().enumerate() {
        let index = index as u64;
        let leaf = Leaf::parse(bytes).map_err(|source| EngineError::Entry { index, source })?;
        if leaf.kind != "promotion.approved" {
            continue;
        }
        let body = book.object(leaf.body).await?;
        let event = leaf.event(body.as_deref()).map_err(|source| EngineError::Entry { index, source })?;
        let Event::Promotion(changed) = event else { continue };
        let PromotionEvent::Approved(approval) = changed.change else { continue };
        let Proof::Sshsig { key, statement, signature } = &approval.proof;
        let (Some(message), Some(armoured)) = (book.object(*statement).await?, book.object(*signature).await?) else {
            // Erased after the retention period; the tree above says so.
            continue;
        };
        let tampered = |what: String| EngineError::Log(LogError::Tampered { what, at: Some(index) });
        signatures
            .verify(key, APPROVAL_NAMESPACE, &message, &armoured)
            .map_err(|why| tampered(format!("the signature of an approval does not hold: {why}")))?;
        let signed = serde_json::to_vec(&approval.statement).unwrap_or_default();
        if signed != message {
            return Err(tampered("an approval is not what was signed".to_owned()));
        }
        verified += 1;
    }
    Ok(verified)
}
