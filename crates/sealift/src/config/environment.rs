//! `environments`: what it takes to enter each of them, and how a release gets there.

use std::collections::BTreeMap;

use sealift_domain::{
    freeze::{Freeze, FreezeRule, Recurring},
    gate::{self, Gates},
    name::{ComponentName, EnvironmentName},
    policy::{ApprovalRule, Environment},
    reference::Repository,
    tag::TagTemplate,
};

use super::{
    attest,
    decode::{Cursor, Reader},
    deploy::{self, Deploy},
    fault::Fault,
    keys,
    node::{Entry, Node, Value},
    verify, writer,
};

/// The keys of an environment.
pub(super) const KEYS: &[&str] = &[
    "from",
    "image",
    "components",
    "tags",
    "gates",
    "approval",
    "expedited",
    "freezes",
    "freeze_override",
    "migrate",
    "deploy",
    "verify",
    "rollback",
    "attest",
    "writer",
];
/// The keys of a component.
pub(super) const COMPONENT_KEYS: &[&str] = &["image"];
/// The keys of `migrate`.
pub(super) const MIGRATE_KEYS: &[&str] = &["run"];
/// The keys of a tag that is no plain name.
pub(super) const TAG_KEYS: &[&str] = &["immutable"];
/// The word instead of a rule for approvals.
pub(super) const NO_APPROVAL: &str = "none";

/// Environments, and how releases are made live in them.
#[derive(Default)]
pub(super) struct Environments {
    pub(super) rules: BTreeMap<EnvironmentName, Environment>,
    pub(super) deploy: BTreeMap<EnvironmentName, Deploy>,
}

/// Reads all environments.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> Environments {
    let mut environments = Environments::default();
    if !reader.open_mapping(at) {
        return environments;
    }
    if at.keys().next().is_none() {
        reader.push(at.fault("there is no environment"));
    }
    for entry in at.keys() {
        let here = at.entry(entry);
        let name = named::<EnvironmentName>(reader, &here, entry);
        let read = environment(reader, &here, approval_wanted(at, entry));
        if let (Some(name), Some((rules, deploy))) = (name, read) {
            environments.deploy.extend(deploy.map(|deploy| (name.clone(), deploy)));
            environments.rules.insert(name, rules);
        }
    }
    environments
}

/// A key that is a name.
fn named<T: std::str::FromStr<Err: std::fmt::Display>>(
    reader: &mut Reader,
    at: &Cursor<'_>,
    entry: &Entry,
) -> Option<T> {
    let fault = |error: T::Err| Fault::wrong(error.to_string()).place(entry.at, &super::fault::Trail::walked(&at.path));
    reader.keep(entry.key.parse().map_err(fault))
}

/// Whether an environment is the end of a pipeline, where an approval is never just forgotten.
fn approval_wanted(all: &Cursor<'_>, entry: &Entry) -> bool {
    let leads_to_another = all.keys().any(|other| {
        matches!(other.node.get("from").map(|from| &from.node.value), Some(Value::Text(from)) if *from == entry.key)
    });
    entry.node.get("from").is_some() && !leads_to_another
}

fn environment(reader: &mut Reader, at: &Cursor<'_>, approval_wanted: bool) -> Option<(Environment, Option<Deploy>)> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let from = reader.optional(at, "from");
    let components = components(reader, at);
    let tags = at.get("tags").map(|at| tags(reader, &at)).unwrap_or_default();
    let gates = at.get("gates").map(|at| gates(reader, &at));
    let approval = approval(reader, at, approval_wanted);
    let freezes = at.get("freezes").map(|at| freezes(reader, &at)).unwrap_or_default();
    let (expedited, freeze_override) = (reader.optional(at, "expedited"), reader.optional(at, "freeze_override"));
    let migrate = at.get("migrate").map(|at| migrate(reader, &at));
    let deploy = at.get("deploy").and_then(|at| deploy::read(reader, &at));
    let verify = verify::read(reader, at);
    let rollback = reader.optional(at, "rollback").unwrap_or_default();
    let attest = at.get("attest").and_then(|at| attest::rule(reader, &at));
    let writer = at.get("writer").map(|at| writer::keys(reader, &at));
    // A wrong part was reported, and nobody will use the whole; reading goes on to report the others.
    let rules = Environment {
        from,
        components: components?,
        tags,
        gates: gates.flatten().unwrap_or_default(),
        approval: approval?,
        expedited,
        freezes,
        freeze_override,
        migrate: migrate.flatten(),
        verify,
        rollback,
        attest,
        writer: writer.flatten().unwrap_or_default(),
    };
    Some((rules, deploy))
}

/// One image, or several components with an image each.
fn components(reader: &mut Reader, at: &Cursor<'_>) -> Option<BTreeMap<ComponentName, Repository>> {
    match (at.get("image"), at.get("components")) {
        (Some(image), None) => Some(BTreeMap::from([(ComponentName::only(), reader.decode(&image)?)])),
        (None, Some(several)) => {
            if !reader.open_mapping(&several) {
                return None;
            }
            if several.keys().next().is_none() {
                reader.push(several.fault("there is no component"));
            }
            let mut components = BTreeMap::new();
            for entry in several.keys() {
                let here = several.entry(entry);
                let name = named(reader, &here, entry);
                let image = if reader.mapping(&here, COMPONENT_KEYS) { reader.required(&here, "image") } else { None };
                components.extend(name.zip(image));
            }
            Some(components)
        }
        (Some(_), Some(several)) => {
            reader.push(several.fault("`image` and `components` exclude each other"));
            None
        }
        (None, None) => {
            reader.push(at.fault("`image` is missing").note("several images: `components: {web: {image: …}}`"));
            None
        }
    }
}

