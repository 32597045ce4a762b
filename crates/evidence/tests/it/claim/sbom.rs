//! SBOMs.

use sealift_domain::evidence::{Claim, Sbom};
use sealift_evidence::claim::{Said, of_predicate};
use serde_json::{Value, json};

use super::{digest, document, file, refused, set, statement, text, texts, unreadable, with, without};

const SPDX: &str = "https://spdx.dev/Document";
const CYCLONEDX: &str = "https://cyclonedx.org/bom";

fn sbom(said: Said) -> Sbom {
    assert_eq!(said.why_not, None);
    sbom_of(said.claim)
}

fn sbom_of(claim: Claim) -> Sbom {
    match claim {
        Claim::Sbom(sbom) => sbom,
        other => panic!("{other:?}"),
    }
}

/// The licences as one can write them down.
fn licences(sbom: &Sbom) -> Vec<(&str, String)> {
    let join = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    sbom.licences.iter().map(|(licence, names)| (licence.as_str(), join(names))).collect()
}

fn pairs<const N: usize>(pairs: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
    pairs.map(|(licence, names)| (licence, names.to_owned())).into()
}

#[test]
fn spdx_as_syft_writes_it() {
    let said = document(&file("spdx-syft.json"));
    assert_eq!((&said.subjects, &said.configs), (&set([digest('2')]), &set([])));
    let sbom = sbom(said);
    assert_eq!((sbom.format.as_str(), sbom.tool.as_deref()), ("SPDX 2.3", Some("syft-1.18.1")));
    assert_eq!(sbom.created.unwrap().to_string(), "2026-10-01T08:00:00Z");
    assert_eq!(sbom.packages, 3, "the image itself is no package");
    let expected =
        [("", "example.com/module@v0.1.0"), ("GPL-2.0-only", "busybox@1.36.1-r29"), ("MIT", "musl@1.2.5-r0")];
    assert_eq!(licences(&sbom), pairs(expected));
}

#[test]
fn spdx_as_trivy_writes_it() {
    let said = document(&file("spdx-trivy.json"));
    assert_eq!((&said.subjects, &said.configs), (&set([digest('1')]), &set([digest('3')])));
    let older = without(file("spdx-trivy.json"), "/packages/1/annotations");
    assert_eq!(document(&older).configs, set([]));
    let texts = json!([format!("DiffID: {}", digest('7')), format!("ImageID: {}", digest('3'))]);
    assert_eq!(document(&with(older, "/packages/1/attributionTexts", texts)).configs, set([digest('3')]));
    let sbom = sbom(said);
    assert_eq!((sbom.tool.as_deref(), sbom.packages), (Some("trivy-0.58.0"), 2));
    let expected = [("LGPL-2.1-only AND GPL-2.0-only", "libc6@2.36-9+deb12u9"), ("MIT", "lodash@4.17.21")];
    assert_eq!(licences(&sbom), pairs(expected), "operating system and lock file are no packages");
}

#[test]
fn spdx_as_buildkit_puts_it_beside_an_image() {
    let said = statement(&file("spdx-buildkit.json"));
    assert_eq!(said.subjects, set([digest('2')]));
    let sbom = sbom(said);
    assert_eq!((licences(&sbom), sbom.packages), (pairs([("MIT", "musl@1.2.5-r0")]), 1));
}

#[test]
fn spdx_as_npm_writes_it() {
    let said = document(&file("spdx-npm.json"));
    assert_eq!(said.subjects, set([]), "npm knows of no image");
    let sbom = sbom(said);
    assert_eq!(licences(&sbom), pairs([("Apache-2.0", "demo@1.0.0"), ("ISC", "@scope/part@2.0.0")]));
}

#[test]
fn the_concluded_licence_counts_before_the_declared_one() {
    for (concluded, declared, licence) in [
        (json!("MIT"), json!("GPL-2.0-only"), "MIT"),
        (json!("NOASSERTION"), json!(" GPL-2.0-only "), "GPL-2.0-only"),
        (json!(""), json!("GPL-2.0-only"), "GPL-2.0-only"),
        (Value::Null, json!("GPL-2.0-only"), "GPL-2.0-only"),
        (json!("NONE"), json!("GPL-2.0-only"), ""),
        (json!("NOASSERTION"), json!("NONE"), ""),
        (json!("NOASSERTION"), Value::Null, ""),
    ] {
        let changed = with(file("spdx-syft.json"), "/packages/0/licenseConcluded", concluded.clone());
        let changed = with(changed, "/packages/0/licenseDeclared", declared.clone());
        let sbom = sbom(document(&changed));
        assert!(sbom.licences[licence].contains("musl@1.2.5-r0"), "{concluded} {declared}: {:?}", sbom.licences);
    }
}

