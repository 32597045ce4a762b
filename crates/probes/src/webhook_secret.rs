//! Signatures of the Standard Webhooks specification (version 1.0.0), for both sides.

use std::{fmt, str::FromStr};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use sealift_domain::quantity::Period;

/// The key that a sender and a receiver of webhooks share: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

/// Why a text is not a webhook secret. The text itself is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook secret: expected `whsec_` followed by 24 to 64 bytes in base64")]
pub struct SecretError;

/// The three headers of a signed webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`: the same for every try of one notice.
    pub id: &'a str,
    /// `webhook-timestamp`: when this try was sent, in seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: signatures separated by spaces, each with its version, as in `v1,<base64>`.
    pub signature: &'a str,
}

/// Why a received webhook is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is not a number of seconds, or too far from now.
    #[error("`webhook-timestamp` is not a time within the tolerance: the notice may be a replay, or a clock is wrong")]
    Time,
    /// No signature of version `v1` is by this secret over these bytes.
    #[error("no signature in `webhook-signature` is right: another secret, or altered bytes")]
    Signature,
}

impl FromStr for WebhookSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(SecretError)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookSecret {
    /// The value of `webhook-signature` for one try: `v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body`.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &signed_bytes(id, &timestamp.to_string(), body));
        format!("v1,{}", STANDARD.encode(tag))
    }
}

/// Whether a received webhook is by the holder of `secret`, unaltered, and sent within `tolerance` of `now` (five
/// minutes are usual). For receivers; the comparison takes the same time wherever signatures differ.
///
/// A receiver should also drop an `id` that it has seen before: a notice is delivered at least once.
///
/// # Errors
/// [`VerifyError`] says what does not hold; nothing in `body` may then be used.
pub fn verify(
    secret: &WebhookSecret,
    headers: &SignedHeaders<'_>,
    body: &[u8],
    now: Timestamp,
    tolerance: Period,
) -> Result<(), VerifyError> {
    let seconds: i64 = headers.timestamp.parse().map_err(|_| VerifyError::Time)?;
    let sent = Timestamp::from_second(seconds).map_err(|_| VerifyError::Time)?;
    if Period::between(sent, now).max(Period::between(now, sent)) > tolerance {
        return Err(VerifyError::Time);
    }
    let signed = signed_bytes(headers.id, headers.timestamp, body);
    // Several signatures are sent while a secret is being replaced; versions that are not known are passed over.
    let right = headers.signature.split(' ').filter_map(|s| s.strip_prefix("v1,")).any(|encoded| {
        STANDARD.decode(encoded).is_ok_and(|signature| hmac::verify(&secret.0, &signed, &signature).is_ok())
    });
    if right { Ok(()) } else { Err(VerifyError::Signature) }
}

fn signed_bytes(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const TOLERANCE: Period = Period::from_secs(300);

    fn secret() -> WebhookSecret {
        SECRET.parse().unwrap()
    }

    fn check(signature: &str, body: &[u8], skew: i64) -> Result<(), VerifyError> {
        let headers = SignedHeaders { id: ID, timestamp: &SENT.to_string(), signature };
        verify(&secret(), &headers, body, Timestamp::from_second(SENT + skew).unwrap(), TOLERANCE)
    }

    #[test]
    fn the_published_example_is_signed_and_verified() {
        assert_eq!(secret().sign(ID, SENT, BODY), SIGNATURE);
        assert_eq!(check(SIGNATURE, BODY, 0), Ok(()));
    }

    #[test]
    fn one_right_signature_among_others_is_enough() {
        assert_eq!(check(&format!("v1,AAAA v1a,xyz {SIGNATURE} v2,!"), BODY, 0), Ok(()));
        for wrong in ["", "v1,", "v1,AAAA", "v1,%%", &SIGNATURE[3..], &SIGNATURE.replace("v1", "v2")] {
            assert_eq!(check(wrong, BODY, 0), Err(VerifyError::Signature), "{wrong}");
        }
    }

    #[test]
    fn an_altered_body_or_a_distant_time_is_refused() {
        assert_eq!(check(SIGNATURE, br#"{"test": 2432232315}"#, 0), Err(VerifyError::Signature));
        assert_eq!((check(SIGNATURE, BODY, 300), check(SIGNATURE, BODY, -300)), (Ok(()), Ok(())));
        assert_eq!(check(SIGNATURE, BODY, 301), Err(VerifyError::Time));
        assert_eq!(check(SIGNATURE, BODY, -301), Err(VerifyError::Time));
        let headers = SignedHeaders { id: ID, timestamp: "soon", signature: SIGNATURE };
        assert_eq!(verify(&secret(), &headers, BODY, Timestamp::now(), TOLERANCE), Err(VerifyError::Time));
    }

    #[test]
    fn secrets_have_a_form_and_are_never_shown() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes])).parse::<WebhookSecret>();
        assert!(of(24).is_ok() && of(64).is_ok());
        assert!(of(23).is_err() && of(65).is_err());
        for text in ["", "whsec_", &SECRET[6..], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*"] {
            assert_eq!(text.parse::<WebhookSecret>().unwrap_err(), SecretError);
        }
        assert_eq!(format!("{:?}", secret()), "WebhookSecret(…)");
    }
}
