//! Signatures by certificates, as Fulcio issues them for some minutes to whoever an OIDC provider vouches for. The only place
//! that knows the crate `sigstore-verify`, whose interface changes with every version.
//!
//! Verified is all that a certificate is worth: that it leads to an authority of the trust root and was valid at every time that a
//! log or a time stamp proves, that a certificate log has seen it, that the log has the signature, and the signature itself.
//! *Whom* it names is not judged here: that is for whoever asks ([`sealift_domain::evidence::Trust::accepts`]).

use sealift_domain::{
    digest::Digest,
    evidence::{Certificate, TrustRoot},
};
use sigstore_verify::{
    CertificateError, Error, TimestampError, TransparencyLogError, VerificationPolicy, VerificationResult, Verifier,
    trust_root::TrustedRoot,
    types::{self, Artifact, Sha256Hash, SignatureContent},
};

use crate::{bundle::Content, dsse::PAYLOAD_TYPE};

/// The longest bundle by a certificate that is looked at, in bytes: a statement of 16 MiB, which is also the most that GitHub
/// attests, and what verifies it. Its JSON is read several times, and becomes many times larger in memory.
pub(crate) const MAX_BYTES: usize = 24 << 20;
/// The longest text of a certificate that becomes a fact, in bytes.
const MAX_TEXT: usize = 4096;

/// A trust root that can be verified under.
pub(crate) struct Root {
    verifier: Verifier,
    digest: Digest,
    /// Whether it has a log of certificates. GitHub's own for private repositories has none.
    logs_certificates: bool,
    /// Whether it has a log of signatures.
    logs_signatures: bool,
}

impl Root {
    /// Reads a trust root. All of it must be usable: half of one would refuse what it should accept, and nobody would know why.
    pub(crate) fn read(root: &TrustRoot) -> Result<Self, &'static str> {
        let read = TrustedRoot::from_json(root.json()).map_err(|_| "it is not the JSON of a Sigstore trust root")?;
        if read.certificate_authorities.is_empty() {
            return Err("it has no certificate authority");
        }
        if read.tlogs.is_empty() && read.timestamp_authorities.is_empty() {
            return Err(
                "it has neither a log nor a time stamp authority, so nothing could prove when something was signed",
            );
        }
        let verifier =
            Verifier::new(&read).map_err(|_| "a key, a certificate or a time in it is damaged or not supported")?;
        let (logs_certificates, logs_signatures) = (!read.ctlogs.is_empty(), !read.tlogs.is_empty());
        Ok(Self { verifier, digest: root.digest(), logs_certificates, logs_signatures })
    }

    /// Verifies a bundle, of which `content` was read already and which speaks of `subject`.
    pub(crate) fn verify(
        &self,
        bundle: &[u8],
        content: &Content,
        subject: Digest,
    ) -> Result<Certificate, &'static str> {
        if bundle.len() > MAX_BYTES {
            return Err("it is longer than is read of what a certificate signed");
        }
        let text = str::from_utf8(bundle).map_err(|_| "it is not text")?;
        let bundle = types::Bundle::from_json(text).map_err(|_| "what should verify it cannot be read")?;
        if !is_same(&bundle.content, content) {
            return Err("it can be read in two ways");
        }
        let artifact = Artifact::from_digest(Sha256Hash::new(*subject.as_bytes()));
        let result = self.verifier.verify(artifact, &bundle, &self.policy()).map_err(|why| said(&why))?;
        self.certificate(&result)
    }

    /// Nothing is left out but what the trust root has no means for: then there is no log to have seen it.
    fn policy(&self) -> VerificationPolicy {
        let mut policy = VerificationPolicy::any_identity();
        if !self.logs_certificates {
            policy = policy.skip_sct();
        }
        if !self.logs_signatures {
            policy = policy.skip_tlog_unsafe();
        }
        policy
    }

    fn certificate(&self, result: &VerificationResult) -> Result<Certificate, &'static str> {
        let proven = result.certificate_verified()
            && result.sct_verified() == self.logs_certificates
            && result.tlog_verified() == self.logs_signatures;
        let signed_at = result.verified_timestamps().iter().min().copied();
        let (true, Some(signed_at), Some(info)) = (proven, signed_at, result.certificate()) else {
            return Err("not all of it could be verified");
        };
        let identity = info.identity.as_ref().ok_or("its certificate names nobody")?;
        let issuer = info.issuer.clone().ok_or("its certificate does not say who vouched for whom it names")?;
        let claims = info.ci_claims.clone();
        let certificate = Certificate {
            identity: identity.as_str().to_owned(),
            issuer,
            trust_root: self.digest,
            signed_at: Some(signed_at),
            builder: claims.build_signer_uri,
            repository: claims.source_repository_uri,
            commit: claims.source_repository_digest,
            reference: claims.source_repository_ref,
            run: claims.run_invocation_uri,
        };
        is_text(&certificate).then_some(certificate).ok_or("its certificate has a text that is none")
    }
}

