//! DSSE envelopes, version 1 (secure-systems-lab/dsse, `envelope.md` and `protocol.md`): a payload, what it is, and signatures
//! over both.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode::Indifferent, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;

use crate::public_key::{Message, PublicKey};

/// The media type of an envelope in a registry.
pub const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The only payload that is evidence: an in-toto statement (in-toto/attestation, `spec/v1/envelope.md`). Whoever signs other
/// things with the same key does not say by that what a statement would.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The longest envelope or bundle that is read, in bytes. Such a one carries a statement of 67 MiB.
pub const MAX_BYTES: usize = 90 << 20;
/// The most signatures on one envelope. Each is tried with each key.
pub const MAX_SIGNATURES: usize = 16;
/// The longest signature, in characters of base64. One by RSA of 8192 bits has 1368.
const MAX_SIGNATURE: usize = 4096;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Why bytes are no envelope with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// There are more bytes than are read.
    #[error("it is longer than {} MiB", MAX_BYTES >> 20)]
    TooLong,
    /// They are no envelope.
    #[error("it is no DSSE envelope (line {line}, column {column})")]
    NotAnEnvelope {
        /// Where in the JSON that shows.
        line: usize,
        /// The column.
        column: usize,
    },
    /// Something else than a statement was signed.
    #[error("its payload is not said to be `{PAYLOAD_TYPE}`")]
    OtherPayload,
    /// No signature, or too many.
    #[error("it has not between 1 and {MAX_SIGNATURES} signatures")]
    Signatures,
    /// The payload or a signature is no base64, or a signature is longer than any is.
    #[error("its payload or a signature is damaged")]
    Damaged,
}

/// An envelope as it is written.
#[derive(Deserialize)]
pub(crate) struct Written<'a> {
    #[serde(rename = "payloadType", borrow)]
    payload_type: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    signatures: Vec<WrittenSignature<'a>>,
}

/// `keyid` is not read: nothing vouches for it, and every key is tried.
#[derive(Deserialize)]
struct WrittenSignature<'a> {
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

/// An envelope with a statement. Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// [`DsseError`]. No error repeats what was read.
    pub fn read(bytes: &[u8]) -> Result<Self, DsseError> {
        if bytes.len() > MAX_BYTES {
            return Err(DsseError::TooLong);
        }
        let not = |why: serde_json::Error| DsseError::NotAnEnvelope { line: why.line(), column: why.column() };
        Self::of(&serde_json::from_slice(bytes).map_err(not)?)
    }

    /// Takes an envelope that was read as a part of something.
    pub(crate) fn of(written: &Written<'_>) -> Result<Self, DsseError> {
        if written.payload_type != PAYLOAD_TYPE {
            return Err(DsseError::OtherPayload);
        }
        if !(1..=MAX_SIGNATURES).contains(&written.signatures.len()) {
            return Err(DsseError::Signatures);
        }
        let signature = |signature: &WrittenSignature<'_>| decode_signature(&signature.sig);
        let signatures = written.signatures.iter().map(signature).collect::<Option<_>>().ok_or(DsseError::Damaged)?;
        let payload = decode(&written.payload).ok_or(DsseError::Damaged)?;
        Ok(Self { payload, signatures })
    }

    /// The statement. It is worth something only if it is [signed](Self::signed_by).
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures.
    pub fn signatures(&self) -> &[Vec<u8>] {
        &self.signatures
    }

    /// Which of `keys` signed it, in their order.
    pub fn signed_by(&self, keys: &[PublicKey]) -> Vec<usize> {
        let head = head(PAYLOAD_TYPE, &self.payload);
        let message = Message::framed(head.as_bytes(), &self.payload);
        let signed = |key: &PublicKey| self.signatures.iter().any(|one| key.verifies_message(&message, one));
        keys.iter().enumerate().filter(|(_, key)| signed(key)).map(|(index, _)| index).collect()
    }
}

/// What a signature in an envelope is over (`protocol.md`, "PAE"): type and payload with their lengths, so that no other pair of
/// them makes the same bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    [head(payload_type, payload).as_bytes(), payload].concat()
}

/// What stands before the payload in that.
fn head(payload_type: &str, payload: &[u8]) -> String {
    format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len())
}

/// Base64 in either alphabet, with or without padding: DSSE and the JSON of Protocol Buffers, which bundles are, permit both.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    // Nearly everything is in the plain alphabet, and a long text is not worth looking through twice.
    PLAIN.decode(text).or_else(|_| URL.decode(text)).ok()
}

/// A signature from its base64, if it is no longer than one is.
pub(crate) fn decode_signature(text: &str) -> Option<Vec<u8>> {
    (text.len() <= MAX_SIGNATURE).then(|| decode(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        // The example of dsse's `protocol.md`.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_ne!(pae("a", b"b c"), pae("a b", b"c"));
    }

    #[test]
    fn base64_is_read_in_both_alphabets_with_and_without_padding() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            assert_eq!(decode(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        for text in ["-/8=", "+/8==", "+/8 ", "+/9=", "\n+/8="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
