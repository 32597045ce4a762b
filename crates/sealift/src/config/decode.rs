//! Walking the tree by hand, and collecting what is wrong on the way.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize,
    de::{DeserializeOwned, Error},
};

use super::{
    de,
    fault::{Fault, Trail},
    node::{Entry, Node, Span, Value},
};
use crate::diagnostic::{Diagnostic, Excerpt, Location, catalogue::code};

/// Beyond this many errors, the rest are only counted.
const MAX_FAULTS: usize = 20;

/// A value on the walk.
#[derive(Clone)]
pub(super) struct Cursor<'t> {
    pub(super) node: &'t Node,
    /// Where the value is named: its key, or the value itself in a list.
    pub(super) label: Span,
    /// The way to it, as people write it.
    pub(super) path: String,
}

impl<'t> Cursor<'t> {
    /// The root of a tree.
    pub(super) fn root(node: &'t Node) -> Self {
        Self { node, label: node.span, path: String::new() }
    }

    /// The value of an entry of this mapping.
    pub(super) fn entry(&self, entry: &'t Entry) -> Self {
        let walked = Trail::walked(&self.path);
        let path = if self.path.is_empty() { entry.key.clone() } else { Trail::key(&walked, &entry.key).to_string() };
        Self { node: &entry.node, label: entry.at, path }
    }

    /// The value under `key`.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        self.node.get(key).map(|entry| self.entry(entry))
    }

    /// The keys of this mapping.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'t Entry> + use<'t> {
        let entries: &'t [Entry] = match &self.node.value {
            Value::Map(entries) => entries,
            _ => &[],
        };
        entries.iter()
    }

    /// A fault of this value.
    pub(super) fn fault(&self, title: impl Into<String>) -> Fault {
        self.here(Fault::wrong(title))
    }

    /// That fault, at this value.
    pub(super) fn here(&self, fault: Fault) -> Fault {
        let span = if self.node.is_scalar() { self.node.span } else { self.label };
        fault.place(span, &Trail::walked(&self.path))
    }
}

/// What collects the faults of one file.
pub(super) struct Reader {
    directory: PathBuf,
    faults: Vec<Fault>,
    more: usize,
}

