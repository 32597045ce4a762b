//! Signed notes (c2sp.org/signed-note): a text, a blank line, and one line for each signature.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::key::{Keyring, SigningKey};

/// The largest note that is read, in bytes. Ours have about 300.
pub const MAX_NOTE: usize = 64 * 1024;

/// The most signature lines that are read, as in other implementations.
const MAX_SIGNATURES: usize = 100;

/// What a signature line begins with: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Larger than [`MAX_NOTE`].
    #[error("a note of {0} bytes is too large: at most {MAX_NOTE} are read")]
    TooLarge(usize),
    /// Not a text, a blank line and signature lines.
    #[error("this is not a signed note: {0}")]
    Malformed(&'static str),
    /// A signature that names one of our keys does not verify.
    #[error("the signature of `{0}` does not verify: the text was edited")]
    BadSignature(String),
    /// None of our keys signed it.
    #[error("no signature by the key of `{0}`")]
    NotOurs(String),
}

/// A note whose signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The text that was signed, with its final newline.
    pub text: &'a str,
    /// Which key of the ring signed it: 0 is the oldest. If several did, the newest of them.
    pub key: usize,
}

/// Signs `text`, whose lines all end with a newline.
pub(crate) fn sign(text: &str, key: &SigningKey) -> String {
    let verifier = key.verifier();
    let signature = [verifier.id().as_slice(), &key.sign(text.as_bytes())].concat();
    format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", verifier.name(), STANDARD.encode(signature))
}

/// Verifies that one of our keys signed `note`. Signatures by unknown keys are ignored; each by a known key must verify.
pub fn verify<'a>(note: &'a str, keys: &Keyring) -> Result<Verified<'a>, NoteError> {
    let (text, signatures) = split(note)?;
    let mut newest = None;
    for (count, line) in signatures.split_terminator('\n').enumerate() {
        if count >= MAX_SIGNATURES {
            return Err(NoteError::Malformed("it has more than 100 signatures"));
        }
        let (name, id, signature) = signature_line(line)?;
        let Some(index) = keys.trusted().iter().position(|key| key.name() == name && key.id() == id) else { continue };
        if !keys.trusted().get(index).is_some_and(|key| key.verifies(text.as_bytes(), &signature)) {
            return Err(NoteError::BadSignature(name.to_owned()));
        }
        newest = newest.max(Some(index));
    }
    match newest {
        Some(key) => Ok(Verified { text, key }),
        None => Err(NoteError::NotOurs(keys.origin().to_owned())),
    }
}

/// Text and signature lines, without the blank line between them. Nothing is verified.
pub(crate) fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > MAX_NOTE {
        return Err(NoteError::TooLarge(note.len()));
    }
    if note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteError::Malformed("it has control characters"));
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed("there is no blank line before the signatures"))?;
    let (text, signatures) = (note.get(..=at).unwrap_or(""), note.get(at + 2..).unwrap_or(""));
    if text == "\n" || signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(NoteError::Malformed("text or signature is missing or incomplete"));
    }
    Ok((text, signatures))
}

/// Name, key id and signature of `— name base64(id || signature)`.
fn signature_line(line: &str) -> Result<(&str, [u8; 4], Vec<u8>), NoteError> {
    let bad = NoteError::Malformed("a signature line is not `— <name> <base64>`");
    let Some((name, encoded)) = line.strip_prefix(SIGNATURE_PREFIX).and_then(|rest| rest.split_once(' ')) else {
        return Err(bad);
    };
    let decoded = STANDARD.decode(encoded).unwrap_or_default();
    match decoded.split_first_chunk::<4>() {
        Some((id, signature)) if !name.is_empty() && !signature.is_empty() => Ok((name, *id, signature.to_vec())),
        _ => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::VerifierKey;

    const PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const LINE: &str =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn peter() -> SigningKey {
        SigningKey::from_text(PRIVATE).unwrap()
    }

    fn ring() -> Keyring {
        Keyring::reader(peter().verifier().clone())
    }

    #[test]
    fn a_note_is_signed_as_other_implementations_sign_it() {
        let note = sign(TEXT, &peter());
        assert_eq!(note, format!("{TEXT}\n{LINE}"));
        assert_eq!(verify(&note, &ring()), Ok(Verified { text: TEXT, key: 0 }));
    }

    #[test]
    fn signatures_by_unknown_keys_are_ignored_and_ours_is_required() {
        let other = SigningKey::generate("log.example/other").unwrap();
        let foreign = sign(TEXT, &other);
        assert_eq!(verify(&foreign, &ring()), Err(NoteError::NotOurs("PeterNeumann".into())));
        let both = format!("{foreign}{LINE}");
        assert_eq!(verify(&both, &ring()), Ok(Verified { text: TEXT, key: 0 }));
        let same_name = SigningKey::generate("PeterNeumann").unwrap();
        assert_eq!(verify(&sign(TEXT, &same_name), &ring()), Err(NoteError::NotOurs("PeterNeumann".into())));
    }

    #[test]
    fn the_newest_key_that_signed_is_named() {
        let next = SigningKey::generate("PeterNeumann").unwrap();
        let keys = Keyring::reader(next.verifier().clone()).after(vec![peter().verifier().clone()]).unwrap();
        assert_eq!(verify(&sign(TEXT, &peter()), &keys).unwrap().key, 0);
        assert_eq!(verify(&sign(TEXT, &next), &keys).unwrap().key, 1);
        assert_eq!(verify(&format!("{}{LINE}", sign(TEXT, &next)), &keys).unwrap().key, 1);
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed() {
        let note = sign(TEXT, &peter()).into_bytes();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut edited = note.clone();
                edited[at] ^= 1 << bit;
                if let Ok(edited) = std::str::from_utf8(&edited) {
                    assert!(verify(edited, &ring()).is_err(), "byte {at}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let bad =
            ["", "\n", "\n\n", "text\n", "text\n\n", "\n\n— a b\n", "text\n\n— PeterNeumann x08g", "a\r\n\n— a AAAA\n"];
        for text in bad {
            assert!(matches!(verify(text, &ring()), Err(NoteError::Malformed(_))), "{text:?}");
        }
        let large = format!("{}\n\n{LINE}", "x".repeat(MAX_NOTE));
        assert!(matches!(verify(&large, &ring()), Err(NoteError::TooLarge(_))));
        let many = format!("{TEXT}\n{}{LINE}", "— a AAAAAAA=\n".repeat(MAX_SIGNATURES));
        assert!(matches!(verify(&many, &ring()), Err(NoteError::Malformed(_))));
    }

    #[test]
    fn a_key_that_was_not_on_the_curve_verifies_nothing() {
        let zero = Keyring::reader(VerifierKey::new("PeterNeumann", [2; 32]).unwrap());
        assert!(verify(&sign(TEXT, &peter()), &zero).is_err());
    }
}
