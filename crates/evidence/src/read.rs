//! The one door for evidence: bytes that were found, and whom to believe; out comes what they say and who signed it.
//!
//! Nothing fails here. What cannot be read is a fact too, and what is not signed by anyone who is trusted has no signer; what either
//! is worth, a gate says.

use std::{borrow::Cow, collections::BTreeSet};

use sealift_domain::{
    digest::Digest,
    evidence::{Claim, DetachedSignature, Evidence, Form, Origin, Signer},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    anchors::Anchors,
    bundle::{self, Bundle, Content},
    claim,
    cosign::{self, Keyless},
    dsse::{self, Envelope, MAX_BYTES},
};

/// How the type of every in-toto statement begins (in-toto/attestation, `spec/v1/statement.md`; v0.1 as it is still found).
const STATEMENT: &str = "https://in-toto.io/Statement/";
/// What cosign 3 calls a statement that says nothing but that it is signed.
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
const NOBODY: &str = "nobody signed it";
const NO_KEY: &str = "no trusted key made its signature over these bytes";

/// Evidence as it was found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// How it is wrapped: by the media type where one is known, else by [`sniff`].
    pub form: Form,
    /// Where.
    pub origin: Origin,
    /// The bytes. For [`Form::SimpleSigning`] the payload.
    pub bytes: &'a [u8],
    /// For [`Form::SimpleSigning`] the signature that lay beside them.
    pub detached: Option<&'a DetachedSignature>,
}

/// Reads one piece of evidence, and verifies its signatures.
pub fn read(found: &Found<'_>, anchors: &Anchors) -> Evidence {
    let Read { subjects, configs, signers, claim, why_not } = if found.bytes.len() > MAX_BYTES {
        Read::unreadable(kind(found.form), format!("it is longer than {} MiB", MAX_BYTES >> 20))
    } else {
        match found.form {
            Form::SimpleSigning => simple_signing(found, anchors),
            Form::Bundle => of_bundle(found.bytes, anchors),
            Form::Envelope => of_envelope(found.bytes, anchors),
            Form::Statement => of_statement(found.bytes).unsigned(),
            Form::Document => of_document(found.bytes).unsigned(),
        }
    };
    let (form, origin, detached) = (found.form, found.origin.clone(), found.detached.cloned());
    Evidence { digest: Digest::of(found.bytes), form, origin, detached, subjects, configs, signers, claim, why_not }
}

/// How a file that somebody hands in is wrapped, by what is in it. What is no JSON object is a document.
pub fn sniff(bytes: &[u8]) -> Form {
    #[derive(Deserialize)]
    struct Keys<'a> {
        #[serde(rename = "mediaType", borrow)]
        media_type: Option<Cow<'a, str>>,
        #[serde(rename = "verificationMaterial")]
        material: Option<IgnoredAny>,
        #[serde(rename = "payloadType")]
        payload_type: Option<IgnoredAny>,
        payload: Option<IgnoredAny>,
        signatures: Option<IgnoredAny>,
        #[serde(rename = "_type", borrow)]
        kind: Option<Cow<'a, str>>,
    }
    let object = bytes.len() <= MAX_BYTES && bytes.trim_ascii_start().starts_with(b"{");
    let Some(keys) = object.then(|| serde_json::from_slice::<Keys<'_>>(bytes).ok()).flatten() else {
        return Form::Document;
    };
    let bundle = keys.media_type.is_some_and(|kind| kind.starts_with("application/vnd.dev.sigstore.bundle"));
    match keys {
        Keys { material: Some(_), .. } if bundle => Form::Bundle,
        Keys { payload_type: Some(_), payload: Some(_), signatures: Some(_), .. } => Form::Envelope,
        Keys { kind: Some(kind), .. } if kind.starts_with(STATEMENT) => Form::Statement,
        _ => Form::Document,
    }
}

/// What a piece of evidence that cannot be read should have been.
fn kind(form: Form) -> &'static str {
    match form {
        Form::SimpleSigning => cosign::MEDIA_TYPE,
        Form::Bundle => bundle::MEDIA_TYPE,
        Form::Envelope => dsse::MEDIA_TYPE,
        Form::Statement => dsse::PAYLOAD_TYPE,
        Form::Document => "document",
    }
}

/// What was read.
struct Read {
    subjects: BTreeSet<Digest>,
    configs: BTreeSet<Digest>,
    signers: Vec<Signer>,
    claim: Claim,
    why_not: Option<String>,
}

impl Read {
    fn unreadable(kind: &str, why: impl ToString) -> Self {
        let claim = Claim::Unreadable { kind: kind.to_owned() };
        let (subjects, configs) = (BTreeSet::new(), BTreeSet::new());
        Self { subjects, configs, signers: Vec::new(), claim, why_not: Some(why.to_string()) }
    }

    fn signature(subject: Digest) -> Self {
        let subjects = BTreeSet::from([subject]);
        Self { subjects, configs: BTreeSet::new(), signers: Vec::new(), claim: Claim::Signature, why_not: None }
    }

