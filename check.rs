//! What the forms of values cannot say: texts that must be URLs, lists that must not be empty, orders of time.

use std::collections::BTreeMap;

use sealift_domain::{
    check::Check,
    freeze::Freeze,
    policy::ApprovalRule,
    tag::{TagTemplate, TagTemplateError},
};

use super::{
    problem::{Complaint, Problems},
    values::is_http,
};

/// Checks that a template gives a tag once its placeholders have values.
pub(super) fn tag(template: &TagTemplate, path: &str, problems: &Problems<'_>) {
    let mut values = BTreeMap::new();
    // The names of placeholders come from the build record, so any is possible; `0` is a letter of every tag.
    for piece in template.template().split('{').skip(1) {
        if let Some((name, _)) = piece.split_once('}') {
            values.insert(name.to_owned(), "0".to_owned());
        }
    }
    if values.keys().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
        problems.value(path, Complaint::Value(format!("`{}` has a placeholder without a name", template.template())));
        return;
    }
    match template.render(&values) {
        Ok(_) | Err(TagTemplateError::NoValue { .. }) => {}
        Err(error) => problems.value(path, Complaint::Value(error.to_string())),
    }
}

/// Checks one entry of `verify`.
pub(super) fn check(check: &Check, path: &str, problems: &Problems<'_>) {
    let url = |key: &str, url: &str| {
        if !is_http(url) {
            let text = format!("`{url}` is not a URL: it must begin with `http://` or `https://`");
            problems.value(&format!("{path}.{key}"), Complaint::Value(text));
        }
    };
    match check {
        Check::Http(http) => {
            url("http", &http.http);
            if !(100..=599).contains(&http.status) {
                let text = format!("{} is not an HTTP status: 100 to 599", http.status);
                problems.value(&format!("{path}.status"), Complaint::Value(text));
            }
        }
        Check::Run(run) => command(&run.run, &format!("{path}.run"), problems),
        Check::Logs(logs) => {
            let patterns = [&logs.logs.none, &logs.logs.some];
            if patterns.iter().all(|pattern| pattern.as_deref().is_none_or(str::is_empty)) {
                let text = "`none` or `some` is needed: what must not, or must, stand in the log";
                problems.value(&format!("{path}.logs"), Complaint::Value(text.to_owned()));
            }
        }
        Check::Availability(availability) => {
            url("availability", &availability.availability);
            if !(1..=1000).contains(&availability.rate) {
                let text = format!("{} requests a second are not possible: 1 to 1000", availability.rate);
                problems.value(&format!("{path}.rate"), Complaint::Value(text));
            }
        }
    }
}

/// Checks an argument vector.
pub(super) fn command(argv: &[String], path: &str, problems: &Problems<'_>) {
    if argv.first().is_none_or(|program| program.trim().is_empty()) {
        let text = "no program is named: write for instance `[npm, run, e2e]`";
        problems.value(path, Complaint::Value(text.to_owned()));
    }
}

/// Checks that a freeze ends after it begins.
pub(super) fn freeze(freeze: &Freeze, path: &str, problems: &Problems<'_>) {
    if freeze.until <= freeze.from {
        let text = format!("the freeze ends at {} and begins at {}", freeze.until, freeze.from);
        problems.value(&format!("{path}.until"), Complaint::Value(text));
    }
}

/// Checks that an approval rule asks for somebody.
pub(super) fn approval(rule: &ApprovalRule, path: &str, problems: &Problems<'_>) -> bool {
    if rule.roles.is_empty() {
        let text = "no role may approve: name at least one, or write `approval: none`";
        problems.value(&format!("{path}.roles"), Complaint::Value(text.to_owned()));
    }
    if rule.count == 0 {
        let text = "no approval at all is written `approval: none`";
        problems.value(&format!("{path}.count"), Complaint::Value(text.to_owned()));
    }
    !rule.roles.is_empty() && rule.count > 0
}
