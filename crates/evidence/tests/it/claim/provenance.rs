//! SLSA provenance.

use sealift_domain::evidence::{Claim, Provenance};
use sealift_evidence::claim::Said;
use serde_json::{Value, json};

use super::{digest, file, set, statement, unreadable, with, without};

fn provenance(value: &Value) -> Provenance {
    let Said { subjects, claim, why_not, .. } = statement(value);
    assert_eq!((subjects, why_not), (set([digest('1')]), None));
    match claim {
        Claim::Provenance(provenance) => provenance,
        other => panic!("{other:?}"),
    }
}

fn commit() -> Option<String> {
    Some("4".repeat(40))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn provenance_as_github_attests_it() {
    let expected = Provenance {
        format: "https://slsa.dev/provenance/v1".to_owned(),
        builder: text("https://github.com/acme/app/.github/workflows/build.yml@refs/heads/main"),
        build_type: text("https://actions.github.io/buildtypes/workflow/v1"),
        source: text("https://github.com/acme/app"),
        commit: commit(),
        run: text("https://github.com/acme/app/actions/runs/42/attempts/1"),
        finished_at: None,
    };
    assert_eq!(provenance(&file("slsa-github.json")), expected);
}

#[test]
fn provenance_as_the_slsa_generator_attests_it() {
    let provenance = provenance(&file("slsa-generator.json"));
    assert_eq!(provenance.format, "https://slsa.dev/provenance/v0.2");
    assert_eq!((provenance.source, provenance.commit), (text("https://github.com/acme/app"), commit()));
    assert_eq!(provenance.run, text("42-1"));
    assert_eq!(provenance.finished_at.unwrap().to_string(), "2026-10-01T08:00:00Z");
    assert!(provenance.builder.unwrap().ends_with("generator_container_slsa3.yml@refs/tags/v2.0.0"));
}

#[test]
fn provenance_as_buildkit_attests_it() {
    let local = provenance(&file("slsa-buildkit-0.2.json"));
    assert_eq!(local.build_type, text("https://mobyproject.org/buildkit@v1"));
    assert_eq!((local.source, local.commit), (text("https://github.com/acme/app"), commit()), "its client's word");
    let remote = provenance(&file("slsa-buildkit-1.json"));
    assert_eq!((remote.source, remote.commit), (text("https://github.com/acme/app.git"), commit()));
    assert_eq!((remote.builder, remote.run), (None, text("rpv7a389uzil5lqmrgwhijwjz")));
}

#[test]
fn what_buildkits_client_says_does_not_replace_what_was_built() {
    let local = with(
        file("slsa-buildkit-1.json"),
        "/predicate/buildDefinition/externalParameters/configSource",
        json!({"path": "Dockerfile"}),
    );
    let local = provenance(&local);
    assert_eq!((local.source, local.commit), (text("https://github.com/somebody/else"), text(&"5".repeat(40))));
    let dirty = "/predicate/metadata/https:~1~1mobyproject.org~1buildkit@v1#metadata/vcs/revision";
    let revision = json!(format!("{}-dirty", "4".repeat(40)));
    assert_eq!(provenance(&with(file("slsa-buildkit-0.2.json"), dirty, revision)).commit, None);
}

#[test]
fn the_commit_is_that_of_the_source_and_of_no_other_dependency() {
    let place = "/predicate/buildDefinition/resolvedDependencies";
    let dependency =
        |uri: &str, commit: char| json!({"uri": uri, "digest": {"gitCommit": commit.to_string().repeat(40)}});
    let own = "git+https://github.com/acme/app@refs/heads/main";
    let other = "git+https://github.com/acme/library@refs/heads/main";
    for (dependencies, expected) in [
        (json!([dependency(other, '5'), dependency(own, '4')]), commit()),
        (json!([dependency(other, '5')]), None),
        (json!([dependency(own, '4'), dependency(own, '5')]), None),
        (json!([dependency(own, '4'), dependency(own, '4')]), commit()),
        (json!([{"uri": own, "digest": {"sha1": "4".repeat(40)}}]), commit()),
        (json!([{"uri": own}]), None),
        (json!([]), None),
        (Value::Null, None),
    ] {
        let provenance = provenance(&with(file("slsa-github.json"), place, dependencies.clone()));
        assert_eq!(
            (provenance.source, provenance.commit),
            (text("https://github.com/acme/app"), expected),
            "{dependencies}"
        );
    }
}

#[test]
fn a_source_is_known_only_where_a_build_type_is_known_to_say_it() {
    let place = "/predicate/buildDefinition/externalParameters";
    for (parameters, source) in [
        (json!({"source": "git+https://github.com/acme/app@refs/heads/main"}), text("https://github.com/acme/app")),
        (json!({"source": {"uri": "https://github.com/acme/app"}}), text("https://github.com/acme/app")),
        (json!({"workflow": "build"}), None),
        (json!({"repository": "https://github.com/acme/app"}), None),
        (json!([]), None),
        (Value::Null, None),
    ] {
        let provenance = provenance(&with(file("slsa-github.json"), place, parameters.clone()));
        assert_eq!(provenance.source, source, "{parameters}");
        assert_eq!(provenance.commit.is_some(), source.is_some(), "{parameters}");
    }
}

#[test]
fn what_matters_must_be_of_its_type() {
    let v1 = file("slsa-github.json")["predicate"].clone();
    for place in [
        "/buildDefinition",
        "/buildDefinition/buildType",
        "/buildDefinition/resolvedDependencies",
        "/buildDefinition/externalParameters/workflow/repository",
        "/runDetails/builder/id",
        "/runDetails/metadata/invocationId",
    ] {
        unreadable("https://slsa.dev/provenance/v1", &with(v1.clone(), place, json!(7)));
    }
    for place in ["/buildDefinition", "/runDetails", "/runDetails/builder"] {
        unreadable("https://slsa.dev/provenance/v1", &without(v1.clone(), place));
    }
    let v02 = file("slsa-generator.json")["predicate"].clone();
    for place in ["/builder", "/builder/id", "/invocation", "/invocation/configSource/uri", "/materials", "/metadata"] {
        unreadable("https://slsa.dev/provenance/v0.2", &with(v02.clone(), place, json!(7)));
    }
    unreadable("https://slsa.dev/provenance/v0.2", &without(v02, "/builder"));
    assert!(unreadable("https://slsa.dev/provenance/v0.1", &json!({})).contains("only 0.2 and 1"));
}

#[test]
fn what_does_not_matter_may_be_of_any_type() {
    for (name, place) in [
        ("slsa-github.json", "/predicate/buildDefinition/internalParameters"),
        ("slsa-github.json", "/predicate/buildDefinition/externalParameters/workflow/ref"),
        ("slsa-github.json", "/predicate/runDetails/byproducts"),
        ("slsa-generator.json", "/predicate/invocation/parameters"),
        ("slsa-generator.json", "/predicate/buildConfig"),
        ("slsa-generator.json", "/predicate/metadata/completeness"),
    ] {
        assert_eq!(provenance(&with(file(name), place, json!([7]))), provenance(&file(name)), "{name} {place}");
    }
}
