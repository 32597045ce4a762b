//! What a judgement rests on, kept beside the log, so that it can be understood and repeated years later.

use sealift_domain::{digest::Digest, gate::Facts, promotion::Judgement};
use serde::{Deserialize, Serialize};

use crate::{error::EngineError, gather::Gathered};

/// The version of [`Kept`].
const VERSION: u32 = 1;

/// Everything that a judgement was made of, apart from the policy, which is in the log, and the bytes of evidence, which lie
/// beside it. As JSON, an object that [`Judgement::facts`] names by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The version of this form, 1.
    pub v: u32,
    /// The version of the program that read the evidence.
    pub program: String,
    /// Whether the images were taken from the host, because the registry was silent.
    pub on_host: bool,
    /// The definition that the release would be started from.
    pub definition: Option<Digest>,
    /// The facts.
    pub facts: Facts,
}

/// The judgement with what it rests on, and the objects to be kept with it.
pub(crate) fn keep(
    mut judgement: Judgement,
    facts: Facts,
    gathered: &Gathered,
    (definition, on_host): (Option<Digest>, bool),
) -> Result<(Judgement, Vec<Vec<u8>>), EngineError> {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let kept = Kept { v: VERSION, program, on_host, definition, facts };
    let bytes = serde_json::to_vec(&kept).map_err(|why| EngineError::Statement(why.to_string()))?;
    judgement.facts = Some(Digest::of(&bytes));
    judgement.objects = gathered.bodies.keys().copied().collect();
    let mut objects = vec![bytes];
    objects.extend(gathered.bodies.values().map(|body| body.to_vec()));
    Ok((judgement, objects))
}

/// Reads what [`keep`] wrote.
///
/// # Errors
/// Why it cannot be read: damage, or a newer program wrote it.
pub fn read(bytes: &[u8]) -> Result<Kept, String> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    match kept.v {
        VERSION => Ok(kept),
        other => Err(format!("it has version {other}, and this program knows {VERSION}: use a newer program")),
    }
}
