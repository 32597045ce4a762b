//! `verify`: what must hold after a deployment.

use sealift_domain::check::Check;

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
    notify::is_web_url,
};

pub(super) type Read = fn(&mut Reader, &Cursor<'_>) -> Option<Check>;

/// The kinds of checks, by the key that tells them apart.
pub(super) const KINDS: &[(&str, Read)] = &[
    ("http", |reader, at| reader.decode(at).map(Check::Http)),
    ("run", |reader, at| reader.decode(at).map(Check::Run)),
    ("logs", |reader, at| reader.decode(at).map(Check::Logs)),
    ("availability", |reader, at| reader.decode(at).map(Check::Availability)),
];

/// Reads the checks of an environment. There must be one: without it, nothing would prove that a release works.
pub(super) fn read(reader: &mut Reader, environment: &Cursor<'_>) -> Vec<Check> {
    let Some(at) = environment.get("verify") else {
        let fault = environment.fault("`verify` is missing: nothing would prove that a release works here");
        reader.push(fault.next("for instance `verify: [{http: \"https://staging.example.com/health\"}]`"));
        return Vec::new();
    };
    let items = reader.list(&at);
    if items.is_empty() && matches!(at.node.value, super::node::Value::List(_)) {
        reader.push(at.fault("there is no check: nothing would prove that a release works here"));
    }
    items.iter().filter_map(|item| check(reader, item)).collect()
}

fn check(reader: &mut Reader, at: &Cursor<'_>) -> Option<Check> {
    if !reader.open_mapping(at) {
        return None;
    }
    let mut kinds = KINDS.iter().filter(|(key, _)| at.get(key).is_some());
    let (kind, other) = (kinds.next(), kinds.next());
    let names: Vec<&str> = KINDS.iter().map(|(key, _)| *key).collect();
    let Some((key, read)) = kind else {
        let fault = match at.keys().next() {
            Some(first) => at.entry(first).here(Fault::unknown_key(&first.key, &names)),
            None => at.fault(format!("a check has one of these keys: {}", names.join(", "))),
        };
        reader.push(fault);
        return None;
    };
    if let Some((second, _)) = other {
        reader.push(at.fault(format!("`{key}` and `{second}` are two checks: make them two items")));
        return None;
    }
    let check = read(reader, at)?;
    let part = at.get(key)?;
    reader.keep(plausible(&check).map_err(|why| part.fault(why)))?;
    Some(check)
}

/// Whether a check can prove anything.
fn plausible(check: &Check) -> Result<(), &'static str> {
    let url = |text: &str| if is_web_url(text) { Ok(()) } else { Err("a URL begins with `https://` or `http://`") };
    match check {
        Check::Http(http) if !(100..=599).contains(&http.status) => Err("`status` is a number from 100 to 599"),
        Check::Http(http) => url(&http.http),
        Check::Run(run) if run.run.first().is_none_or(String::is_empty) => Err("`run` names no program"),
        Check::Run(_) => Ok(()),
        Check::Logs(logs) if logs.logs.none.is_none() && logs.logs.some.is_none() => {
            Err("`logs` says what to look for: `none: \"ERROR|FATAL\"`, or `some: \"started\"`")
        }
        Check::Logs(_) => Ok(()),
        Check::Availability(availability) if availability.rate == 0 => Err("`rate` is at least 1 a second"),
        Check::Availability(availability) => url(&availability.availability),
    }
}
