//! `make bench-evidence`: what it takes to judge a release with all gates, beside what the least reading of the same bytes takes.
//!
//! An index of four platforms with an SBOM of 5 MiB and a scan each, 5,000 findings in all, provenance, a VEX document and a
//! signature, all in bundles that keys signed. Two figures: reading and judging in this process, in rounds with `serde_json`'s
//! `IgnoredAny` over the same statements and the bare signature checks; and `sealift check` as a whole process against a
//! registry on the loopback interface, with its memory. Nothing is asserted about time: whoever reads the figures knows the
//! machine. A gate that does not pass fails the run.

// A benchmark speaks to whoever runs it, and has nothing better to do than to stop.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::{
    fmt::Write as _,
    hint::black_box,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_domain::{
    digest::Digest,
    evidence::{Form, Origin, Trust},
    gate::{ComponentFacts, DatabaseFacts, Fact, Facts, Gates, Judged, Path as Way, SourceFacts},
    image::{Image, PlatformImage},
    name::ComponentName,
    promotion::Kind,
    release::Release,
};
use sealift_engine::ports::evidence::Found;
use sealift_evidence::{
    dsse::{PAYLOAD_TYPE, pae},
    public_key::PublicKey,
    signing::{PromotionKey, bundle},
};
use sealift_registry::{
    image::{Builder, Built, Format, Layer, index},
    server::{Config, Server},
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PLATFORMS: usize = 4;
const SBOM_BYTES: usize = 5 << 20;
const FINDINGS: usize = 1250;
const COMMIT: &str = "7a3f9c2000000000000000000000000000000000";
const LICENCES: [&str; 5] = ["MIT", "Apache-2.0", "BSD-3-Clause", "ISC", "Zlib OR MIT"];
/// How long the rounds go on: a short one is easily disturbed.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

fn main() {
    let smoke = std::env::args().any(|word| word == "--smoke");
    let key = PromotionKey::generate().unwrap();
    let (security, image) = (PromotionKey::generate().unwrap(), image());
    let bytes = if smoke { 50 << 10 } else { SBOM_BYTES };
    let pieces = evidence(&image, &key, &security, bytes);
    in_process(&image, &key, &security, &pieces, if smoke { Duration::ZERO } else { LONG_ENOUGH });
    whole_process(&image, &key, &security, &pieces);
}

/// One piece of evidence: about what, the statement, and the bundle with it.
struct Piece {
    about: Built,
    statement: Vec<u8>,
    bundle: String,
}

/// An index of four platforms.
fn image() -> (Built, Vec<Built>) {
    let platform = |architecture: &&str| {
        Builder::new()
            .platform("linux", architecture, None)
            .label("org.opencontainers.image.revision", COMMIT)
            .label("org.opencontainers.image.source", "https://example.com/hello")
            .layer(Layer::tar(format!("a program for {architecture}")))
            .build()
    };
    let platforms: Vec<Built> = ["amd64", "arm64", "riscv64", "s390x"].iter().map(platform).collect();
    (index(Format::Oci, &platforms), platforms)
}

fn evidence(
    (index, platforms): &(Built, Vec<Built>),
    key: &PromotionKey,
    security: &PromotionKey,
    bytes: usize,
) -> Vec<Piece> {
    let now = jiff::Timestamp::now();
    let mut pieces = vec![
        piece(key, index, "https://sigstore.dev/cosign/sign/v1", &json!({}).to_string()),
        piece(key, index, "https://slsa.dev/provenance/v1", &provenance()),
        piece(security, index, "https://openvex.dev/ns/v0.2.0", &vex(index.digest, now)),
    ];
    for platform in platforms {
        pieces.push(piece(key, platform, "https://spdx.dev/Document", &spdx(bytes)));
        pieces.push(piece(key, platform, "https://cosign.sigstore.dev/attestation/vuln/v1", &vuln(now)));
    }
    pieces
}

fn piece(key: &PromotionKey, about: &Built, kind: &str, predicate: &str) -> Piece {
    let head = json!({"subject": [{"name": "hello", "digest": {"sha256": about.digest.hex()}}], "predicateType": kind});
    let head = head.to_string();
    let head = head.trim_start_matches('{').trim_end_matches('}');
    let statement = format!(r#"{{"_type":"https://in-toto.io/Statement/v1",{head},"predicate":{predicate}}}"#);
    let envelope = key.sign_statement(statement.as_bytes()).unwrap();
    let bundle = bundle(&envelope, key.public()).unwrap();
    Piece { about: about.clone(), statement: statement.into_bytes(), bundle }
}

fn provenance() -> String {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"ref": "refs/heads/main", "repository": "https://example.com/hello", "path": "b.yml"}},
            "resolvedDependencies": [{"uri": "git+https://example.com/hello@refs/heads/main", "digest": {"gitCommit": COMMIT}}],
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}, "metadata": {"invocationId": "1"}},
    })
    .to_string()
}

