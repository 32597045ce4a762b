//! The examples for admission controllers: that they can be parsed, and ask for what a statement of this program says.

use std::path::PathBuf;

use serde_json::Value;

use crate::attest::attesting;

/// What the examples are about.
const REPOSITORY: &str = "registry.example.com/shop/web";

fn example(name: &str) -> String {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/admission")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&example(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// The statements that lie beside an image in production, admitted and verified, as they would be for [`REPOSITORY`].
fn statements() -> [Value; 2] {
    let place = attesting(&[]);
    let digest = place.release("1.0.0");
    let repository = format!("{}/hello", place.production.address());
    let image = format!("{repository}@{digest}");
    ["admitted", "verified"].map(|level| {
        let words = ["--environment", "production", "--key", "promotion.pub", "--level", level, "--output", "json"];
        let told = place.run(&[&["attest", "verify", &image][..], &words].concat());
        let text = told.ends(0).json()["statement"].to_string().replace(&repository, REPOSITORY);
        serde_json::from_str(&text).unwrap()
    })
}

#[test]
fn what_the_examples_ask_for_is_what_a_statement_says() {
    let [admitted, verified] = statements();
    let of = |field: &str| {
        let value = &admitted["predicate"][field];
        assert!(!value.is_null(), "the statement has no `{field}`");
        value.as_str().unwrap_or_else(|| value[0].as_str().unwrap()).to_owned()
    };
    let kind = admitted["predicateType"].as_str().unwrap().to_owned();
    let (result, resource) = (of("verificationResult"), of("resourceUri"));
    let levels = [of("verifiedLevels"), verified["predicate"]["verifiedLevels"][0].as_str().unwrap().to_owned()];

    let cluster = yaml("kyverno-cluster-policy.yaml");
    assert_eq!(
        (cluster["apiVersion"].as_str(), cluster["kind"].as_str()),
        (Some("kyverno.io/v1"), Some("ClusterPolicy"))
    );
    let attestation = &cluster["spec"]["rules"][0]["verifyImages"][0]["attestations"][0];
    assert_eq!(attestation["type"], *kind);
    let conditions = attestation["conditions"][0]["all"].as_array().unwrap();
    let value = |key: &str| {
        let condition = conditions.iter().find(|condition| condition["key"] == format!("{{{{ {key} }}}}"));
        condition.unwrap_or_else(|| panic!("no condition on {key}"))["value"].clone()
    };
    assert_eq!((value("verificationResult"), value("resourceUri")), (result.clone().into(), resource.clone().into()));
    assert_eq!(value("verifiedLevels[0]"), serde_json::json!(levels));

    let image = yaml("kyverno-image-validating-policy.yaml");
    assert_eq!(image["kind"], "ImageValidatingPolicy");
    assert_eq!(image["spec"]["attestations"][0]["intoto"]["type"], *kind);
    let name = image["spec"]["attestations"][0]["name"].as_str().unwrap();
    let attestor = image["spec"]["attestors"][0]["name"].as_str().unwrap();
    let validations = image["spec"]["validations"].as_array().unwrap();
    let expressions: String = validations.iter().map(|one| one["expression"].as_str().unwrap()).collect();
    for text in [&format!("attestations.{name}"), &format!("attestors.{attestor}"), &levels[0], &levels[1], &result] {
        assert!(expressions.contains(text.as_str()), "{text}: {expressions}");
    }
    let (place, environment) = resource.split_once('?').unwrap();
    assert!(expressions.contains(&format!("endsWith('?{environment}')")), "{expressions}");
    assert!(expressions.contains(&format!("startsWith('{}/')", place.rsplit_once('/').unwrap().0)), "{expressions}");

    let controller = yaml("policy-controller.yaml");
    let attestation = &controller["spec"]["authorities"][0]["attestations"][0];
    assert_eq!(attestation["predicateType"], *kind);
    for cue in [attestation["policy"]["data"].as_str().unwrap(), &example("cosign.cue")] {
        let plain: String = cue.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [
            format!("predicateType: \"{kind}\""),
            format!("verificationResult: \"{result}\""),
            format!("resourceUri: \"{resource}\""),
            format!("verifiedLevels: [\"{}\"] | [\"{}\"]", levels[0], levels[1]),
        ] {
            assert!(plain.contains(&text), "{text}: {plain}");
        }
    }

    let [cosign, slsa] = ["cosign-verify", "slsa-verifier"].map(example);
    assert!(cosign.contains(&format!("--type {kind}")) && cosign.contains("--insecure-ignore-tlog"), "{cosign}");
    assert!(slsa.contains(&format!("--verifier-id {}", admitted["predicate"]["verifier"]["id"].as_str().unwrap())));
    assert!(slsa.contains(&format!("--verified-level {}", levels[0])), "{slsa}");
    assert!(slsa.contains("--resource-uri \"oci://$repository?environment=production\""), "{slsa}");
}

#[test]
fn the_readme_names_every_example() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/admission");
    let readme = example("README.md");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("`{name}`")), "{name}");
    }
}