impl Reader {
    /// Nothing is wrong yet. Files that the file names are relative to `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), faults: Vec::new(), more: 0 }
    }

    /// What names of files are relative to.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether nothing was wrong so far.
    pub(super) fn is_content(&self) -> bool {
        self.faults.is_empty()
    }

    /// Takes note of a fault.
    pub(super) fn push(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS { self.faults.push(fault) } else { self.more += 1 }
    }

    /// Takes note of what went wrong, if it did.
    pub(super) fn keep<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.push(fault)).ok()
    }

    /// Reads any type that says itself what it accepts.
    pub(super) fn decode<'t, T: Deserialize<'t>>(&mut self, at: &Cursor<'t>) -> Option<T> {
        match de::decode(at.node, at.label, &at.path) {
            Ok(value) => Some(value),
            Err(faults) => {
                faults.into_iter().for_each(|fault| self.push(fault));
                None
            }
        }
    }

    /// Reads `node`, which stands in for `at`.
    pub(super) fn decode_owned<T: DeserializeOwned>(&mut self, node: &Node, at: &Cursor<'_>) -> Option<T> {
        de::decode(node, at.label, &at.path)
            .map_err(|faults| faults.into_iter().for_each(|fault| self.push(fault)))
            .ok()
    }

    /// Reads a key that must be there.
    pub(super) fn required<'t, T: Deserialize<'t>>(&mut self, at: &Cursor<'t>, key: &str) -> Option<T> {
        let found = self.needed(at, key)?;
        self.decode(&found)
    }

    /// Reads a key that may be left out.
    pub(super) fn optional<'t, T: Deserialize<'t>>(&mut self, at: &Cursor<'t>, key: &str) -> Option<T> {
        let found = at.get(key)?;
        self.decode(&found)
    }

    /// A key that must be there.
    pub(super) fn needed<'t>(&mut self, at: &Cursor<'t>, key: &str) -> Option<Cursor<'t>> {
        let found = at.get(key);
        if found.is_none() {
            self.push(at.fault(format!("`{key}` is missing")));
        }
        found
    }

    /// Whether this is a mapping. Those of its keys that are not `allowed` are faults.
    pub(super) fn mapping(&mut self, at: &Cursor<'_>, allowed: &[&str]) -> bool {
        if !self.open_mapping(at) {
            return false;
        }
        for entry in at.keys().filter(|entry| !allowed.contains(&entry.key.as_str())) {
            let trail = at.entry(entry).path;
            self.push(Fault::unknown_key(&entry.key, allowed).place(entry.at, &Trail::walked(&trail)));
        }
        true
    }

    /// Whether this is a mapping, with any keys.
    pub(super) fn open_mapping(&mut self, at: &Cursor<'_>) -> bool {
        let is = matches!(at.node.value, Value::Map(_));
        if !is {
            self.push(at.here(Fault::invalid_type(unexpected(at.node), &"a mapping")));
        }
        is
    }

    /// The items of a list.
    pub(super) fn list<'t>(&mut self, at: &Cursor<'t>) -> Vec<Cursor<'t>> {
        let Value::List(items) = &at.node.value else {
            self.push(at.here(Fault::invalid_type(unexpected(at.node), &"a list")));
            return Vec::new();
        };
        let walked = Trail::walked(&at.path);
        let item = |(index, node): (usize, &'t Node)| {
            let path = Trail::index(&walked, index).to_string();
            Cursor { node, label: node.span, path }
        };
        items.iter().enumerate().map(item).collect()
    }

    /// A key that stands twice says two things, of which a reader sees one.
    pub(super) fn refuse_duplicates(&mut self, at: &Cursor<'_>) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for entry in at.keys() {
            let below = at.entry(entry);
            if let Some(first) = seen.insert(&entry.key, entry.at) {
                let fault =
                    Fault::wrong(format!("`{}` stands twice", entry.key)).place(entry.at, &Trail::walked(&below.path));
                self.push(fault.note(format!("first on line {}", first.line)));
            }
            self.refuse_duplicates(&below);
        }
        if matches!(at.node.value, Value::List(_)) {
            self.list(at).iter().for_each(|item| self.refuse_duplicates(item));
        }
    }

    /// The faults as they are shown, in the order of the file.
    pub(super) fn diagnostics(mut self, file: &str, text: &str) -> Vec<Diagnostic> {
        self.faults.sort_by_key(|fault| fault.span.map(|span| (span.line, span.column)));
        // One secret is found by its key and by its form.
        self.faults.dedup_by(|b, a| a.code == code::E0109 && b.code == code::E0109 && a.span == b.span);
        let lines = lines(text);
        let mut shown: Vec<Diagnostic> = self.faults.into_iter().map(|fault| diagnostic(fault, file, &lines)).collect();
        if let Some(last) = shown.last_mut().filter(|_| self.more > 0) {
            last.notes.push(format!("and {} more errors", self.more));
        }
        shown
    }
}

fn unexpected(node: &Node) -> serde::de::Unexpected<'_> {
    use serde::de::Unexpected;
    match &node.value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Unsigned(value) => Unexpected::Unsigned(*value),
        Value::Signed(value) => Unexpected::Signed(*value),
        Value::Float(value) => Unexpected::Float(*value),
        Value::Text(text) => Unexpected::Str(text),
        Value::List(_) => Unexpected::Seq,
        Value::Map(_) => Unexpected::Map,
    }
}

/// The lines as YAML counts them: a lone carriage return ends one, too (YAML 1.2.2, section 5.4).
fn lines(text: &str) -> Vec<&str> {
    let unix = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    unix.flat_map(|line| line.split('\r')).collect()
}

fn diagnostic(fault: Fault, file: &str, lines: &[&str]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(fault.code, fault.title);
    diagnostic.notes = fault.notes;
    diagnostic.next = fault.next;
    if !fault.path.is_empty() {
        diagnostic = diagnostic.key(fault.path);
    }
    let Some(span) = fault.span else { return diagnostic };
    let line = (span.line as usize).checked_sub(1).and_then(|index| lines.get(index));
    // A line with a secret is not repeated where it may end in a public log.
    if let Some(line) = line.filter(|_| fault.code != code::E0109) {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        diagnostic.excerpt = Some(Excerpt { line: line.to_owned(), length: span.length.max(1) as usize });
    }
    diagnostic.at(location(file, span))
}

/// A span's place in the file.
pub(super) fn location(file: &str, span: Span) -> Location {
    Location { file: file.to_owned(), line: span.line, column: span.column }
}
