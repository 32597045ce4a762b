//! Checks as they can be asked of a release.

use sealift_domain::{
    check::{Check, HttpCheck},
    ledger::Ledger,
    release::Release,
};

/// The placeholders that stand for facts of a build record.
const BUILD_FACTS: [&str; 4] = ["commit", "commit7", "version", "run_id"];

/// `checks` as they can be asked of `release`.
///
/// A release that was imported as a baseline has no build record, so nothing says which commit or version it should
/// report. What a check would compare with such a fact is left out for it; the rest must hold. Without this, the release
/// that a team begins with could never be gone back to. Of a release with a build record everything is asked.
pub(crate) fn askable(checks: &[Check], ledger: &Ledger, release: &Release) -> Vec<Check> {
    if release.components().all(|(_, digest)| ledger.builds.contains_key(&digest)) {
        return checks.to_vec();
    }
    checks.iter().cloned().filter_map(without_build_facts).collect()
}

fn without_build_facts(check: Check) -> Option<Check> {
    match check {
        Check::Http(http) if names_build_fact(&http.http) => None,
        Check::Http(mut http) => {
            http.json.retain(|_, wanted| !names_build_fact(&wanted.to_string()));
            let body = http.body.take().filter(|text| !names_build_fact(text));
            Some(Check::Http(HttpCheck { body, ..http }))
        }
        Check::Run(run) if run.run.iter().any(|word| names_build_fact(word)) => None,
        other => Some(other),
    }
}

/// Whether `text` has one of the placeholders, plain (`{version}`) or of a component (`{web.version}`).
fn names_build_fact(text: &str) -> bool {
    BUILD_FACTS.iter().any(|fact| text.contains(&format!("{{{fact}}}")) || text.contains(&format!(".{fact}}}")))
}

#[cfg(test)]
mod tests {
    use sealift_domain::{digest::Digest, name::ComponentName};

    use super::*;

    #[test]
    fn a_release_without_build_record_is_asked_only_what_is_known() {
        let checks: Vec<Check> = serde_json::from_str(
            r#"[{"http":"http://a/health","body":"{commit7}","json":{"status":"ok","version":"{version}","web":"{web.commit}"}},
                {"http":"http://a/{commit}"},{"run":["smoke","{version}"]},{"run":["smoke","{digest}"]},
                {"availability":"http://a/"}]"#,
        )
        .unwrap();
        let release = Release::new([(ComponentName::only(), Digest::of(b"x"))].into()).unwrap();
        let asked = serde_json::to_value(askable(&checks, &Ledger::default(), &release)).unwrap();
        assert_eq!(asked[0]["json"], serde_json::json!({"status": "ok"}));
        assert_eq!(asked[0].get("body"), None);
        assert_eq!(asked[1]["run"][1], "{digest}");
        assert_eq!((asked[2]["availability"].as_str(), asked.as_array().unwrap().len()), (Some("http://a/"), 3));
    }
}
