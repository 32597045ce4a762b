//! Tokens of identity providers: what is believed, and everything that is not.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::prelude::*;
use sealift_evidence::oidc::{Claims, Expected, MAX_TOKEN, OidcError, check_keys, verify};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example";
const NOW: i64 = 1_800_000_000;

/// A provider with a key of each kind.
struct Provider {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

/// The contents of the DER element at the beginning, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, at) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
    };
    (&der[at..at + length], &der[at + length..])
}

impl Provider {
    fn new() -> Self {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { rsa, ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn keys(&self) -> Vec<Value> {
        // RFC 8017, appendix A.1.1: a sequence of modulus and exponent.
        let (numbers, _) = element(self.rsa.public_key().as_ref());
        let (n, rest) = element(numbers);
        let (e, _) = element(rest);
        let n = BASE64.encode(n.strip_prefix(&[0]).unwrap_or(n));
        let point = self.ec.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        vec![
            json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": n, "e": BASE64.encode(e)}),
            json!({"kty": "EC", "kid": "ec", "crv": "P-256", "x": x, "y": y}),
        ]
    }

    fn jwks(&self) -> String {
        json!({"keys": self.keys()}).to_string()
    }

    /// A token with this header and these claims, signed by the key that the header names.
    fn signed(&self, header: &Value, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims));
        let signature = if header["kid"] == "rsa" {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
            signature
        } else {
            self.ec.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

fn rs256() -> Value {
    json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "sealift", "sub": "repo:acme/web:ref:refs/heads/main", "iat": NOW, "nbf": NOW - 300,
        "exp": NOW + 300, "actor": "ana", "actor_id": "4711", "repository": "acme/web", "run_id": "99",
        "sha": "7a3f9c2", "ref": "refs/heads/main", "workflow_ref": "acme/web/.github/workflows/cd.yaml@refs/heads/main",
        "something_new": {"by": "GitHub"},
    })
}

fn read(token: &str, jwks: &str, now: i64) -> Result<Claims, OidcError> {
    verify(token.as_bytes(), Expected { issuer: ISSUER, audience: "sealift", jwks }, now)
}

#[test]
fn a_token_of_the_provider_says_which_workload_asks() {
    let provider = Provider::new();
    assert_eq!(check_keys(&provider.jwks()), Ok(()));
    for header in [rs256(), json!({"alg": "ES256", "kid": "ec"})] {
        let token = provider.signed(&header, &claims().to_string());
        let said = read(&token, &provider.jwks(), NOW).unwrap();
        assert_eq!((said.sub.as_str(), said.actor.as_deref()), ("repo:acme/web:ref:refs/heads/main", Some("ana")));
        assert_eq!((said.reference.as_deref(), said.exp), (Some("refs/heads/main"), NOW + 300));
    }
}

#[test]
fn a_token_counts_from_its_beginning_to_its_end_give_or_take_a_minute() {
    let provider = Provider::new();
    let token = provider.signed(&rs256(), &claims().to_string());
    let at = |now| read(&token, &provider.jwks(), now).map(drop);
    assert_eq!((at(NOW - 60), at(NOW + 359)), (Ok(()), Ok(())));
    assert_eq!((at(NOW - 61), at(NOW + 360)), (Err(OidcError::Future), Err(OidcError::Expired)));
}

#[test]
fn only_the_key_says_how_a_token_is_signed() {
    let provider = Provider::new();
    let body = claims().to_string();
    let with = |header: Value| read(&provider.signed(&header, &body), &provider.jwks(), NOW).map(drop);
    for alg in ["none", "None", "HS256", "RS512", "PS256", "ES256", ""] {
        assert_eq!(with(json!({"alg": alg, "kid": "rsa"})), Err(OidcError::Algorithm), "{alg}");
    }
    assert_eq!(with(json!({"alg": "RS256", "kid": "ec"})), Err(OidcError::Algorithm));
    assert_eq!(with(json!({"alg": "RS256", "kid": "other"})), Err(OidcError::UnknownKey));
    assert!(matches!(with(json!({"alg": "RS256"})), Err(OidcError::NotAToken(_))), "a key is named");
    let critical = json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false});
    assert!(matches!(with(critical), Err(OidcError::NotAToken(_))));
    // A key for encryption, and one that stands twice, are none to verify with.
    let mut keys = provider.keys();
    keys[0]["use"] = "enc".into();
    let token = provider.signed(&rs256(), &body);
    assert_eq!(read(&token, &json!({"keys": keys}).to_string(), NOW).map(drop), Err(OidcError::Algorithm));
    let twice = json!({"keys": [provider.keys()[0], provider.keys()[0]]}).to_string();
    assert_eq!(read(&token, &twice, NOW).map(drop), Err(OidcError::UnknownKey));
}