#[test]
fn a_package_does_not_get_out_of_needing_a_licence_by_what_it_calls_itself() {
    // What states a licence is a package whatever it calls itself.
    for purpose in ["CONTAINER", "OPERATING-SYSTEM", "OPERATING_SYSTEM", "APPLICATION"] {
        let changed = with(file("spdx-syft.json"), "/packages/1/primaryPackagePurpose", json!(purpose));
        let sbom = sbom(document(&changed));
        assert!(sbom.licences["GPL-2.0-only"].contains("busybox@1.36.1-r29"), "{purpose}");
        assert_eq!(sbom.packages, 3, "{purpose}");
    }
    // An application with a version is one.
    let changed = with(file("spdx-syft.json"), "/packages/2/primaryPackagePurpose", json!("APPLICATION"));
    assert!(sbom(document(&changed)).licences[""].contains("example.com/module@v0.1.0"));
    // Of several packages that the document describes none is the root.
    let both = json!(["SPDXRef-Package-go-module-03", "SPDXRef-Package-apk-musl-01"]);
    let sbom = sbom(document(&with(file("spdx-syft.json"), "/documentDescribes", both)));
    assert!(sbom.licences[""].contains("example.com/module@v0.1.0"));
}

#[test]
fn an_image_that_the_document_does_not_describe_is_not_its_subject() {
    let base = json!({"name": "base", "SPDXID": "SPDXRef-base", "versionInfo": format!("sha256:{}", "9".repeat(64)),
        "primaryPackagePurpose": "CONTAINER"});
    let mut changed = file("spdx-syft.json");
    changed["packages"].as_array_mut().unwrap().push(base);
    assert_eq!(document(&changed).subjects, set([digest('2')]));
    // Where nothing is described, every image is meant.
    assert_eq!(document(&without(changed, "/relationships")).subjects, set([digest('2'), digest('9')]));
    // Who says it is described is the document.
    let other = with(file("spdx-syft.json"), "/relationships/1/spdxElementId", json!("SPDXRef-Package-apk-musl-01"));
    assert_eq!(document(&with(other, "/documentDescribes", json!(["SPDXRef-x"]))).subjects, set([]));
}

#[test]
fn cyclonedx_as_syft_writes_it() {
    let said = document(&file("cyclonedx-syft.json"));
    assert_eq!((&said.subjects, &said.configs), (&set([digest('2')]), &set([])));
    let sbom = sbom(said);
    assert_eq!((sbom.format.as_str(), sbom.tool.as_deref()), ("CycloneDX 1.6", Some("syft 1.18.1")));
    assert_eq!(sbom.created.unwrap().to_string(), "2026-10-01T08:00:00Z");
    assert_eq!(sbom.packages, 3, "a file and the operating system are no packages");
    let expected = [
        ("", "example.com/module@v0.1.0"),
        ("Artistic-dist", "perl-base@5.36.0"),
        ("BSD-3-Clause AND MIT", "perl-base@5.36.0"),
        ("GPL-2.0-only", "busybox@1.36.1-r29"),
    ];
    assert_eq!(licences(&sbom), pairs(expected));
}

#[test]
fn cyclonedx_as_trivy_writes_it() {
    let said = document(&file("cyclonedx-trivy.json"));
    assert_eq!((&said.subjects, &said.configs), (&set([digest('1')]), &set([digest('3')])));
    let sbom = sbom(said);
    assert_eq!((sbom.format.as_str(), sbom.tool.as_deref()), ("CycloneDX 1.4", Some("trivy 0.44.1")));
    let expected = [("(GPL-2.0-only OR MIT) AND LGPL-2.1-only", "libc6@2.36"), ("ISC", "@scope/part@2.0.0")];
    assert_eq!(licences(&sbom), pairs(expected));
    assert_eq!(sbom.packages, 2);
}

