//! Tokens of identity providers (OpenID Connect Core 1.0, section 2): JSON Web Tokens (RFC 7519) in compact form, verified
//! offline with the provider's JSON Web Key Set (RFC 7517).
//!
//! Strict where the specifications leave a choice: only RS256 and ES256 (RFC 7518, sections 3.3 and 3.4), and which of the two
//! is the key's to say and not the token's; `kid`, `exp`, `iat`, `iss` and `aud` must be there, and there must be one audience.

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// The longest token that is read, in bytes. GitHub's have about 2,000.
pub const MAX_TOKEN: usize = 16 << 10;
/// The largest key set that is read, in bytes. GitHub's has about 10,000.
pub const MAX_KEYS: usize = 256 << 10;
/// How many keys a set may have.
const MAX_COUNT: usize = 64;
/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;
/// The longest life of a token that is believed, in seconds. GitHub's live for five minutes.
const MAX_LIFE: i64 = 24 * 3600;
/// The longest text of a claim, in bytes.
const MAX_CLAIM: usize = 1024;

/// Why a token says nothing. No error repeats what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// It is no token.
    #[error("it is no JSON Web Token: {0}")]
    NotAToken(&'static str),
    /// The set of keys cannot be used.
    #[error("the provider's keys cannot be used: {0}")]
    Keys(&'static str),
    /// No key, or more than one, has its `kid`.
    #[error("no key of the provider made it, as far as its `kid` says; the provider may have new keys")]
    UnknownKey,
    /// It is signed in a way that its key is not for.
    #[error("it says that it is signed in another way than its key is for")]
    Algorithm,
    /// It is not signed by the key.
    #[error("its signature does not hold")]
    BadSignature,
    /// Another provider made it.
    #[error("another provider made it")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is dated in the future")]
    Future,
    /// It lives too long.
    #[error("it lives for longer than a day")]
    TooLong,
}

/// Whose tokens are believed, and which.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// What must stand in `iss`.
    pub issuer: &'a str,
    /// What must stand in `aud`.
    pub audience: &'a str,
    /// The provider's keys, a JSON Web Key Set.
    pub jwks: &'a str,
}

/// What a token says. Claims beyond those of the specification are GitHub's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// Which workload.
    pub sub: String,
    /// Until when, in seconds since 1970.
    pub exp: i64,
    /// The account that started the run.
    pub actor: Option<String>,
    /// The number of that account.
    pub actor_id: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The run.
    pub run_id: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The branch or tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The workflow, with the branch or tag that it was read from.
    pub workflow_ref: Option<String>,
    iss: String,
    aud: Audience,
    iat: i64,
    nbf: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    // RFC 7515, section 4.1.11: what is critical must be understood, and nothing of it is.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Whether a key set can be used at all.
///
/// # Errors
/// Why not.
pub fn check_keys(jwks: &str) -> Result<(), OidcError> {
    let set = key_set(jwks)?;
    if set.keys.iter().any(|key| key.kid.is_some() && key.algorithm().is_some()) {
        return Ok(());
    }
    Err(OidcError::Keys("none of them has a `kid` and is for RS256 or ES256"))
}

