//! From the shape of the file to a policy, with what a type cannot express checked on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path as FilePath,
};

use sealift_domain::{
    check::Check,
    gate::Gates,
    name::{ChannelName, ComponentName, EnvironmentName, PersonId},
    notice::NoticeKind,
    policy::{ApprovalRule, Environment, Person, Policy, PolicyError},
    reference::Repository,
    tag::TagTemplate,
};

use super::{
    Channel, Config, PlainContact, Registries, check,
    deploy::Deploy,
    file::{ApprovalEntry, EnvironmentEntry, File},
    lenient::{given, right},
    node::{Node, Value},
    problem::{Complaint, Path, Problems, suggest},
    read,
    spans::Spans,
    values::Store,
};
use crate::diagnostic::{Diagnostic, catalogue::code};

/// The place of the log if the file names none, relative to the file.
const USUAL_STORE: &str = ".sealift/log.sqlite";
/// The name of a channel that has none.
const USUAL_CHANNEL: &str = "webhook";

/// Reads the file's tree as a configuration. With a problem reported, there is no configuration.
pub(super) fn build(root: &Node, file: &FilePath, spans: &Spans, problems: &Problems<'_>) -> Option<Config> {
    let raw: File = read::read(root, problems)?;
    let (people, contacts) = people(&raw, problems);
    let (environments, deploy) = environments(raw.environments.0.unwrap_or_default(), root, problems);
    let (notify, channels) = channels(raw.notify, problems);
    let registries = given(raw.registries).map(|entry| right(entry.plain_http)).unwrap_or_default();
    let plain_http = registries.into_iter().map(|(_, host)| host.0).collect();
    let source = given(raw.source).map(|url| url.0);
    let policy = Policy { app: raw.app.0?, source, people, environments, notify };
    require_approval(&policy, root, problems);
    if problems.is_empty() {
        validate(&policy, problems);
    }
    let Store::Sqlite(path) = given(raw.store).unwrap_or_else(|| Store::Sqlite(USUAL_STORE.into()));
    let store = Store::Sqlite(file.parent().unwrap_or_else(|| FilePath::new("")).join(path));
    let registries = Registries { plain_http };
    problems.is_empty().then(|| Config { policy, contacts, deploy, channels, registries, store, spans: spans.clone() })
}

type People = (BTreeMap<PersonId, Person>, BTreeMap<PersonId, PlainContact>);

fn people(raw: &File, problems: &Problems<'_>) -> People {
    let (mut people, mut contacts) = (BTreeMap::new(), BTreeMap::new());
    let entries = raw.people.as_ref().and_then(|list| list.0.as_ref()).into_iter().flatten();
    for (at, entry) in entries.enumerate() {
        let Some(entry) = &entry.0 else { continue };
        let Some(id) = &entry.id.0 else { continue };
        let keys = entry.ssh.0.as_ref().map(|keys| keys.iter().map(|key| key.0.clone()).collect::<BTreeSet<_>>());
        if keys.as_ref().is_some_and(BTreeSet::is_empty) && problems.is_empty() {
            problems.value(&format!("people[{at}].ssh"), Complaint::Value(format!("`{id}` needs a key to sign with")));
        }
        let roles = entry.roles.as_ref().and_then(|roles| roles.0.clone()).unwrap_or_default();
        let text = |value: &Option<super::lenient::Lenient<String>>| value.as_ref().and_then(|v| v.0.clone());
        contacts.insert(id.clone(), PlainContact { email: text(&entry.email), github: text(&entry.github) });
        if people.insert(id.clone(), Person { roles, ssh: keys.unwrap_or_default() }).is_some() {
            let complaint = Complaint::Value(format!("there are two people called `{id}`"));
            problems.value(&format!("people[{at}].id"), complaint);
        }
    }
    (people, contacts)
}

type Environments = (BTreeMap<EnvironmentName, Environment>, BTreeMap<EnvironmentName, Deploy>);
type Entries = BTreeMap<EnvironmentName, super::lenient::Lenient<EnvironmentEntry>>;