#[test]
fn cyclonedx_as_cdxgen_writes_it() {
    let sbom = sbom(document(&file("cyclonedx-cdxgen.json")));
    assert_eq!(sbom.tool.as_deref(), Some("cdxgen 11.0.3"));
    let expected = [
        ("", "acme/core@1.0.0"),
        ("Apache-2.0", "acme/app@1.0.0"),
        ("MIT", "org.example/outer@2.1"),
        ("Some Licence", "shaded@0.9"),
    ];
    assert_eq!(licences(&sbom), pairs(expected), "components within components count, concluded licences first");
    assert_eq!(sbom.packages, 4);
}

#[test]
fn a_licence_that_says_nothing_leaves_its_mark_beside_one_that_does() {
    let licences =
        json!([{"license": {"id": "MIT"}}, {"license": {"url": "https://example.com"}}, {"expression": " "}]);
    let sbom = sbom(document(&with(file("cyclonedx-syft.json"), "/components/0/licenses", licences)));
    assert!(sbom.licences["MIT"].contains("busybox@1.36.1-r29"));
    assert!(sbom.licences[""].contains("busybox@1.36.1-r29"));
}

#[test]
fn the_text_of_a_licence_is_cut_to_something_that_is_no_name() {
    let long = json!([{"license": {"name": format!("MIT{}", " x".repeat(4000))}}]);
    let sbom = sbom(document(&with(file("cyclonedx-syft.json"), "/components/0/licenses", long)));
    let key = sbom.licences.keys().find(|key| key.starts_with("MIT x")).unwrap();
    assert!(key.len() < 100 && key.ends_with("… (8003 bytes)"), "{key}");
}

#[test]
fn an_sbom_without_its_list_of_packages_is_unreadable() {
    let why = refused(&without(file("spdx-syft.json"), "/packages"));
    assert_eq!(why, "SPDX that cannot be read: it does not say which packages there are");
    assert!(refused(&without(file("cyclonedx-syft.json"), "/components")).contains("which components"));
    assert!(unreadable(SPDX, &with(file("spdx-syft.json"), "/packages", Value::Null)).contains("which packages"));
    assert!(unreadable(CYCLONEDX, &without(file("cyclonedx-syft.json"), "/components")).contains("which components"));
    // An empty list is another thing: there are no packages.
    let sbom = sbom(document(&with(file("spdx-syft.json"), "/packages", json!([]))));
    assert_eq!((sbom.packages, sbom.licences.len()), (0, 0));
}

#[test]
fn what_an_sbom_may_leave_out() {
    let spdx = without(without(file("spdx-syft.json"), "/creationInfo"), "/relationships");
    let sbom_1 = sbom(document(&spdx));
    assert_eq!((sbom_1.tool, sbom_1.created, sbom_1.packages), (None, None, 3));
    let cyclonedx = without(file("cyclonedx-syft.json"), "/metadata");
    let said = document(&cyclonedx);
    assert_eq!(said.subjects, set([]));
    let sbom_2 = sbom(said);
    assert_eq!((sbom_2.tool, sbom_2.created, sbom_2.packages), (None, None, 3));
}

#[test]
fn what_matters_must_be_of_its_type() {
    for (name, place) in [
        ("spdx-syft.json", "/packages"),
        ("spdx-syft.json", "/packages/0"),
        ("spdx-syft.json", "/packages/0/name"),
        ("spdx-syft.json", "/packages/0/versionInfo"),
        ("spdx-syft.json", "/packages/0/licenseDeclared"),
        ("spdx-syft.json", "/packages/0/licenseConcluded"),
        ("spdx-syft.json", "/packages/0/externalRefs"),
        ("spdx-syft.json", "/relationships"),
        ("spdx-syft.json", "/creationInfo/created"),
        ("cyclonedx-syft.json", "/components"),
        ("cyclonedx-syft.json", "/components/0"),
        ("cyclonedx-syft.json", "/components/0/name"),
        ("cyclonedx-syft.json", "/components/0/licenses"),
        ("cyclonedx-syft.json", "/components/0/licenses/0/license/id"),
        ("cyclonedx-cdxgen.json", "/components/0/components"),
        ("cyclonedx-syft.json", "/metadata/component/version"),
        ("cyclonedx-syft.json", "/metadata/timestamp"),
    ] {
        let why = refused(&with(file(name), place, json!(7)));
        assert!(why.contains("another type or value"), "{name} {place}: {why}");
    }
}

