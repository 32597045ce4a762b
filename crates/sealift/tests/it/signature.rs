//! The gate `signature`: images signed with a key, as cosign 2 stores it.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sealift::demo::images;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RawManifest;
use sealift_registry::{
    evidence::{MAX_PAYLOAD, MAX_PIECES, SIGNATURE_ANNOTATION, SIMPLE_SIGNING, signature_tag},
    image::{Builder, Built, Format, Layer, index},
    manifest::{OCI_INDEX, OCI_MANIFEST},
    server::script::{Action, Fault, status},
};
use serde_json::{Value, json};

use crate::{
    place::{Place, Ran},
    real_registry::{self, RealRegistry},
};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const NOTATION: &str = "application/vnd.cncf.notary.signature";
const ASK: [&str; 5] = ["promote", "--to", "production", "--identity", "keys/bob"];

/// A key as `cosign generate-key-pair` makes it: ECDSA over P-256.
pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// What stands in `cosign.pub`.
    pub(crate) fn pem(&self) -> String {
        let base64 = STANDARD.encode(AsDer::<PublicKeyX509Der<'_>>::as_der(self.0.public_key()).unwrap().as_ref());
        let (first, second) = base64.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    /// A layer with `payload` and this key's signature over it.
    pub(crate) fn sign(&self, payload: &str) -> Layer {
        let signature = self.0.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
        layer(payload, &STANDARD.encode(signature))
    }
}

/// What cosign signs for an image that it knows by `reference`.
pub(crate) fn payload(reference: &str, digest: Digest) -> String {
    let critical = json!({
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    });
    json!({"critical": critical, "optional": null}).to_string()
}

fn layer(payload: &str, signature: &str) -> Layer {
    Layer::of_type(SIMPLE_SIGNING, payload.to_owned()).annotation(SIGNATURE_ANNOTATION, signature)
}

/// The image that stores these signatures; its place is the tag that [`tag`] names.
pub(crate) fn stored(signatures: impl IntoIterator<Item = Layer>) -> Built {
    signatures.into_iter().fold(Builder::new(), Builder::layer).build()
}

/// Where the signatures of an image are.
pub(crate) fn tag(digest: Digest) -> String {
    signature_tag(digest).unwrap().to_string()
}

/// Signs an image in staging's registry, as `cosign sign --key` does.
pub(crate) fn sign(place: &Place, key: &Key, digest: Digest) {
    store(place, digest, [key.sign(&payload("registry.example/hello", digest))]);
}

fn store(place: &Place, digest: Digest, signatures: impl IntoIterator<Item = Layer>) {
    place.staging.push("hello", &stored(signatures), Some(&tag(digest)));
}

/// A place whose production wants a signature by `key`, with a log.
fn wanting(key: &Key) -> Place {
    let place = Place::new();
    place.write("cosign.pub", &key.pem());
    place.edit("gates: {max_size", "gates: {signature: {key: cosign.pub}, max_size");
    place.run(&["init"]).ends(0);
    place
}

/// The same with a release in staging.
fn staged(key: &Key) -> (Place, Digest) {
    let place = wanting(key);
    let digest = place.build("1.0.0");
    place.to_staging();
    (place, digest)
}

/// What the gate says of production now.
fn judged(place: &Place) -> (Ran, Value) {
    let ran = place.run(&["check", "--to", "production", "--output", "json"]);
    let result = ran.json();
    let gate = result["gates"].as_array().unwrap().iter().find(|gate| gate["gate"] == "signature").unwrap().clone();
    (ran, gate)
}

#[track_caller]
fn blocks(place: &Place, verdict: &str, words: &str) {
    let (ran, gate) = judged(place);
    ran.ends(3);
    let reason = gate["reason"].as_str().unwrap_or_default();
    assert!(gate["verdict"] == verdict && reason.contains(words), "not {verdict} with `{words}`: {gate}");
}

#[track_caller]
fn passes(place: &Place) -> Value {
    let (ran, gate) = judged(place);
    ran.ends(0);
    assert_eq!(gate["verdict"], "pass", "{gate}");
    gate
}

#[test]
fn a_signed_release_goes_all_the_way_and_back() {
    let key = Key::new();
    let place = wanting(&key);
    let first = place.build("1.0.0");
    sign(&place, &key, first);
    place.to_staging();
    let gate = passes(&place);
    let evidence = [Digest::of(payload("registry.example/hello", first).as_bytes()), first];
    assert_eq!(gate["evidence"], json!(evidence), "the payload and the image");
    place.run(&["check", "--to", "production"]).ends(0).says("app: signed, key");
    place.run(&["plan", "--to", "production"]).ends(0).says("signed, key");
    place.run(&["explain", "production"]).ends(0).says("signed, key");
    place.to_production();
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));

    let second = place.build("1.1.0");
    sign(&place, &key, second);
    place.to_staging();
    place.to_production();
    // The signatures came along: whoever runs production can verify them there.
    let signed: Vec<String> = [first, second].map(|digest| signature_tag(digest).unwrap().to_string()).to_vec();
    let there = place.production.tags("hello");
    assert!(signed.iter().all(|tag| there.iter().any(|(name, _)| name == tag)), "{there:?}");
    place.request_by(&["rollback", "--to", "production"]);
    place.approve();
    place.run(&["rollback", "--to", "production"]).ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    place.audited();
}