fn vex(about: Digest, now: jiff::Timestamp) -> String {
    let statement = json!({
        "vulnerability": {"name": "CVE-2026-00001"},
        "products": [{"@id": format!("pkg:oci/hello@sha256%3A{}", about.hex())}],
        "status": "not_affected", "justification": "component_not_present",
    });
    let at = now - jiff::SignedDuration::from_secs(60);
    json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "1", "author": "security", "timestamp": at, "version": 1, "statements": [statement]})
        .to_string()
}

/// An SBOM in the proportions of Syft's: a package with its sources, licences and identifiers is about 900 bytes.
fn spdx(bytes: usize) -> String {
    let mut text = String::from(
        r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"hello","creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: syft-1.30.0"]},"packages":["#,
    );
    let mut nth = 0;
    while text.len() < bytes {
        let (comma, licence) = (if nth == 0 { "" } else { "," }, LICENCES[nth % LICENCES.len()]);
        write!(
            text,
            r#"{comma}{{"name":"package-{nth}","SPDXID":"SPDXRef-Package-{nth}","versionInfo":"1.{nth}.0","supplier":"Organization: somebody","downloadLocation":"https://example.com/package-{nth}/-/package-{nth}-1.{nth}.0.tgz","filesAnalyzed":false,"checksums":[{{"algorithm":"SHA1","checksumValue":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}}],"sourceInfo":"acquired package info from installed node module manifest file: /app/node_modules/package-{nth}/package.json","licenseConcluded":"NOASSERTION","licenseDeclared":"{licence}","copyrightText":"NOASSERTION","externalRefs":[{{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:package-{nth}:package-{nth}:1.{nth}.0:*:*:*:*:*:*:*"}},{{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/package-{nth}@1.{nth}.0"}}]}}"#
        )
        .unwrap();
        nth += 1;
    }
    text.push_str("]}");
    text
}

/// A report of Trivy in cosign's frame.
fn vuln(now: jiff::Timestamp) -> String {
    let mut found = String::new();
    for nth in 0..FINDINGS {
        let comma = if nth == 0 { "" } else { "," };
        write!(
            found,
            r#"{comma}{{"VulnerabilityID":"CVE-2026-{nth:05}","PkgID":"package-{nth}@1.{nth}.0","PkgName":"package-{nth}","PkgIdentifier":{{"PURL":"pkg:npm/package-{nth}@1.{nth}.0","UID":"ab{nth}"}},"InstalledVersion":"1.{nth}.0","FixedVersion":"1.{nth}.1","Status":"fixed","Layer":{{}},"SeveritySource":"ghsa","PrimaryURL":"https://avd.aquasec.com/nvd/cve-2026-{nth:05}","DataSource":{{"ID":"ghsa","Name":"GitHub Security Advisory npm","URL":"https://github.com/advisories"}},"Title":"a fault in package-{nth}","Description":"Somebody who sends a long text may make the program take a long time, as it looks at every part of it again and again.","Severity":"{}","CweIDs":["CWE-1333"],"CVSS":{{"nvd":{{"V3Vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L","V3Score":5.3}}}},"References":["https://example.com/{nth}"],"PublishedDate":"2026-01-01T00:00:00Z","LastModifiedDate":"2026-01-01T00:00:00Z"}}"#,
            if nth == 1 { "CRITICAL" } else { "LOW" }
        )
        .unwrap();
    }
    format!(
        r#"{{"scanner":{{"uri":"pkg:github/aquasecurity/trivy@0.67.0","version":"0.67.0","db":{{"version":"2","lastUpdate":"{now}"}},"result":{{"SchemaVersion":2,"Results":[{{"Target":"app","Class":"lang-pkgs","Type":"npm","Vulnerabilities":[{found}]}}]}}}},"metadata":{{"scanStartedOn":"{now}","scanFinishedOn":"{now}"}}}}"#
    )
}