fn environments(entries: Entries, root: &Node, problems: &Problems<'_>) -> Environments {
    let (mut environments, mut deploy) = (BTreeMap::new(), BTreeMap::new());
    if entries.is_empty() && problems.is_empty() {
        problems.key("environments", Complaint::Value("there is no environment: name at least one".to_owned()));
    }
    for (name, entry) in entries {
        let Some(entry) = entry.0 else { continue };
        let path = format!("environments.{name}");
        let (environment, driver) = environment(entry, &path, root, problems);
        environments.insert(name.clone(), environment);
        if let Some(driver) = driver {
            validate_driver(&driver, &format!("{path}.deploy"), root, problems);
            deploy.insert(name, driver);
        }
    }
    (environments, deploy)
}

fn environment(
    entry: EnvironmentEntry,
    path: &str,
    root: &Node,
    problems: &Problems<'_>,
) -> (Environment, Option<Deploy>) {
    let at = |list: &str, index: usize| format!("{path}.{list}[{index}]");
    let mut tags = Vec::new();
    for (index, tag) in right(entry.tags) {
        let tag = TagTemplate::from(tag);
        check::tag(&tag, &at("tags", index), problems);
        tags.push(tag);
    }
    let mut verify = Vec::new();
    for (index, checked) in right(entry.verify) {
        let checked = Check::from(checked);
        check::check(&checked, &at("verify", index), problems);
        verify.push(checked);
    }
    let mut freezes = Vec::new();
    for (index, freeze) in right(entry.freezes) {
        check::freeze(&freeze, &at("freezes", index), problems);
        freezes.push(freeze);
    }
    let migrate = given(entry.migrate).map(|migrate| migrate.run);
    if let Some(argv) = &migrate {
        check::command(argv, &format!("{path}.migrate.run"), problems);
    }
    let images = (given(entry.image), given(entry.components));
    let images = (images.0, images.1.map(|map| map.into_iter().filter_map(|(n, c)| Some((n, c.0?.image.0?))).collect()));
    let environment = Environment {
        from: given(entry.from),
        components: components(images, path, problems),
        tags,
        gates: gates(root, &format!("{path}.gates"), problems),
        approval: approval(given(entry.approval), path, problems),
        freezes,
        migrate,
        verify,
        rollback: given(entry.rollback).unwrap_or_default(),
    };
    (environment, entry.deploy.0)
}

type Images = (Option<Repository>, Option<BTreeMap<ComponentName, Repository>>);

fn components(images: Images, path: &str, problems: &Problems<'_>) -> BTreeMap<ComponentName, Repository> {
    // What was wrong in itself was reported by now; only what stands in the file counts here.
    let there = |key: &str| problems.has(&format!("{path}.{key}"));
    match (there("image"), there("components")) {
        (true, true) => {
            let text = "`image` and `components` exclude each other: an application has one image, or several named ones";
            problems.key(&format!("{path}.components"), Complaint::Value(text.to_owned()));
        }
        (false, false) => problems.key(path, Complaint::Missing { key: "image".to_owned() }),
        _ => {}
    }
    match images {
        (Some(image), None) => BTreeMap::from([(ComponentName::only(), image)]),
        (_, Some(components)) => {
            if components.is_empty() && problems.is_empty() {
                let text = "there is no component: name at least one, or write `image`";
                problems.value(&format!("{path}.components"), Complaint::Value(text.to_owned()));
            }
            components
        }
        (None, None) => BTreeMap::new(),
    }
}

/// Each gate is read by itself, so that an error in one does not hide those in others. Which gates there are, and what
/// their settings look like, only the domain knows.
fn gates(root: &Node, path: &str, problems: &Problems<'_>) -> Gates {
    let Some(node) = find(root, path) else { return Gates::default() };
    let parent = Path::Key(&Path::Root, path);
    let Value::Map(entries) = &node.value else {
        return read::at(node, &parent, problems).unwrap_or_default();
    };
    let mut all_well = true;
    for entry in entries {
        let alone = Node { value: Value::Map(vec![entry.clone()]), mark: node.mark };
        all_well &= read::at::<Gates>(&alone, &parent, problems).is_some();
    }
    if all_well && problems.is_empty() { read::at(node, &parent, problems).unwrap_or_default() } else { Gates::default() }
}

fn approval(entry: Option<ApprovalEntry>, path: &str, problems: &Problems<'_>) -> Option<ApprovalRule> {
    match entry? {
        ApprovalEntry::Text(_) => None,
        ApprovalEntry::Map(rule) => check::approval(&rule, &format!("{path}.approval"), problems).then_some(rule),
    }
}

