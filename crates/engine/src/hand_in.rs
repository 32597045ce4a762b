//! Handing in evidence about an artifact: what a tool reported is put on record, bound to the digest that it speaks of.

use sealift_domain::{
    digest::Digest,
    event::{Event, EvidenceKind, EvidenceRecorded},
    evidence::{Claim, Evidence, Form, Origin},
    image::Image,
    reference::Pinned,
};

use crate::{
    book::{Book, Decision, Draft},
    error::EngineError,
    gather::within_limits,
    places,
    ports::evidence::Found,
    world::World,
};

/// The most bytes that are taken.
pub const MAX_BYTES: u64 = 64 << 20;

/// What was handed in, as it was understood.
#[derive(Clone, Debug)]
pub struct HandedIn {
    /// The evidence, as gates will see it. Of the signers, those are named that some gate of the policy trusts.
    pub evidence: Evidence,
    /// Whether the same bytes were on record for this artifact already; then nothing was written.
    pub known: bool,
}

/// Puts evidence on record. The artifact must be in its registry, and the evidence must be of that kind and name the digest of
/// the artifact or of one of its platforms: what is about something else proves nothing, and is not taken.
pub async fn hand_in(
    book: &Book,
    world: &World,
    artifact: &Pinned,
    kind: EvidenceKind,
    bytes: Vec<u8>,
) -> Result<HandedIn, EngineError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(EngineError::Evidence(format!("it has {} bytes; the limit is {MAX_BYTES}", bytes.len())));
    }
    let image = world.registry.inspect(artifact).await?;
    let ledger = book.ledger().await?;
    let policy = places::policy(&ledger)?;
    let trusts: Vec<_> = policy.environments.values().flat_map(|environment| environment.gates.asks().trusts).collect();
    let form = world.evidence.form_of(&bytes);
    // What it is recorded as does not change what it says.
    let origin = Origin::Recorded { at: world.clock.now(), receipt: artifact.digest };
    let found = Found { form, origin, bytes: bytes.clone().into(), detached: None };
    let read = world.evidence.read(&[found], &trusts).map_err(EngineError::Evidence)?;
    let evidence = read.into_iter().next().ok_or_else(|| EngineError::Evidence("it says nothing".to_owned()))?;
    fits(&evidence, kind)?;
    about(&evidence, &image)?;
    let recorded = EvidenceRecorded {
        artifact: artifact.digest,
        handed_in_as: kind,
        form,
        object: Digest::of(&bytes),
        size: bytes.len() as u64,
    };
    let known = put(book, recorded, bytes).await?;
    Ok(HandedIn { evidence, known })
}

async fn put(book: &Book, recorded: EvidenceRecorded, bytes: Vec<u8>) -> Result<bool, EngineError> {
    book.commit(|ground| {
        places::policy(ground.ledger)?;
        let before = ground.ledger.evidence.get(&recorded.artifact);
        if before.is_some_and(|list| list.iter().any(|before| before.fact.object == recorded.object)) {
            return Ok(Decision::nothing(true));
        }
        // What nobody will read is not taken: it would block every promotion of the artifact.
        let sizes = before.into_iter().flatten().map(|before| before.fact.size).chain([recorded.size]);
        within_limits(recorded.artifact, sizes).map_err(EngineError::Evidence)?;
        let draft = Draft { event: Event::EvidenceRecorded(recorded.clone()), evidence: vec![bytes.clone()] };
        Ok(Decision { drafts: vec![draft], value: false })
    })
    .await
}

/// Whether it is what it is handed in as.
fn fits(evidence: &Evidence, kind: EvidenceKind) -> Result<(), EngineError> {
    let right = match (&evidence.claim, kind) {
        (Claim::Unreadable { kind }, _) => {
            let why = evidence.why_not.as_deref().unwrap_or("it is damaged");
            return Err(EngineError::Evidence(format!("{} cannot be read: {why}", kind.escape_debug())));
        }
        (Claim::Other { kind }, _) => {
            return Err(EngineError::Evidence(format!("nothing here reads what it is, `{}`", kind.escape_debug())));
        }
        (Claim::Scan(_), EvidenceKind::Scan)
        | (Claim::Sbom(_), EvidenceKind::Sbom)
        | (Claim::Tests(_), EvidenceKind::Test)
        | (Claim::Provenance(_), EvidenceKind::Provenance)
        | (Claim::Vex(_), EvidenceKind::Vex) => true,
        _ => false,
    };
    let (is, instead) = match evidence.claim {
        Claim::Provenance(_) => ("provenance", "`sealift record provenance IMAGE --file FILE`"),
        Claim::Sbom(_) => ("an SBOM", "`sealift record sbom IMAGE --file FILE`"),
        Claim::Scan(_) => ("a scan", "`sealift record scan IMAGE --file FILE`"),
        Claim::Vex(_) => ("a VEX document", "`sealift record vex IMAGE --file FILE`"),
        Claim::Tests(_) => ("a test result", "`sealift record test IMAGE --file FILE`"),
        Claim::Signature | Claim::Other { .. } | Claim::Unreadable { .. } => {
            let why = "it is a signature, and says nothing more: attach it to the image, `cosign sign` does";
            return Err(EngineError::Evidence(why.to_owned()));
        }
    };
    if right {
        return Ok(());
    }
    Err(EngineError::Evidence(format!("it is {is}: {instead} takes it")))
}

/// Whether it is about the artifact.
fn about(evidence: &Evidence, image: &Image) -> Result<(), EngineError> {
    let artifact = image.digest;
    if evidence.is_about(artifact) || image.platforms.iter().any(|platform| evidence.is_about_platform(platform)) {
        return Ok(());
    }
    let named = evidence.configs.first().or(evidence.subjects.first());
    let why = match (named, evidence.form) {
        (Some(other), _) => format!("it is about {other}, not about {artifact} or one of its platforms"),
        (None, Form::Document) => {
            "it does not say which image it is about; let the tool read the image by digest from its registry, or wrap it in a \
             signed statement (`cosign attest`)"
                .to_owned()
        }
        (None, _) => "it names no subject".to_owned(),
    };
    Err(EngineError::Evidence(why))
}