#[test]
fn what_was_altered_or_is_for_others_says_nothing() {
    let provider = Provider::new();
    let other = Provider::new();
    let token = provider.signed(&rs256(), &claims().to_string());
    assert_eq!(read(&token, &other.jwks(), NOW).map(drop), Err(OidcError::BadSignature));
    let parts: Vec<&str> = token.split('.').collect();
    let forged = claims().to_string().replace("\"ana\"", "\"bob\"");
    let altered = format!("{}.{}.{}", parts[0], BASE64.encode(forged), parts[2]);
    assert_eq!(read(&altered, &provider.jwks(), NOW).map(drop), Err(OidcError::BadSignature));
    let cases = [
        ("iss", json!("https://id.example/"), OidcError::Issuer),
        ("aud", json!("sealift2"), OidcError::Audience),
        ("aud", json!([]), OidcError::Audience),
        ("aud", json!(["sealift", "other"]), OidcError::Audience),
        ("exp", json!(NOW - 60), OidcError::Expired),
        ("exp", json!(NOW + 2 * 24 * 3600), OidcError::TooLong),
        ("nbf", json!(NOW + 61), OidcError::Future),
    ];
    for (key, value, error) in cases {
        let mut claims = claims();
        claims[key] = value;
        let token = provider.signed(&rs256(), &claims.to_string());
        assert_eq!(read(&token, &provider.jwks(), NOW).map(drop), Err(error), "{key}");
    }
    for missing in ["iss", "aud", "exp", "iat", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(missing);
        let token = provider.signed(&rs256(), &claims.to_string());
        assert!(matches!(read(&token, &provider.jwks(), NOW), Err(OidcError::NotAToken(_))), "{missing}");
    }
    for (key, value) in [("actor", "a\nb".to_owned()), ("sub", String::new()), ("ref", "x".repeat(1025))] {
        let mut claims = claims();
        claims[key] = value.into();
        let token = provider.signed(&rs256(), &claims.to_string());
        assert!(matches!(read(&token, &provider.jwks(), NOW), Err(OidcError::NotAToken(_))), "{key}");
    }
    let twice = claims().to_string().replacen('{', "{\"sub\": \"repo:acme/web:x\",", 1);
    let token = provider.signed(&rs256(), &twice);
    assert!(matches!(read(&token, &provider.jwks(), NOW), Err(OidcError::NotAToken(_))), "a claim stands twice");
}

#[test]
fn tokens_and_keys_have_limits() {
    let provider = Provider::new();
    let mut long = claims();
    long["padding"] = "x".repeat(MAX_TOKEN).into();
    let token = provider.signed(&rs256(), &long.to_string());
    assert_eq!(read(&token, &provider.jwks(), NOW).map(drop), Err(OidcError::NotAToken("it is too long")));
    let many = json!({"keys": vec![provider.keys()[1].clone(); 65]}).to_string();
    assert_eq!(check_keys(&many), Err(OidcError::Keys("there are too many")));
    assert!(matches!(check_keys("{\"keys\": []}"), Err(OidcError::Keys(_))));
    assert!(matches!(check_keys("[]"), Err(OidcError::Keys(_))));
}

proptest! {
    #[test]
    fn no_bytes_are_a_token_by_accident(bytes in prop::collection::vec(any::<u8>(), 0..400), jwks in ".{0,80}") {
        let expected = Expected { issuer: ISSUER, audience: "sealift", jwks: &jwks };
        prop_assert!(verify(&bytes, expected, NOW).is_err());
    }
}