fn tags(reader: &mut Reader, at: &Cursor<'_>) -> Vec<TagTemplate> {
    let mut templates = Vec::new();
    for item in reader.list(at) {
        let (template, place) = match item.node.value {
            Value::Map(_) if reader.mapping(&item, TAG_KEYS) => {
                let text = reader.required(&item, "immutable").map(|immutable| TagTemplate::Immutable { immutable });
                (text, item.get("immutable").unwrap_or(item))
            }
            _ => (reader.decode(&item).map(TagTemplate::Moving), item),
        };
        let Some(template) = template else { continue };
        match plausible(&template) {
            Ok(()) => templates.push(template),
            Err(why) => reader.push(place.fault(why)),
        }
    }
    templates
}

/// Whether a template gives a tag, whatever stands for its placeholders.
fn plausible(template: &TagTemplate) -> Result<(), String> {
    let names = template.template().split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    let values = names.map(|name| (name.to_owned(), "0".to_owned())).collect();
    template.render(&values).map(drop).map_err(|error| error.to_string())
}

/// Gates by name. Which there are, and what each wants to know, is the domain's.
fn gates(reader: &mut Reader, at: &Cursor<'_>) -> Option<Gates> {
    if !reader.open_mapping(at) {
        return None;
    }
    let by_choice: Vec<&str> = gate::ALL.iter().filter(|gate| gate.require.is_some()).map(|gate| gate.name).collect();
    let mut right = true;
    let mut entries = Vec::new();
    for entry in at.keys() {
        let here = at.entry(entry);
        let always = gate::ALL.iter().any(|gate| gate.name == entry.key && gate.require.is_none());
        let place = |fault: Fault| fault.place(entry.at, &super::fault::Trail::walked(&here.path));
        if always {
            reader.push(place(Fault::new(
                "E0103",
                format!("gate `{}` is always required; there is nothing to set", entry.key),
            )));
        } else if !by_choice.contains(&entry.key.as_str()) {
            reader.push(place(Fault::unknown_key(&entry.key, &by_choice)));
        }
        let is_choice = !always && by_choice.contains(&entry.key.as_str());
        let read = if is_choice { keys::inlined(reader, &here, entry) } else { None };
        match read.filter(|read| one_gate(reader, at, read)) {
            Some(read) => entries.push(read),
            None => right = false,
        }
    }
    let all = Node { value: Value::Map(entries), span: at.node.span };
    if right { reader.decode_owned(&all, at) } else { None }
}

/// Reads one gate by itself, so that each is told what is wrong with it.
fn one_gate(reader: &mut Reader, at: &Cursor<'_>, entry: &Entry) -> bool {
    if matches!(entry.node.value, Value::Null) {
        let example = gate::ALL.iter().find(|gate| gate.name == entry.key).and_then(|gate| gate.require);
        let fault = at.entry(entry).fault(format!("gate `{}` has no value", entry.key));
        reader.push(example.into_iter().fold(fault, |fault, line| fault.next(format!("for instance `{line}`"))));
        return false;
    }
    let alone = Node { value: Value::Map(vec![entry.clone()]), span: at.node.span };
    reader.decode_owned::<Gates>(&alone, at).is_some()
}

/// `None` if it is wrong, or missing where it must not be.
fn approval(reader: &mut Reader, at: &Cursor<'_>, wanted: bool) -> Option<Option<ApprovalRule>> {
    let Some(here) = at.get("approval") else {
        if wanted {
            let fault = at
                .fault("`approval` is missing")
                .note("nothing comes after this environment, so this is where people decide");
            let fault = fault.next("say who may approve: `approval: {roles: [release-manager]}`");
            reader.push(fault.next("or write `approval: none` to go without"));
            return None;
        }
        return Some(None);
    };
    match &here.node.value {
        Value::Text(word) if word == NO_APPROVAL => Some(None),
        Value::Map(_) => reader.decode(&here).map(Some),
        _ => {
            reader.push(here.fault("`approval` is a rule (`{roles: [release-manager], count: 1}`) or the word `none`"));
            None
        }
    }
}

fn freezes(reader: &mut Reader, at: &Cursor<'_>) -> Vec<FreezeRule> {
    let mut freezes = Vec::new();
    for item in reader.list(at) {
        if item.get("every").is_some() {
            freezes.extend(reader.decode::<Recurring>(&item).map(FreezeRule::Every));
            continue;
        }
        let Some(freeze) = reader.decode::<Freeze>(&item) else { continue };
        if freeze.until <= freeze.from {
            let until = item.get("until").unwrap_or(item);
            reader.push(until.fault("the freeze ends before it begins"));
            continue;
        }
        freezes.push(FreezeRule::Once(freeze));
    }
    freezes
}

fn migrate(reader: &mut Reader, at: &Cursor<'_>) -> Option<Vec<String>> {
    if !reader.mapping(at, MIGRATE_KEYS) {
        return None;
    }
    let run = reader.needed(at, "run")?;
    let command: Vec<String> = reader.decode(&run)?;
    if command.first().is_none_or(String::is_empty) {
        reader.push(run.fault("`run` names no program"));
        return None;
    }
    Some(command)
}
