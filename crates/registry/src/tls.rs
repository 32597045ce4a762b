//! TLS: which certificates can be used, and how a failed handshake is told from a silent registry.

use std::{
    error::Error,
    io,
    sync::{LazyLock, atomic::Ordering},
};

use reqwest::{Certificate, Identity, Url};
use rustls::{AlertDescription, Error as Tls};
use sealift_engine::ports::registry::RegistryErrorKind;

use crate::{error::causes, retry::Failure, secret::Secret, transport::Http};

/// The certificates and the key that this client shows to registries that ask who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    certificates: Vec<u8>,
    key: Secret,
}

/// Which part of an identity cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    /// The certificates.
    Certificates(String),
    /// The key. The words repeat nothing of it.
    Key(String),
}

/// The certificates of a PEM text.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem) {
        Ok(list) if list.is_empty() => Err("there is no PEM certificate in it".to_owned()),
        Ok(list) => Ok(list),
        Err(_) => Err("it is not PEM".to_owned()),
    }
}

/// Whether every certificate of a PEM text can be trusted as an authority, for [`crate::client::Options::extra_roots`].
///
/// # Errors
/// There is none in it, or one of them is damaged.
pub fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let roots = certificates(pem)?;
    let probe = reqwest::Client::builder().no_proxy().tls_certs_only(roots).build();
    probe.map(drop).map_err(|_| "a certificate in it is damaged".to_owned())
}

impl ClientIdentity {
    /// An identity of a certificate with those that vouch for it, the client's own first, and of its private key; both PEM.
    ///
    /// # Errors
    /// One of them is no such thing, the key has a passphrase, or they do not belong together.
    pub fn new(certificates: Vec<u8>, key: Secret) -> Result<Self, IdentityFault> {
        self::certificates(&certificates).map_err(IdentityFault::Certificates)?;
        let bad = |why: &str| IdentityFault::Key(why.to_owned());
        if !key.reveal().contains("PRIVATE KEY-----") {
            return Err(bad("there is no PEM private key in it"));
        }
        if key.reveal().contains("ENCRYPTED") {
            return Err(bad("it has a passphrase, and only keys without one can be used"));
        }
        let identity = Self { certificates, key };
        let parsed = identity.parsed().map_err(|_| bad("it is damaged, or of a kind that is not known"))?;
        let probe = reqwest::Client::builder().no_proxy().tls_certs_only([]).identity(parsed).build();
        probe.map(|_| identity).map_err(|_| bad("it is damaged, or not the key of the certificate"))
    }

    /// The identity as the HTTP client takes it.
    pub(crate) fn parsed(&self) -> Result<Identity, reqwest::Error> {
        let parts = [self.certificates.as_slice(), b"\n", self.key.reveal().as_bytes()];
        Identity::from_pem(&parts.concat())
    }
}

/// The client for everything but this machine once more, without HTTP/2; built when it is needed.
pub(crate) type OverHttp1 = LazyLock<Option<reqwest::Client>, Box<dyn FnOnce() -> Option<reqwest::Client> + Send>>;

impl Http {
    /// A request that could not be sent, or was not answered. One that came to nothing because of certificates is final.
    pub(crate) async fn unanswered(&self, subject: &str, url: &Url, failure: reqwest::Error) -> Failure {
        // With TLS 1.3 a client is told only after the handshake that its certificate is not accepted, and over HTTP/2 the
        // connection is often gone before anybody has read that.
        let broke_off = url.scheme() == "https" && !failure.is_connect() && !failure.is_timeout();
        let told = match broke_off && handshake(&failure).is_none() {
            true => self.told_over_http1(url).await,
            false => None,
        };
        let failure = told.unwrap_or(failure);
        let trusted = !handshake(&failure).is_some_and(is_about_trust);
        let why = format!("{subject}: {}", causes(failure));
        if trusted { Failure::transient(why) } else { Failure::last(RegistryErrorKind::Untrusted, why) }
    }

    /// How a connection over HTTP/1.1 fails because of certificates. It asks for nothing in particular, and carries no login.
    async fn told_over_http1(&self, url: &Url) -> Option<reqwest::Error> {
        let request = self.shared.over_http1.as_ref()?.get(url.join("/v2/").ok()?);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::time::timeout(self.shared.idle, request.send()).await.ok()?;
        answer.err().filter(|failure| handshake(failure).is_some_and(is_about_trust))
    }
}

/// An error and what caused it, one after the other.
fn chain<'a>(failure: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(failure), |cause| (*cause).source())
}

/// What TLS says, wherever in the chain of causes it stands.
fn handshake<'a>(failure: &'a (dyn Error + 'static)) -> Option<&'a Tls> {
    chain(failure).find_map(|cause| {
        // An I/O error shows the cause of what it wraps as its own, so what it wraps has to be asked for.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.downcast_ref::<Tls>().or_else(|| wrapped?.downcast_ref::<Tls>())
    })
}

/// Whether another try would end the same way: one side does not trust the other, or the other does not speak TLS.
fn is_about_trust(why: &Tls) -> bool {
    use AlertDescription as Alert;
    match why {
        Tls::InvalidCertificate(_) | Tls::InvalidMessage(_) | Tls::NoCertificatesPresented => true,
        Tls::AlertReceived(alert) => matches!(
            alert,
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::HandshakeFailure
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_and_what_is_no_key_is_told_apart() {
        let key = |text: &str| Secret::new(text);
        let damaged = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec();
        assert!(check_authorities(b"").unwrap_err().contains("no PEM certificate"));
        assert!(check_authorities(b"words").unwrap_err().contains("no PEM certificate"));
        assert!(check_authorities(&damaged).is_err());
        let refused = ClientIdentity::new(b"x".to_vec(), key("x")).unwrap_err();
        assert!(matches!(refused, IdentityFault::Certificates(_)), "{refused:?}");
        for (text, word) in [
            ("x", "no PEM private key"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\naGk=\n-----END ENCRYPTED PRIVATE KEY-----\n", "passphrase"),
            ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "damaged"),
        ] {
            let refused = ClientIdentity::new(damaged.clone(), key(text)).unwrap_err();
            let IdentityFault::Key(why) = refused else { panic!("{refused:?}") };
            assert!(why.contains(word) && !why.contains("c2VjcmV0"), "{why}");
        }
    }

    #[test]
    fn a_cause_is_found_within_an_input_or_output_error() {
        let failed =
            io::Error::new(io::ErrorKind::InvalidData, Tls::AlertReceived(AlertDescription::CertificateRequired));
        assert!(is_about_trust(handshake(&failed).unwrap()));
        let ended = io::Error::new(io::ErrorKind::InvalidData, Tls::AlertReceived(AlertDescription::InternalError));
        assert!(!is_about_trust(handshake(&ended).unwrap()));
        assert!(handshake(&io::Error::from(io::ErrorKind::ConnectionReset)).is_none());
    }
}