/// Whether what a certificate says is short and has no control characters.
fn is_text(certificate: &Certificate) -> bool {
    let Certificate { identity, issuer, builder, repository, commit, reference, run, .. } = certificate;
    let more = [builder, repository, commit, reference, run].into_iter().flatten();
    [identity, issuer].into_iter().chain(more).all(|text| text.len() <= MAX_TEXT && !text.contains(char::is_control))
}

/// Whether the other reader has read the same: what is verified must be what is believed.
fn is_same(verified: &SignatureContent, read: &Content) -> bool {
    match (verified, read) {
        (SignatureContent::DsseEnvelope(verified), Content::Envelope(read)) => {
            verified.payload_type == PAYLOAD_TYPE
                && verified.payload.as_bytes() == read.payload()
                && [verified.signature.sig.as_bytes()] == *read.signatures()
        }
        (SignatureContent::MessageSignature(verified), Content::Message { digest, signature }) => {
            let verified_digest = verified.message_digest.as_ref().map(|digest| digest.digest.as_bytes());
            verified_digest == Some(digest.as_bytes()) && verified.signature.as_bytes() == signature
        }
        _ => false,
    }
}

/// Why it is not verified, without the words of the bundle, which may be a stranger's.
fn said(why: &Error) -> &'static str {
    match why {
        Error::SignatureInvalid(_) => "its signature is not over what it says",
        Error::ArtifactMismatch(_) => "its log entry is about something else",
        Error::Certificate(why) => match why {
            CertificateError::Malformed(_) => "its certificate is damaged",
            CertificateError::ChainInvalid(_) => {
                "its certificate is by no authority of the trust root, or was not valid when it was signed"
            }
            CertificateError::NoValidAuthority { .. } => "no authority of the trust root was valid when it was signed",
            CertificateError::NotYetValid { .. } => "it was signed before its certificate was valid",
            CertificateError::Expired { .. } => "it was signed after its certificate had expired",
            CertificateError::Sct(_) => "no certificate log of the trust root has seen its certificate",
            _ => "its certificate proves nothing",
        },
        Error::TransparencyLog(why) => match why {
            TransparencyLogError::UnknownLog { .. } => "its log is not one of the trust root",
            TransparencyLogError::InclusionProof(_) => "its log entry is not proven to be in the log",
            TransparencyLogError::Checkpoint(_) => "the state of the log that it shows is not signed by the log",
            TransparencyLogError::InclusionPromise(_) => {
                "what its log promised is not signed by a log of the trust root"
            }
            TransparencyLogError::EntryMismatch(_) => "its log entry is about something else",
            TransparencyLogError::IntegratedTime(_) => {
                "its log entry is from a time when its certificate was not valid"
            }
            _ => "its log entry is damaged",
        },
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => "nothing proves when it was signed",
        Error::Timestamp(_) => "its time stamp is not by an authority of the trust root",
        Error::Bundle(_) => "its log entry is missing, damaged, or without the proof that its version must have",
        Error::UnsupportedBundle(_) | Error::UnsupportedArtifact(_) => {
            "it uses a kind of key, hash or log entry that is not supported"
        }
        _ => "it is damaged",
    }
}