/// The gates, as the policy would have them.
fn gates(key: &PublicKey, security: &PublicKey) -> Gates {
    let (by, vex) = (json!({"key": key.to_pem()}), json!({"by": {"key": security.to_pem()}}));
    let gates = json!({
        "signature": by,
        "provenance": {"by": by, "builder": "https://example.com/*", "source": "https://example.com/hello"},
        "sbom": {"by": by},
        "licenses": {"by": by, "allow": LICENCES.map(|licence| licence.split(' ').next().unwrap())},
        "vulnerabilities": {"by": by, "fail_on": "high", "max_age": "1d", "vex": vex},
        "source_reachable": {"branches": ["main"]},
        "when": ["image.platforms.exists(p, p.platform == 'linux/arm64')"],
        "max_size": "1GB", "layers": "required", "metadata": ["source", "revision"],
    });
    serde_json::from_value(gates).unwrap()
}

/// Everything but the evidence.
fn facts((index, platforms): &(Built, Vec<Built>)) -> Facts {
    let name = ComponentName::only();
    let platform = |built: &Built| PlatformImage {
        platform: "linux/arm64".to_owned(),
        digest: built.digest,
        config: None,
        compressed_bytes: 1,
        layers: 1,
        missing: Vec::new(),
        labels: [
            ("org.opencontainers.image.revision".to_owned(), COMMIT.to_owned()),
            ("org.opencontainers.image.source".to_owned(), "https://example.com/hello".to_owned()),
        ]
        .into(),
        created: None,
    };
    let image = Image {
        digest: index.digest,
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        platforms: platforms.iter().map(platform).collect(),
        annotations: std::collections::BTreeMap::new(),
    };
    let build = json!({"known": {
        "fact": {"repository": "example.com/hello", "digest": index.digest, "commit": COMMIT},
        "at": "2026-01-01T00:00:00Z", "receipt": Digest::of(b"receipt"),
    }});
    let source = SourceFacts {
        repository: "https://example.com/hello".to_owned(),
        commit: COMMIT.to_owned(),
        branches: ["main".to_owned()].into(),
    };
    let component = ComponentFacts {
        digest: index.digest,
        build: serde_json::from_value(build).unwrap(),
        image: Fact::Known(image),
        evidence: None,
        source: Some(Fact::Known(source)),
    };
    Facts {
        now: jiff::Timestamp::now(),
        kind: Kind::Promote,
        path: Way { asked: None, declared: None, to: "production".parse().unwrap() },
        release: Release::new([(name.clone(), index.digest)].into()).unwrap(),
        by_hand: None,
        components: [(name, component)].into(),
        standing: Fact::Missing,
        verified_there: None,
        holds: Vec::new(),
        freezes: Vec::new(),
        overridden: Vec::new(),
        database: DatabaseFacts::default(),
    }
}

fn in_process(
    image: &(Built, Vec<Built>),
    key: &PromotionKey,
    security: &PromotionKey,
    pieces: &[Piece],
    long_enough: Duration,
) {
    let gates = gates(key.public(), security.public());
    let reader = sealift::wiring::evidence();
    let found = |piece: &Piece| Found {
        form: Form::Bundle,
        origin: Origin::Attached,
        bytes: piece.bundle.clone().into(),
        detached: None,
    };
    let found: Vec<Found> = pieces.iter().map(found).collect();
    let keys: Vec<&PublicKey> = vec![key.public(), security.public()];
    let (mut ours, mut least, mut signatures) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let began = Instant::now();
    let mut rounds = 0;
    while rounds < 3 || began.elapsed() < long_enough {
        let before = Instant::now();
        let trusts: Vec<&Trust> = gates.asks().trusts;
        let mut facts = facts(image);
        let evidence = reader.read(&found, &trusts).unwrap();
        facts.components.values_mut().for_each(|component| component.evidence = Some(Fact::Known(evidence.clone())));
        let judged = gates.judge(&facts);
        ours = ours.min(before.elapsed());
        black_box(&judged);
        all_pass(&judged);
        least = least.min(timed(|| pieces.iter().for_each(|piece| skip(&piece.statement))));
        signatures = signatures.min(timed(|| pieces.iter().for_each(|piece| check(piece, &keys))));
        rounds += 1;
    }
    let bytes: usize = pieces.iter().map(|piece| piece.statement.len()).sum();
    println!(
        "{} statements, {:.1} MB, {} findings; the shortest of {rounds} rounds",
        pieces.len(),
        bytes as f64 / 1e6,
        FINDINGS * PLATFORMS
    );
    println!("  reading and judging          {:>8.1} ms", millis(ours));
    println!("  IgnoredAny, same statements  {:>8.1} ms", millis(least));
    println!("  bare signature checks        {:>8.1} ms", millis(signatures));
    println!(
        "  reading and judging, without the signature checks, is {:.2} × IgnoredAny (3 is the limit); all in all {:.2} × both together",
        millis(ours.saturating_sub(signatures)) / millis(least),
        millis(ours) / millis(least + signatures),
    );
}