    /// Something that has no place for a signature. If it cannot be read, that is what is the matter with it.
    fn unsigned(mut self) -> Self {
        self.why_not.get_or_insert_with(|| NOBODY.to_owned());
        self
    }

    /// With its signers, or why there are none; that comes first, for what nobody signed matters to nobody.
    fn signed(mut self, signers: Result<Vec<Signer>, &str>) -> Self {
        match signers {
            Ok(signers) => self.signers = signers,
            Err(why) => {
                let more = self.why_not.map(|more| format!("; {more}")).unwrap_or_default();
                self.why_not = Some(format!("{why}{more}"));
            }
        }
        self
    }
}

fn simple_signing(found: &Found<'_>, anchors: &Anchors) -> Read {
    let read = match cosign::signs(found.bytes) {
        Ok(digest) => Read::signature(digest),
        Err(why) => Read::unreadable(cosign::MEDIA_TYPE, why),
    };
    let Some(detached) = found.detached else { return read.signed(Err("it is stored without its signature")) };
    let checked = cosign::check(found.bytes, &detached.signature, &anchors.keys);
    let signers = match (checked.signer, Keyless::of(detached)) {
        (Some(place), _) => Ok(anchors.signers(&[place])),
        (None, Some(keyless)) => by_annotations(found.bytes, &detached.signature, &keyless, anchors),
        (None, None) => Err(checked.why_not.as_deref().unwrap_or(NO_KEY)),
    };
    read.signed(signers)
}

/// The certificates that made a signature of cosign 2.
fn by_annotations(
    payload: &[u8],
    signature: &str,
    keyless: &Keyless<'_>,
    anchors: &Anchors,
) -> Result<Vec<Signer>, &'static str> {
    let bundle = keyless.bundle(payload, signature)?;
    let content = Bundle::read(&bundle).map_err(|_| "its signature is damaged")?.content;
    by_certificate(&bundle, &content, Some(Digest::of(payload)), anchors)
}

fn of_envelope(bytes: &[u8], anchors: &Anchors) -> Read {
    let envelope = match Envelope::read(bytes) {
        Ok(envelope) => envelope,
        Err(why) => return Read::unreadable(dsse::MEDIA_TYPE, why),
    };
    let signers = anchors.signers(&envelope.signed_by(&anchors.keys));
    of_statement(envelope.payload()).signed(some(signers))
}

fn of_bundle(bytes: &[u8], anchors: &Anchors) -> Read {
    let bundle = match Bundle::read(bytes) {
        Ok(bundle) => bundle,
        Err(why) => return Read::unreadable(bundle::MEDIA_TYPE, why),
    };
    let read = match &bundle.content {
        Content::Envelope(envelope) => of_statement(envelope.payload()),
        Content::Message { digest, .. } => Read::signature(*digest),
    };
    let signers = match bundle.keyless {
        true => by_certificate(bytes, &bundle.content, read.subjects.first().copied(), anchors),
        false => some(anchors.signers(&bundle.signed_by(&anchors.keys))),
    };
    read.signed(signers)
}

fn some(signers: Vec<Signer>) -> Result<Vec<Signer>, &'static str> {
    if signers.is_empty() { Err(NO_KEY) } else { Ok(signers) }
}

/// The certificates that signed a bundle, one for each trust root that it is verified under. `subject` is any of what it is about.
fn by_certificate(
    bundle: &[u8],
    content: &Content,
    subject: Option<Digest>,
    anchors: &Anchors,
) -> Result<Vec<Signer>, &'static str> {
    let subject = subject.ok_or("it is about nothing that has a SHA-256")?;
    let mut why = "a certificate signed it, and there is no trust root to verify that with";
    let mut signers = Vec::new();
    for root in &anchors.roots {
        match root.verify(bundle, content, subject) {
            Ok(certificate) => signers.push(Signer::Certificate(Box::new(certificate))),
            Err(other) => why = other,
        }
    }
    if signers.is_empty() { Err(why) } else { Ok(signers) }
}

fn of_document(bytes: &[u8]) -> Read {
    match claim::of_document(bytes) {
        Ok(said) => said.into(),
        Err(why) => Read::unreadable(kind(Form::Document), why),
    }
}

fn of_statement(bytes: &[u8]) -> Read {
    match claim::of_statement(bytes) {
        Ok(said) if matches!(&said.claim, Claim::Other { kind } if kind == SIGNATURE) => {
            Read { claim: Claim::Signature, ..said.into() }
        }
        Ok(said) => said.into(),
        Err(why) => Read::unreadable(kind(Form::Statement), why),
    }
}

impl From<claim::Said> for Read {
    fn from(said: claim::Said) -> Self {
        let claim::Said { subjects, configs, claim, why_not } = said;
        Self { subjects, configs, signers: Vec::new(), claim, why_not }
    }
}
