//! The short form of everything that an approval is bound to, for people to write where they cannot sign.

use std::{fmt, str::FromStr};

use super::{ApprovalStatement, Binding};
use crate::digest::Digest;

/// Crockford's base 32: no I, L, O and U, which look like something else.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 160 bits: who can choose builds and evidence freely could still not find two that have the same code.
const BYTES: usize = 20;
/// How many characters say that.
const CHARACTERS: usize = BYTES * 8 / 5;
/// Characters between two hyphens.
const GROUP: usize = 8;
/// What is hashed with a binding, so that no other digest of this program is one.
const DOMAIN: &[u8] = b"sealift-approval-code/v1\n";

/// The code of a [`Binding`]: 32 characters of Crockford's base 32 of the beginning of a SHA-256. Another digest, repository,
/// policy or set of evidence has another code.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApprovalCode(String);

/// A text is no such code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code has {CHARACTERS} letters and digits")]
pub struct CodeError;

impl Binding {
    /// The code that stands for exactly this.
    pub fn code(&self) -> ApprovalCode {
        // It always serialises; were that ever untrue, no two bindings may look alike.
        let bytes = serde_json::to_vec(self).unwrap_or_else(|why| format!("{self:?} {why}").into_bytes());
        let digest = Digest::of(&[DOMAIN, &bytes].concat());
        let mut text = String::with_capacity(CHARACTERS);
        let (mut bits, mut held) = (0u32, 0u32);
        for byte in digest.as_bytes().iter().take(BYTES) {
            (bits, held) = (bits << 8 | u32::from(*byte), held + 8);
            while held >= 5 {
                held -= 5;
                text.extend(letter(bits >> held & 31));
            }
            bits &= (1 << held) - 1;
        }
        ApprovalCode(text)
    }
}

impl ApprovalStatement {
    /// Everything that it says it is for.
    pub fn binding(&self) -> Binding {
        Binding {
            promotion: self.promotion,
            app: self.app.clone(),
            release: self.release.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            policy_digest: self.policy_digest,
            evidence_digest: self.evidence_digest,
            expedited: self.expedited,
            waived: self.waived.clone(),
        }
    }
}

fn letter(value: u32) -> Option<char> {
    usize::try_from(value).ok().and_then(|at| ALPHABET.get(at)).map(|byte| char::from(*byte))
}

impl FromStr for ApprovalCode {
    type Err = CodeError;

    /// Hyphens and case do not matter, and what looks like a digit is one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 2 * CHARACTERS {
            return Err(CodeError);
        }
        let one = |c: char| match c.to_ascii_uppercase() {
            'O' => Ok('0'),
            'I' | 'L' => Ok('1'),
            c if c.is_ascii() && ALPHABET.contains(&(c as u8)) => Ok(c),
            _ => Err(CodeError),
        };
        let code = text.chars().filter(|c| *c != '-').map(one).collect::<Result<String, _>>()?;
        if code.len() == CHARACTERS { Ok(Self(code)) } else { Err(CodeError) }
    }
}

impl fmt::Display for ApprovalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.0.chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ApprovalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