#[test]
fn an_unsigned_release_is_refused_and_nothing_is_copied() {
    let (place, _) = staged(&Key::new());
    place.run(&ASK).ends(3).says("G011").says("app is not signed");
    place.run(&["check", "--to", "production"]).ends(3).says("cosign sign --key cosign.key");
    assert_eq!(place.answers("production"), None);
    assert!(place.production.tags("hello").is_empty());
    // Staging does not ask for a signature, and nobody looks for one there.
    place.staging.clear_log();
    place.run(&["check", "--to", "staging"]);
    assert!(place.staging.log().iter().all(|request| !request.path.contains(".sig")));
}

#[test]
fn only_a_right_signature_over_this_digest_by_this_key_opens_the_gate() {
    let key = Key::new();
    let (place, digest) = staged(&key);
    let here = payload("hello", digest);
    let other = Digest::of(b"another image");
    let raw = |payload: &str, signed: &str| {
        let signature = key.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        layer(payload, &STANDARD.encode(signature))
    };
    let mistyped = here.replace("cosign container image signature", "atomic container signature");

    let by_another = Key::new().sign(&here);
    let altered = raw(&here.replace("null", "{}"), &here);
    let relabelled = raw(&here, &payload("hello", other));
    let bare = Layer::of_type(SIMPLE_SIGNING, here.clone());
    let not_ours = "the signature of app is not valid: no trusted key made its signature over these bytes";
    for (layers, verdict, words) in [
        (vec![by_another.clone()], "fail", not_ours),
        (vec![altered.clone()], "fail", not_ours),
        (vec![relabelled.clone()], "fail", not_ours),
        (vec![layer(&here, "no base64")], "fail", "it is not base64"),
        (vec![bare.clone()], "fail", "it is stored without its signature"),
        (vec![key.sign(&mistyped)], "fail", "not a `cosign container image signature`"),
        (vec![key.sign("{}")], "fail", "no payload of cosign"),
        (vec![by_another.clone(), altered.clone()], "fail", "none of 2 signatures of app is valid"),
        (vec![key.sign(&payload("hello", other))], "error", "is foreign: its signer is trusted, and it signs sha256:"),
        (vec![Layer::tar("an image, not signatures")], "fail", "app is not signed"),
        (vec![bare.clone(); MAX_PIECES + 1], "error", "there are more than 256 pieces of evidence"),
        (vec![key.sign(&" ".repeat(MAX_PAYLOAD as usize + 1))], "error", "it has 65537 bytes; the limit is 65536"),
    ] {
        store(&place, digest, layers);
        blocks(&place, verdict, words);
    }

    // Signatures of others beside the right one are their business.
    let foreign = key.sign(&payload("hello", other));
    store(&place, digest, [by_another, altered, foreign, bare, key.sign(&here)]);
    passes(&place);
}

#[test]
fn a_signature_that_cannot_be_read_is_not_taken_for_none() {
    let key = Key::new();
    let (place, digest) = staged(&key);
    let signature = stored([key.sign(&payload("hello", digest))]);
    place.staging.push("hello", &signature, Some(&tag(digest)));
    passes(&place);

    let blob = signature.blobs[1].clone();
    place.staging.remove_blob("hello", Digest::of(&blob));
    blocks(&place, "error", "cannot be read");
    place.staging.put_blob("hello", blob);
    passes(&place);

    // Of the payload's bytes, one is not as the manifest says.
    let path = format!("/v2/hello/blobs/{}", Digest::of(&signature.blobs[1]));
    place.staging.script(Fault::new(&path, Action::Corrupt(3)));
    blocks(&place, "error", "the bytes have the digest");
    place.staging.script(Fault::new("*.sig", status(500)));
    blocks(&place, "error", "the registry answered 500");
    place.run(&ASK).ends(3).says("G011").says("cannot be read");
    assert_eq!(place.answers("production"), None);
}

#[test]
fn a_registry_that_keeps_the_list_of_referrers_to_itself_is_not_taken_for_one_without() {
    let (place, digest) = staged(&Key::new());
    place.staging.script(Fault::new("*/referrers/*", status(500)));
    blocks(&place, "error", "the registry answered 500");
    assert!(place.staging.manifest("hello", digest).is_some());
}

/// A manifest that refers to `subject`, of this type.
fn referrer(place: &Place, subject: Digest, kind: &str) -> RawManifest {
    let empty = place.staging.put_blob("hello", "{}".into());
    let size = place.staging.manifest("hello", subject).unwrap().bytes.len();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": size},
    });
    let bytes = bytes(document);
    RawManifest { digest: Digest::of(&bytes), media_type: OCI_MANIFEST.to_owned(), bytes: bytes.into() }
}

