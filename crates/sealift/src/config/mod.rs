//! `sealift.yaml`: what it says, and precisely where it says something wrong.
//!
//! [`node`] reads YAML into a tree with places, [`decode`] and [`de`] turn the tree into the types of the domain,
//! and the other modules know one part of the file each. As many errors as can be told apart are found in one run.

mod attest;
mod de;
mod decode;
mod deploy;
mod edges;
mod environment;
mod fault;
mod identities;
mod keys;
mod minimal;
mod node;
mod notify;
mod people;
mod registries;
mod schema;
mod secrets;
mod store;
mod verify;
mod writer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sealift_domain::{
    name::{ChannelName, EnvironmentName, PersonId},
    policy::{Policy, PolicyError},
};

use crate::diagnostic::{Diagnostic, Location, catalogue::code};
use decode::{Cursor, Reader};
use environment::Environments;
use fault::Fault;
use node::{Node, Value};
use notify::Notify;
use people::People;

pub use deploy::Deploy;
pub use edges::parse_edges;
pub use minimal::minimal;
pub use notify::{Channel, UrlRef};
pub use registries::Registries;
pub use schema::schema;
pub use store::{GitStore, Store};

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The keys of the file.
const KEYS: &[&str] =
    &["app", "source", "people", "identities", "environments", "notify", "registries", "attest", "store"];

/// What the file says.
pub struct Config {
    /// What becomes the policy once it is accepted.
    pub policy: Policy,
    /// How to reach people.
    pub contacts: BTreeMap<PersonId, PlainContact>,
    /// How releases are made live; an environment that others deploy to has no entry.
    pub deploy: BTreeMap<EnvironmentName, Deploy>,
    /// Where notices go.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// What is special about registries.
    pub registries: Registries,
    /// The file of the private key that promotions are attested with, if one is named.
    pub private_key: Option<PathBuf>,
    /// Where the log is.
    pub store: Store,
    /// Where everything stands.
    pub spans: Spans,
    /// The directory that paths of the file are relative to.
    pub directory: PathBuf,
}

/// How to reach a person. Unlike in the log, nothing is sealed here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainContact {
    /// E-mail address.
    pub email: Option<String>,
    /// Account name on GitHub.
    pub github: Option<String>,
}

/// Where the keys of the file stand.
pub struct Spans {
    file: String,
    root: Node,
}

impl Spans {
    /// The place of a key such as `environments.production.gates.soak`.
    pub fn locate(&self, key: &str) -> Option<Location> {
        let mut node = &self.root;
        let mut span = None;
        for part in key.split('.') {
            let entry = node.get(part)?;
            (node, span) = (&entry.node, Some(entry.at));
        }
        span.map(|span| decode::location(&self.file, span))
    }
}

impl Config {
    /// Reads the configuration; `path` is what the file is called in errors. The files that it names for gates and for registries are
    /// read too, relative to `directory`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file: E0101 for such a file, E0102 to E0105 and E0109.
    pub fn parse(text: &str, path: &str, directory: &Path) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader::new(directory);
        let read = read(&mut reader, text);
        match read.filter(|_| reader.is_content()) {
            Some((root, parts)) => Ok(parts.config(Spans { file: path.to_owned(), root }, directory)),
            None => Err(reader.diagnostics(path, text)),
        }
    }
}

/// Where the log is that the file names, whatever else is wrong with the file: the key that it names may be about to be made.
pub fn store_of(text: &str) -> Store {
    let root = node::parse(text).ok().filter(|_| text.len() <= MAX_BYTES);
    root.as_ref().and_then(store::named).unwrap_or_default()
}

/// What was read, before it is known whether all of it is right.
struct Parts {
    policy: Policy,
    contacts: BTreeMap<PersonId, PlainContact>,
    deploy: BTreeMap<EnvironmentName, Deploy>,
    channels: BTreeMap<ChannelName, Channel>,
    registries: Registries,
    private_key: Option<PathBuf>,
    store: Store,
}

impl Parts {
    fn config(self, spans: Spans, directory: &Path) -> Config {
        let Self { policy, contacts, deploy, channels, registries, private_key, store } = self;
        let directory = directory.to_owned();
        Config { policy, contacts, deploy, channels, registries, private_key, store, spans, directory }
    }
}

