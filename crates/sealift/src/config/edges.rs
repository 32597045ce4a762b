//! A file of edges: which digest which tags are to name, for many repositories at once.
//!
//! ```yaml
//! edges:
//!   - {from: "ghcr.io/acme/web@sha256:…", to: registry.example/web, tags: [main, {immutable: v1.2}]}
//! ```

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::{edges::Edge, ports::registry::TagMode};
use serde::Deserialize;

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
    node,
};
use crate::diagnostic::Diagnostic;

/// The largest file that is read, in bytes: some hundred thousand edges.
const MAX_BYTES: usize = 64 << 20;
/// The keys of the file.
const KEYS: &[&str] = &["edges"];

/// An edge as it stands in the file.
#[derive(Deserialize)]
struct Line {
    from: Pinned,
    to: Repository,
    tags: Vec<Name>,
    #[serde(default = "yes")]
    referrers: bool,
}

fn yes() -> bool {
    true
}

/// A tag as it stands in the file: one that may move is written by itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Moving(Tag),
    Immutable(Immutable),
}

/// A tag that must not move.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Immutable {
    immutable: Tag,
}

impl Name {
    fn split(self) -> (Tag, TagMode) {
        match self {
            Self::Moving(tag) => (tag, TagMode::Moving),
            Self::Immutable(Immutable { immutable }) => (immutable, TagMode::Immutable),
        }
    }
}

/// Reads a file of edges; `path` is what the file is called in errors.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file: E0102 to E0104.
pub fn parse_edges(text: &str, path: &str) -> Result<Vec<Edge>, Vec<Diagnostic>> {
    let mut reader = Reader::new(Path::new(""));
    let edges = read(&mut reader, text).unwrap_or_default();
    match reader.is_content() {
        true => Ok(edges),
        false => Err(reader.diagnostics(path, text)),
    }
}

fn read(reader: &mut Reader, text: &str) -> Option<Vec<Edge>> {
    if text.len() > MAX_BYTES {
        reader.push(Fault::wrong(format!("the file has {} bytes, at most {MAX_BYTES} are read", text.len())));
        return None;
    }
    let root = reader.keep(node::parse(text))?;
    let at = Cursor::root(&root);
    reader.refuse_duplicates(&at);
    if !reader.mapping(&at, KEYS) {
        return None;
    }
    let list = reader.needed(&at, "edges")?;
    let mut named: HashMap<(Repository, Tag), Digest> = HashMap::new();
    let mut edges = Vec::new();
    for item in reader.list(&list) {
        let Some(line) = reader.decode::<Line>(&item) else { continue };
        let Line { from, to, tags, referrers } = line;
        if tags.is_empty() {
            reader.push(item.fault("an edge names at least one tag"));
        }
        let mut tags: Vec<(Tag, TagMode)> = tags.into_iter().map(Name::split).collect();
        let mut seen = HashSet::new();
        for (tag, _) in &tags {
            let before = named.insert((to.clone(), tag.clone()), from.digest);
            if before.is_some_and(|before| before != from.digest) {
                reader.push(item.fault(format!("{to}:{tag} is to name two digests in this file")));
            }
        }
        // What is asked for twice is done once; one that must not move is the stricter wish.
        tags.sort_by_key(|(_, mode)| *mode == TagMode::Moving);
        tags.retain(|(tag, _)| seen.insert(tag.clone()));
        edges.push(Edge { from, to, tags, referrers });
    }
    Some(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn an_edge_is_a_digest_a_repository_and_tags() {
        let text = format!(
            "edges:\n  - {{from: 'r.example/a@{A}', to: r.example/b, tags: [main, {{immutable: v1}}]}}\n  - from: r.example/a@{B}\n    \
             to: r.example/c\n    tags: [x]\n    referrers: false\n"
        );
        let edges = parse_edges(&text, "edges.yaml").unwrap();
        assert_eq!(edges.len(), 2);
        let modes: Vec<(&str, TagMode)> = edges[0].tags.iter().map(|(tag, mode)| (tag.as_str(), *mode)).collect();
        assert_eq!(modes, [("v1", TagMode::Immutable), ("main", TagMode::Moving)]);
        assert_eq!((edges[0].referrers, edges[1].referrers), (true, false));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let edge = |from: &str, rest: &str| format!("edges:\n  - {{from: '{from}', to: r.example/b, {rest}}}\n");
        let pinned = format!("r.example/a@{A}");
        for (text, line, says) in [
            (String::new(), None, "empty"),
            ("edges: 1\n".to_owned(), Some(1), "a list"),
            ("edgse: []\n".to_owned(), Some(1), "edgse"),
            (edge("r.example/a:v1", "tags: [x]"), Some(2), "has no digest"),
            (edge(&pinned, "tags: []"), Some(2), "at least one tag"),
            (edge(&pinned, "tags: [x], tgas: [y]"), Some(2), "unknown key `tgas`"),
            (edge(&pinned, "tag: x"), Some(2), "unknown key `tag`"),
            (edge(&pinned, "tags: ['a b']"), Some(2), "none of the forms"),
            (
                format!("{}  - {{from: 'r.example/a@{B}', to: r.example/b, tags: [x]}}\n", edge(&pinned, "tags: [x]")),
                Some(3),
                "two digests",
            ),
        ] {
            let wrong = parse_edges(&text, "edges.yaml").unwrap_err();
            let shown: Vec<String> = wrong.iter().map(|d| format!("{} {:?}", d.title, d.at)).collect();
            let found = wrong.iter().find(|d| d.title.contains(says));
            let found = found.unwrap_or_else(|| panic!("{text}: {shown:?}"));
            assert_eq!(found.at.as_ref().map(|at| at.line), line, "{text}");
        }
    }
}