fn bytes(document: Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

#[test]
fn signatures_in_other_forms_are_named_and_never_called_unsigned() {
    let key = Key::new();
    let (place, digest) = staged(&key);
    place.staging.put_manifest("hello", referrer(&place, digest, "application/spdx+json"), None);
    blocks(&place, "fail", "app is not signed");
    place.staging.put_manifest("hello", referrer(&place, digest, BUNDLE), None);
    blocks(&place, "error", &format!("in a form that this gate does not read: {BUNDLE}"));
    place.staging.put_manifest("hello", referrer(&place, digest, NOTATION), None);
    blocks(&place, "error", &format!("{NOTATION}, {BUNDLE}"));
    store(&place, digest, [Key::new().sign(&payload("hello", digest))]);
    blocks(&place, "fail", "a signature in a form that is not read is there too");
    sign(&place, &key, digest);
    passes(&place);
}

#[test]
fn where_there_is_no_list_of_referrers_the_fallback_tag_is_read() {
    let (place, digest) = staged(&Key::new());
    place.staging.script(Fault::new("*/referrers/*", status(404)));
    blocks(&place, "fail", "app is not signed");
    let bundle = referrer(&place, digest, BUNDLE);
    let listed =
        json!({"mediaType": OCI_MANIFEST, "digest": bundle.digest, "size": bundle.bytes.len(), "artifactType": BUNDLE});
    let index = bytes(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]}));
    let raw = RawManifest { digest: Digest::of(&index), media_type: OCI_INDEX.to_owned(), bytes: index.into() };
    place.staging.put_manifest("hello", bundle, None);
    place.staging.put_manifest("hello", raw, Some(&format!("sha256-{}", digest.hex())));
    blocks(&place, "error", BUNDLE);
}

#[test]
fn a_key_that_is_replaced_afterwards_is_another_policy() {
    let key = Key::new();
    let (place, digest) = staged(&key);
    let thief = Key::new();
    sign(&place, &thief, digest);
    place.write("cosign.pub", &thief.pem());
    let entries = place.ledger().size;
    place.run(&ASK).ends(2).says("E0106").says("environments.production.gates.signature.key");
    place.run(&["check", "--to", "production"]).ends(2).says("E0106");
    assert_eq!(place.ledger().size, entries, "nothing was written");
    place.write("cosign.pub", &key.pem());
    blocks(&place, "fail", "no trusted key made it");

    // Another spelling of the same key is the same key.
    place.write("cosign.pub", &format!("\r\n{}", key.pem().replace('\n', "\r\n")));
    blocks(&place, "fail", "no trusted key made it");
    std::fs::remove_file(place.path("cosign.pub")).unwrap();
    place.run(&ASK).ends(2).says("E0101").says("cosign.pub").says("environments.production.gates.signature.key");
}

#[test]
fn of_several_keys_any_one_suffices() {
    let (first, second) = (Key::new(), Key::new());
    let place = Place::new();
    place.write("first.pub", &first.pem());
    place.write("second.pub", &second.pem());
    place.edit("gates: {max_size", "gates: {signature: {keys: [first.pub, second.pub]}, max_size");
    place.run(&["init"]).ends(0);
    let digest = place.build("1.0.0");
    place.to_staging();
    for key in [&first, &second] {
        sign(&place, key, digest);
        passes(&place);
    }
    sign(&place, &Key::new(), digest);
    blocks(&place, "fail", "no trusted key made it");
}

#[test]
fn an_approval_dies_with_the_signature_that_it_rested_on() {
    let key = Key::new();
    let (place, digest) = staged(&key);
    sign(&place, &key, digest);
    place.request();
    place.approve();
    store(&place, digest, [key.sign(&payload("hello.example/elsewhere", digest))]);
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production"), None);
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(0);
}

#[test]
fn a_real_registry_holds_signatures_in_the_same_place() {
    if !real_registry::are_there("a_real_registry_holds_signatures_in_the_same_place") {
        return;
    }
    let (key, real) = (Key::new(), RealRegistry::start());
    let place = Place::new();
    place.write("cosign.pub", &key.pem());
    place.edit("gates: {max_size", "gates: {signature: {key: cosign.pub}, max_size");
    place.edit(&place.staging.address().to_string(), &real.address());
    place.run(&["init"]).ends(0);
    // The release is an index: a signature of one of its platforms is no signature of the release.
    let image = images::service("1.0.0", None).build();
    let release = index(Format::Oci, std::slice::from_ref(&image));
    real.push(&release, Format::Oci, "1.0.0");
    place.run(&["record", "build", &format!("{}/hello:1.0.0", real.address())]).ends(0);
    place.to_staging();
    blocks(&place, "fail", "app is not signed");
    let push = |signs: Digest| {
        let signatures = stored([key.sign(&payload("hello", signs))]);
        real.push(&signatures, Format::Oci, &tag(release.digest));
    };
    push(image.digest);
    blocks(&place, "error", &format!("it signs {}, not {}", image.digest, release.digest));
    push(release.digest);
    passes(&place);
    place.to_production();
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
}