/// A driver says in words what is wrong; the first key that it names is shown.
fn validate_driver(driver: &Deploy, path: &str, root: &Node, problems: &Problems<'_>) {
    let Err(text) = driver.validate() else { return };
    let inside = find(root, path).and_then(|node| match &node.value {
        Value::Map(entries) => entries.first().map(|(key, _)| format!("{path}.{}", key.name)),
        _ => None,
    });
    let place = inside.unwrap_or_else(|| path.to_owned());
    let named = text.split('`').skip(1).step_by(2).map(|key| format!("{place}.{key}")).find(|key| problems.has(key));
    problems.value(&named.unwrap_or(place), Complaint::Value(text));
}

/// The last environment must say who approves, or that nobody does. An approval that nobody thought of is no choice.
fn require_approval(policy: &Policy, root: &Node, problems: &Problems<'_>) {
    for (name, environment) in &policy.environments {
        let path = format!("environments.{name}");
        let last = environment.from.is_some() && policy.next_after(name).next().is_none();
        if last && find(root, &format!("{path}.approval")).is_none() {
            let title = format!("environment `{name}` is the last one and does not say who approves");
            let diagnostic = Diagnostic::new(code::E0104, title)
                .next("name them: `approval: {roles: [release-manager]}`")
                .next("or write `approval: none` to go without");
            problems.diagnostic(&path, diagnostic);
        }
    }
}

fn validate(policy: &Policy, problems: &Problems<'_>) {
    let Err(error) = policy.validate() else { return };
    let diagnostic = Diagnostic::new(code::E0105, error.to_string());
    let (path, diagnostic) = match &error {
        PolicyError::UnknownFrom { environment, from } => {
            let names: Vec<String> = policy.environments.keys().map(ToString::to_string).collect();
            let next = suggest(from.as_str(), &names).map(|name| format!("did you mean `{name}`?"));
            let next = next.unwrap_or_else(|| format!("there are: {}", names.join(", ")));
            (format!("environments.{environment}.from"), diagnostic.next(next))
        }
        PolicyError::Circle(environment) => {
            let next = "leave `from` out of the environment that comes first";
            (format!("environments.{environment}.from"), diagnostic.next(next))
        }
        PolicyError::Components { environment, from } => {
            let next = format!("give `{environment}` and `{from}` the same components");
            (format!("environments.{environment}.components"), diagnostic.next(next))
        }
        PolicyError::NoApprovers { environment, .. } => {
            let next = "give the role to more `people`, or lower `count`";
            (format!("environments.{environment}.approval"), diagnostic.next(next))
        }
        PolicyError::SharedKey(_, second) => {
            let at = (0..policy.people.len()).find(|at| problems.text(&format!("people[{at}].id")) == Some(second.as_str()));
            (format!("people[{}].ssh", at.unwrap_or(0)), diagnostic.next("give each person a key of their own"))
        }
    };
    problems.diagnostic(&path, diagnostic);
}

type Channels = (BTreeMap<ChannelName, BTreeSet<NoticeKind>>, BTreeMap<ChannelName, Channel>);

fn channels(
    entries: Option<super::lenient::Lenient<Vec<super::lenient::Lenient<super::file::ChannelEntry>>>>,
    problems: &Problems<'_>,
) -> Channels {
    let (mut notify, mut channels) = (BTreeMap::new(), BTreeMap::new());
    for (at, entry) in right(entries) {
        let Some(name) = given(entry.name).or_else(|| USUAL_CHANNEL.parse().ok()) else { continue };
        let (Some(webhook), Some(on)) = (entry.webhook.0, entry.on.0) else { continue };
        let path = format!("notify[{at}]");
        if on.is_empty() {
            let text = "no moment is named: write for instance `on: [approval-wanted, failed]`";
            problems.value(&format!("{path}.on"), Complaint::Value(text.to_owned()));
        }
        if channels.insert(name.clone(), Channel { webhook, secret: given(entry.secret) }).is_some() {
            let text = format!("there are two channels called `{name}`: give each its own `name`");
            problems.value(&path, Complaint::Value(text));
        }
        notify.insert(name, on);
    }
    (notify, channels)
}

/// The node at a path of keys. A key with a full stop in it cannot be found this way; none of those asked for has one.
fn find<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('.').try_fold(root, |node, name| match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
        _ => None,
    })
}