#[test]
fn what_does_not_matter_may_be_of_any_type() {
    for (name, place) in [
        ("spdx-syft.json", "/files"),
        ("spdx-syft.json", "/documentNamespace"),
        ("spdx-syft.json", "/hasExtractedLicensingInfos"),
        ("spdx-syft.json", "/creationInfo/creators/1"),
        ("spdx-syft.json", "/packages/0/description"),
        ("spdx-syft.json", "/packages/0/copyrightText"),
        ("spdx-syft.json", "/packages/0/unheard-of"),
        ("spdx-syft.json", "/packages/0/externalRefs/0/referenceType"),
        ("cyclonedx-syft.json", "/version"),
        ("cyclonedx-syft.json", "/metadata/tools"),
        ("cyclonedx-syft.json", "/metadata/tools/components/0/name"),
        ("cyclonedx-syft.json", "/components/0/properties"),
        ("cyclonedx-syft.json", "/components/0/hashes"),
        ("cyclonedx-trivy.json", "/vulnerabilities"),
    ] {
        let before = sbom(document(&file(name)));
        for value in [json!(7), json!("x"), json!([[1, "y"]]), json!({"a": {"b": null}}), json!(true), json!(null)] {
            let after = sbom(document(&with(file(name), place, value.clone())));
            let same = (&after.licences, after.packages) == (&before.licences, before.packages);
            assert!(same, "{name} {place} {value}");
        }
    }
}

#[test]
fn a_time_that_is_none_is_not_said() {
    for time in ["yesterday", "2026-10-01", "0001-01-01T00:00:00Z", ""] {
        assert_eq!(sbom(document(&with(file("spdx-syft.json"), "/creationInfo/created", json!(time)))).created, None);
    }
}

#[test]
fn other_versions_are_not_read() {
    for version in ["SPDX-2.1", "SPDX-3.0", "2.3", ""] {
        assert!(
            refused(&with(file("spdx-syft.json"), "/spdxVersion", json!(version))).contains("only SPDX 2.2 and 2.3")
        );
    }
    for version in ["1.1", "2.0", "1.60", ""] {
        let why = refused(&with(file("cyclonedx-syft.json"), "/specVersion", json!(version)));
        assert!(why.contains("only CycloneDX 1.2 to 1.7"), "{why}");
    }
    let three = json!({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []});
    assert!(refused(&three).starts_with("SPDX 3 is not read"));
    assert!(unreadable(SPDX, &three).contains("SPDX 3 is not read"));
    assert!(unreadable("https://spdx.dev/Document/v3", &three).contains("SPDX 3 is not read"));
}

#[test]
fn an_sbom_that_cosign_put_into_a_text_or_a_frame_is_read() {
    let bare = sbom(document(&file("spdx-syft.json")));
    let as_text = Value::String(text("spdx-syft.json"));
    for predicate in
        [as_text.clone(), json!({"Data": as_text, "Timestamp": ""}), json!({"Data": file("spdx-syft.json")})]
    {
        let (claim, why_not) = of_predicate(SPDX, &predicate.to_string());
        assert_eq!((sbom_of(claim), why_not), (bare.clone(), None));
    }
    let why = unreadable(SPDX, &json!("SPDXVersion: SPDX-2.3\nPackageName: a\n"));
    assert!(why.ends_with("what is wrapped in it is not SPDX in JSON"), "{why}");
    assert!(unreadable(SPDX, &json!({"Data": 7})).ends_with("not SPDX in JSON"));
}

#[test]
fn a_package_of_two_licences_is_one_package() {
    let sbom = sbom(document(&file("cyclonedx-syft.json")));
    let names: std::collections::BTreeSet<_> = sbom.licences.values().flatten().collect();
    assert_eq!(names.len() as u64, sbom.packages);
    assert_eq!(texts(["perl-base@5.36.0"]), sbom.licences["Artistic-dist"]);
}