/// What the token says at `now` (seconds since 1970), if the provider made it for the audience.
///
/// # Errors
/// See [`OidcError`].
pub fn verify(token: &[u8], expected: Expected<'_>, now: i64) -> Result<Claims, OidcError> {
    let token = std::str::from_utf8(token).map_err(|_| OidcError::NotAToken("it is not text"))?;
    if token.len() > MAX_TOKEN {
        return Err(OidcError::NotAToken("it is too long"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(OidcError::NotAToken("it has not three parts"));
    };
    let head: Header = json(header)?;
    if head.crit.is_some() {
        return Err(OidcError::NotAToken("it has extensions that must be understood"));
    }
    let set = key_set(expected.jwks)?;
    let mut named = set.keys.iter().filter(|key| key.kid.as_deref() == Some(&head.kid));
    let (Some(key), None) = (named.next(), named.next()) else { return Err(OidcError::UnknownKey) };
    if key.algorithm() != Some(head.alg.as_str()) {
        return Err(OidcError::Algorithm);
    }
    let signed = token.len() - signature.len() - 1;
    let signed = token.get(..signed).ok_or(OidcError::NotAToken("it has not three parts"))?;
    key.verifies(signed.as_bytes(), &bytes(signature)?)?;
    // Only what is signed is read.
    let claims: Claims = json(body)?;
    claims.hold(expected, now)?;
    Ok(claims)
}

/// A verified token in the one spelling that it is known by. Who has a signature of ECDSA can make another of it that holds
/// as well, without the key: with `n - s` in the place of `s`. The smaller of the two is the one. RS256 has only one.
pub fn canonical(token: &[u8]) -> Vec<u8> {
    let spelt = || {
        let (signed, signature) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
        let mut signature = bytes(signature).ok()?;
        // RFC 7518, section 3.4: R and S of 32 bytes each. No signature by RSA is as short.
        let s: &mut [u8; 32] = signature.get_mut(32..)?.try_into().ok()?;
        let other = minus(&ORDER, s);
        *s = other.min(*s);
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into_bytes())
    };
    spelt().unwrap_or_else(|| token.to_vec())
}

/// The order of P-256 (FIPS 186-4, appendix D.1.2.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The difference of two numbers, the most significant byte first.
fn minus(from: &[u8; 32], what: &[u8; 32]) -> [u8; 32] {
    let mut difference = [0; 32];
    let mut borrow = false;
    for ((result, a), b) in difference.iter_mut().zip(from).zip(what).rev() {
        let (once, under) = a.overflowing_sub(*b);
        let (twice, further) = once.overflowing_sub(u8::from(borrow));
        (*result, borrow) = (twice, under || further);
    }
    difference
}

impl Claims {
    fn hold(&self, expected: Expected<'_>, now: i64) -> Result<(), OidcError> {
        if self.iss != expected.issuer {
            return Err(OidcError::Issuer);
        }
        let audience = match &self.aud {
            Audience::One(one) => Some(one),
            // A token for several could be handed on by each of them.
            Audience::Several(several) => several.first().filter(|_| several.len() == 1),
        };
        if audience.is_none_or(|audience| audience != expected.audience) {
            return Err(OidcError::Audience);
        }
        if now.saturating_sub(LEEWAY) >= self.exp {
            return Err(OidcError::Expired);
        }
        let soon = now.saturating_add(LEEWAY);
        if self.iat > soon || self.nbf.is_some_and(|nbf| nbf > soon) {
            return Err(OidcError::Future);
        }
        if self.exp.saturating_sub(self.iat) > MAX_LIFE {
            return Err(OidcError::TooLong);
        }
        let kept = [&self.actor, &self.actor_id, &self.repository, &self.run_id, &self.sha, &self.reference];
        let kept = kept.into_iter().chain([&self.workflow_ref]).flatten().chain([&self.sub]);
        for text in kept {
            if text.is_empty() || text.len() > MAX_CLAIM || text.chars().any(char::is_control) {
                return Err(OidcError::NotAToken("a claim is empty, too long or not plain text"));
            }
        }
        Ok(())
    }
}

impl Key {
    /// The one algorithm that this key is for.
    fn algorithm(&self) -> Option<&'static str> {
        let is = |text: &Option<String>, wanted: &str| text.as_deref().is_none_or(|text| text == wanted);
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => "RS256",
            ("EC", Some("P-256")) => "ES256",
            _ => return None,
        };
        (is(&self.alg, algorithm) && is(&self.usage, "sig")).then_some(algorithm)
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> Result<(), OidcError> {
        let part = |part: &Option<String>| {
            let part = part.as_deref().ok_or(OidcError::Keys("a part of the key is missing"))?;
            bytes(part).map_err(|_| OidcError::Keys("a part of the key is damaged"))
        };
        let held = match self.algorithm() {
            Some("RS256") => {
                let (n, e) = (part(&self.n)?, part(&self.e)?);
                PublicKeyComponents { n: &n, e: &e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Some("ES256") => {
                // SEC 1, section 2.3.3: an uncompressed point.
                let point = [vec![4], part(&self.x)?, part(&self.y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            _ => return Err(OidcError::Algorithm),
        };
        held.map_err(|_| OidcError::BadSignature)
    }
}

fn key_set(jwks: &str) -> Result<KeySet, OidcError> {
    if jwks.len() > MAX_KEYS {
        return Err(OidcError::Keys("the set is too large"));
    }
    let set: KeySet = serde_json::from_str(jwks).map_err(|_| OidcError::Keys("it is no JSON Web Key Set"))?;
    if set.keys.len() > MAX_COUNT {
        return Err(OidcError::Keys("there are too many"));
    }
    Ok(set)
}

fn bytes(part: &str) -> Result<Vec<u8>, OidcError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| OidcError::NotAToken("a part is not base64url"))
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, OidcError> {
    // A key that stands twice is refused by serde, so nobody else can read another value.
    serde_json::from_slice(&bytes(part)?).map_err(|_| OidcError::NotAToken("a part is not what a token has"))
}
