//! `store`: where the log is. In a file of this machine, or on a branch of a git repository.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use sealift_domain::reference::Repository;

use super::{
    decode::{Cursor, Reader},
    node::{Node, Value},
};

/// Where the log is, unless `store` says otherwise.
const USUAL: &str = ".sealift/log.sqlite";
/// The directory of what belongs to this machine where the log is elsewhere.
const STATE: &str = ".sealift";
/// What a file is named behind.
const SQLITE: &str = "sqlite:";
/// What a branch is named behind.
const GIT: &str = "git+";
/// The keys of the long form.
pub(super) const KEYS: &[&str] = &["url", "key", "large_objects"];

/// Where the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file, relative to the directory of the configuration.
    Sqlite(PathBuf),
    /// A branch.
    Git(GitStore),
}

/// A log on a branch of a git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitStore {
    /// `git+<url>#<branch>`.
    pub url: String,
    /// The public key of the log, for those who have no private one.
    pub key: Option<String>,
    /// Where bodies lie that are too large for the branch.
    pub large_objects: Option<Repository>,
}

impl Store {
    /// A store by its short form.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix(SQLITE) {
            return (!path.trim().is_empty()).then(|| Self::Sqlite(path.into()));
        }
        let (url, branch) = text.strip_prefix(GIT)?.rsplit_once('#')?;
        let git = GitStore { url: text.to_owned(), key: None, large_objects: None };
        (!url.is_empty() && !branch.is_empty()).then_some(Self::Git(git))
    }

    /// The same in its short form.
    pub fn short(&self) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(path.clone()),
            Self::Git(git) => Self::Git(GitStore { url: git.url.clone(), key: None, large_objects: None }),
        }
    }

    /// How sealift.yaml names it; a branch with the public key of its log.
    pub fn with_key(&self, key: &str) -> String {
        match self {
            Self::Sqlite(path) => format!("{SQLITE}{}", path.display()),
            Self::Git(git) => format!("{{url: \"{}\", key: \"{key}\"}}", git.url),
        }
    }

    /// The directory for what belongs to this machine, such as keys, relative to that of the configuration.
    pub fn state(&self) -> &Path {
        match self {
            Self::Sqlite(path) => path.parent().unwrap_or(Path::new("")),
            Self::Git(_) => Path::new(STATE),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::Sqlite(USUAL.into())
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Git(git) => f.write_str(&git.url),
        }
    }
}

/// Reads the value, in its short or its long form.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> Option<Store> {
    if let Value::Map(_) = at.node.value {
        return long(reader, at).map(Store::Git);
    }
    let text: String = reader.decode(at)?;
    if text.starts_with(GIT) {
        let url = branch(reader, at, text)?;
        return Some(Store::Git(GitStore { url, key: None, large_objects: None }));
    }
    let store = Store::parse(&text);
    if store.is_none() {
        let fault = at.fault(format!("`store` is `{SQLITE}` and a file, for instance `{SQLITE}{USUAL}`"));
        reader.push(fault.next("or a branch of a git repository: `git+https://github.com/acme/web.git#sealift`"));
    }
    store
}

fn long(reader: &mut Reader, at: &Cursor<'_>) -> Option<GitStore> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let url: String = reader.required(at, "url")?;
    let url = branch(reader, &at.get("url")?, url)?;
    let large_objects = reader.optional(at, "large_objects");
    let key: Option<String> = reader.optional(at, "key");
    if let (Some(text), Some(at)) = (&key, at.get("key")) {
        let parsed = text.trim().parse::<sealift_store::key::VerifierKey>();
        reader.keep(parsed.map_err(|why| at.fault(why.to_string())))?;
    }
    Some(GitStore { url, key: key.map(|text| text.trim().to_owned()), large_objects })
}

/// `git+<url>#<branch>`, if it is that.
fn branch(reader: &mut Reader, at: &Cursor<'_>, text: String) -> Option<String> {
    let fault = |why: sealift_store::git::RemoteError| {
        at.fault(why.to_string()).next("for instance `git+https://github.com/acme/web.git#sealift`")
    };
    reader.keep(text.parse::<sealift_store::git::Remote>().map_err(fault))?;
    Some(text)
}

/// The store that a file names, whatever else is wrong with the file.
pub(super) fn named(root: &Node) -> Option<Store> {
    match &root.get("store")?.node.value {
        Value::Text(text) => Store::parse(text),
        Value::Map(_) => Some(Store::Git(GitStore { url: String::new(), key: None, large_objects: None })),
        _ => None,
    }
}