fn read(reader: &mut Reader, text: &str) -> Option<(Node, Parts)> {
    if text.len() > MAX_BYTES {
        reader.push(Fault::wrong(format!("the file has {} bytes, at most {MAX_BYTES} are read", text.len())));
        return None;
    }
    let root = reader.keep(node::parse(text))?;
    let at = Cursor::root(&root);
    // Before anything else, because other errors repeat what they are about.
    notify::refuse_secrets(reader, &at);
    secrets::refuse(reader, &at);
    if !reader.is_content() {
        return None;
    }
    reader.refuse_duplicates(&at);
    let parts = parts(reader, &at)?;
    if reader.is_content() {
        let impossible = parts.policy.validate().map_err(|error| locate(&at, &error));
        reader.keep(impossible)?;
    }
    Some((root, parts))
}

fn parts(reader: &mut Reader, at: &Cursor<'_>) -> Option<Parts> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let app = reader.required(at, "app");
    let source = reader.optional(at, "source");
    let People { rights, contacts } = at.get("people").map(|at| people::read(reader, &at)).unwrap_or_default();
    let identities = at.get("identities").map(|at| identities::read(reader, &at)).unwrap_or_default();
    let environments = reader.needed(at, "environments").map(|at| environment::read(reader, &at));
    let Notify { policy: notify, channels } = at.get("notify").map(|at| notify::read(reader, &at)).unwrap_or_default();
    let registries = at.get("registries").map(|at| registries::read(reader, &at)).unwrap_or_default();
    let private_key = at.get("attest").and_then(|at| attest::private_key(reader, &at));
    let store = at.get("store").map_or_else(|| Some(Store::default()), |at| store::read(reader, &at));
    let Environments { rules, deploy } = environments?;
    let policy = Policy { app: app?, source, people: rights, identities, environments: rules, notify };
    Some(Parts { policy, contacts, deploy, channels, registries, private_key, store: store? })
}

/// The place of what makes a policy impossible.
fn locate(root: &Cursor<'_>, error: &PolicyError) -> Fault {
    let mut fault = Fault::new(code::E0105, error.to_string());
    if let PolicyError::UnknownFrom { from, .. } = error {
        let names: Vec<&str> = root.get("environments").iter().flat_map(Cursor::keys).map(|e| e.key.as_str()).collect();
        fault = fault.suggest(from.as_str(), &names);
    }
    let environment = |name: &EnvironmentName, keys: &[&str]| {
        let here = root.get("environments").and_then(|at| at.get(name.as_str()))?;
        Some(keys.iter().find_map(|key| here.get(key)).unwrap_or(here))
    };
    let found = match error {
        PolicyError::UnknownFrom { environment: name, .. } | PolicyError::Circle(name) => environment(name, &["from"]),
        PolicyError::Components { environment: name, .. } => environment(name, &["components", "image"]),
        PolicyError::NoApprovers { environment: name, what, .. } => {
            let key = if what.contains("expedited") {
                "expedited"
            } else if what.contains("freeze") {
                "freeze_override"
            } else {
                "approval"
            };
            environment(name, &[key])
        }
        PolicyError::NoProof(name) => environment(name, &["approval"]),
        PolicyError::TooFew { environment: name, .. }
        | PolicyError::NeverWaived { environment: name, .. }
        | PolicyError::UnknownGate { environment: name, .. } => environment(name, &["expedited"]),
        PolicyError::UnknownZone { environment: name, .. } => environment(name, &["freezes"]),
        PolicyError::SharedWriter { environment: name, .. } | PolicyError::WriterTwice { environment: name, .. } => {
            environment(name, &["writer"])
        }
        PolicyError::SharedKey(_, second) => person(root, second),
    };
    found.unwrap_or_else(|| root.clone()).here(fault)
}

/// The key of a person, by the handle.
fn person<'t>(root: &Cursor<'t>, id: &PersonId) -> Option<Cursor<'t>> {
    let people = root.get("people")?;
    let Value::List(items) = &people.node.value else { return None };
    let is =
        |node: &Node| matches!(node.get("id").map(|id| &id.node.value), Some(Value::Text(text)) if text == id.as_str());
    let (index, node) = items.iter().enumerate().find(|(_, node)| is(node))?;
    let item = Cursor { node, label: node.span, path: format!("{}[{index}]", people.path) };
    Some(item.get("ssh").unwrap_or(item))
}

#[cfg(test)]
mod tests;
