//! The answer to a request: a signed statement as a file, and as it is handed in.

use sealift_domain::approval::APPROVAL_NAMESPACE;
use serde::{Deserialize, Serialize};

use super::VERSION;
use crate::{act::Signed, error::EngineError, ports::inbox::MAX_STATEMENT};

/// The largest answer that is read, in bytes.
pub const MAX_ANSWER: usize = MAX_STATEMENT;

/// A signed statement as it is handed in: JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerFile {
    /// The version of the form, 1.
    sealift_answer: u32,
    /// The SSHSIG namespace.
    namespace: String,
    /// The exact bytes that were signed.
    statement: String,
    /// The armoured signature.
    signature: String,
}

/// An answer as a file.
pub fn answer(signed: &Signed) -> Result<Vec<u8>, EngineError> {
    let text =
        |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| EngineError::Answer("it is no text".to_owned()));
    let file = AnswerFile {
        sealift_answer: VERSION,
        namespace: APPROVAL_NAMESPACE.to_owned(),
        statement: text(&signed.statement)?,
        signature: text(&signed.signature)?,
    };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|why| EngineError::Answer(why.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads an answer. Nothing of it is verified yet.
///
/// # Errors
/// [`EngineError::Answer`].
pub fn read_answer(bytes: &[u8]) -> Result<Signed, EngineError> {
    if bytes.len() > MAX_ANSWER {
        return Err(EngineError::Answer("it is larger than any that this program makes".to_owned()));
    }
    let file: AnswerFile = serde_json::from_slice(bytes)
        .map_err(|why| EngineError::Answer(format!("it is not what `sealift approve` writes: {why}")))?;
    if file.sealift_answer != VERSION {
        return Err(EngineError::Answer(format!(
            "it has version {}, and this program knows {VERSION}",
            file.sealift_answer
        )));
    }
    if file.namespace != APPROVAL_NAMESPACE {
        return Err(EngineError::Answer("it was signed for something else".to_owned()));
    }
    Ok(Signed { statement: file.statement.into_bytes(), signature: file.signature.into_bytes() })
}
