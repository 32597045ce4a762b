//! Checkpoints (c2sp.org/tlog-checkpoint): a signed note of origin, size and root.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift_engine::ports::log::Head;

use crate::{
    key::{Keyring, SigningKey},
    merkle::Hash,
    note::{self, NoteError},
};

/// Why a checkpoint is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a note that we signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is not origin, size and root, each on its line.
    #[error("the signed text is not a checkpoint of origin, size and root")]
    Malformed,
    /// It belongs to another log.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    Origin {
        /// The log that was expected.
        expected: String,
        /// The log that it names.
        found: String,
    },
}

/// A checkpoint that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Size and root that were signed.
    pub head: Head,
    /// Which key of the ring signed it: 0 is the oldest.
    pub key: usize,
}

/// The signed checkpoint of a tree. The origin is the name of the key.
pub fn sign(head: Head, key: &SigningKey) -> String {
    note::sign(&body(key.verifier().name(), head.size, &head.root), key)
}

/// Verifies a checkpoint by our keys.
pub fn verify(text: &str, keys: &Keyring) -> Result<Verified, CheckpointError> {
    let verified = note::verify(text, keys)?;
    let head = parse(verified.text, keys.origin())?;
    Ok(Verified { head, key: verified.key })
}

/// Size and root of a checkpoint of `origin` whose signature is not looked at.
pub(crate) fn unverified(text: &str) -> Result<Head, CheckpointError> {
    let (text, _) = note::split(text)?;
    parse(text, text.split('\n').next().unwrap_or_default())
}

/// `origin`, a number and a hash, a line each.
pub(crate) fn body(origin: &str, number: u64, hash: &Hash) -> String {
    format!("{origin}\n{number}\n{}\n", STANDARD.encode(hash))
}

/// What [`body`] wrote. Extension lines, which the format allows and we never write, are refused.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Head, CheckpointError> {
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    let [found, size, root] = lines.as_slice() else { return Err(CheckpointError::Malformed) };
    if *found != origin {
        return Err(CheckpointError::Origin { expected: origin.to_owned(), found: (*found).to_owned() });
    }
    let plain = size.bytes().all(|b| b.is_ascii_digit()) && (*size == "0" || !size.starts_with('0'));
    let size = size.parse().ok().filter(|_| plain).ok_or(CheckpointError::Malformed)?;
    let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(CheckpointError::Malformed)?;
    Ok(Head { size, root })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle;

    fn key() -> SigningKey {
        SigningKey::generate("log.example/shop").unwrap()
    }

    #[test]
    fn a_checkpoint_is_origin_size_and_root_signed() {
        let key = key();
        let head = Head { size: 12, root: merkle::root(&[]) };
        let text = sign(head, &key);
        let start = "log.example/shop\n12\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/shop ";
        assert!(text.starts_with(start), "{text}");
        assert_eq!(unverified(&text), Ok(head));
        assert_eq!(verify(&text, &Keyring::writer(key)), Ok(Verified { head, key: 0 }));
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused_even_if_our_key_signed_it() {
        let key = key();
        let text = note::sign(&body("log.example/other", 1, &[7; 32]), &key);
        assert!(matches!(verify(&text, &Keyring::writer(key)), Err(CheckpointError::Origin { .. })));
    }

    #[test]
    fn each_line_has_one_spelling() {
        let key = key();
        let root = STANDARD.encode([7; 32]);
        let bodies = [
            format!("log.example/shop\n01\n{root}\n"),
            format!("log.example/shop\n+1\n{root}\n"),
            format!("log.example/shop\n-1\n{root}\n"),
            format!("log.example/shop\n\n{root}\n"),
            format!("log.example/shop\n18446744073709551616\n{root}\n"),
            format!("log.example/shop\n1\n{root}\nextension\n"),
            format!("log.example/shop\n1\n{}\n", &root[..40]),
            format!("log.example/shop\n1\n{}\n", root.trim_end_matches('=')),
            "log.example/shop\n1\n".to_owned(),
        ];
        let texts: Vec<String> = bodies.iter().map(|body| note::sign(body, &key)).collect();
        let keys = Keyring::writer(key);
        for text in texts {
            assert_eq!(verify(&text, &keys), Err(CheckpointError::Malformed), "{text}");
        }
    }
}