fn all_pass(judged: &[Judged]) {
    for gate in judged.iter().filter(|gate| !["verified", "order"].contains(&gate.gate.as_str())) {
        assert!(gate.passed(), "{}: {}", gate.gate, gate.words());
    }
}

fn skip(statement: &[u8]) {
    black_box(serde_json::from_slice::<IgnoredAny>(statement).unwrap());
}

/// The least that must be done for a signature: the payload out of its base64, hashed, and the key asked.
fn check(piece: &Piece, keys: &[&PublicKey]) {
    let at = piece.bundle.find(r#""payload":""#).unwrap() + r#""payload":""#.len();
    let payload = &piece.bundle[at..];
    let payload = STANDARD.decode(&payload[..payload.find('"').unwrap()]).unwrap();
    let at = piece.bundle.find(r#""sig":""#).unwrap() + r#""sig":""#.len();
    let signature = &piece.bundle[at..];
    let signature = STANDARD.decode(&signature[..signature.find('"').unwrap()]).unwrap();
    let message = pae(PAYLOAD_TYPE, &payload);
    assert!(keys.iter().any(|key| key.verifies(&message, &signature)));
}

fn timed(work: impl FnOnce()) -> Duration {
    let before = Instant::now();
    work();
    before.elapsed()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// `sealift check` against a registry of this process, with all gates.
fn whole_process(image: &(Built, Vec<Built>), key: &PromotionKey, security: &PromotionKey, pieces: &[Piece]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start(Config::default())).unwrap();
    server.push("hello", &image.0, Some("1"));
    for piece in pieces {
        let layer = Layer::of_type(BUNDLE, piece.bundle.clone());
        let referrer = Builder::new().artifact_type(BUNDLE).subject(&piece.about).layer(layer).build();
        server.push("hello", &referrer, None);
    }
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    write("ci.pub", &key.public().to_pem());
    write("security.pub", &security.public().to_pem());
    write("sealift.yaml", &configuration(&server));
    run(place.path(), &["init"]);
    run(place.path(), &["record", "build", &format!("{}/hello:1", server.address()), "--commit", COMMIT]);
    let before = Instant::now();
    let answer = run(place.path(), &["check", "--to", "production", "--output", "json"]);
    let took = before.elapsed();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let judged: Vec<Judged> = serde_json::from_value(answer["gates"].clone()).unwrap();
    all_pass(&judged);
    println!(
        "`sealift check` with {} gates, as a whole process: {:.0} ms, at most {} of memory",
        judged.len(),
        millis(took),
        peak()
    );
}

fn configuration(server: &Server) -> String {
    format!(
        r#"app: hello
environments:
  production:
    image: {}/hello
    approval: none
    gates:
      signature: {{key: ci.pub}}
      provenance: {{by: {{key: ci.pub}}, builder: "https://example.com/*", source: "https://example.com/hello"}}
      sbom: {{by: {{key: ci.pub}}}}
      licenses: {{by: {{key: ci.pub}}, allow: [MIT, Apache-2.0, BSD-3-Clause, ISC, Zlib]}}
      vulnerabilities: {{by: {{key: ci.pub}}, fail_on: high, max_age: 1d, vex: {{by: {{key: security.pub}}}}}}
      when: ["image.platforms.exists(p, p.platform == 'linux/arm64')"]
      max_size: 1GB
      layers: required
    verify: [{{http: "https://hello.example.com/health"}}]
"#,
        server.address()
    )
}

fn run(place: &Path, words: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_sealift")).args(words).current_dir(place).output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(matches!(ran.status.code(), Some(0 | 3)), "sealift {words:?}: {told}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The most memory that any process that was started here ever had.
fn peak() -> String {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    format!("{:.1} MB", usage.max_rss() as f64 * 1024.0 / 1e6)
}
