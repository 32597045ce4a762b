//! Many copies as one: a list of edges, each saying which digest certain tags of a repository are to name. Only what is not so
//! yet is done, so a run that was broken off, and one that went well, are simply run again.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt, future::join_all, stream};
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository, Tag},
};

use crate::ports::{
    copy::{CopyObserver, CopyRequest, CopyTally},
    registry::{Registry, RegistryError, RegistryErrorKind, TagMode},
};

/// Tags asked for at a time. How many requests are really under way is up to the hosts.
const QUESTIONS: usize = 256;
/// Edges that are brought into place at a time.
const COPIES: usize = 8;

/// One digest, and what is to name it where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where the image is.
    pub from: Pinned,
    /// Where it is to be.
    pub to: Repository,
    /// The tags that are to name it there.
    pub tags: Vec<(Tag, TagMode)>,
    /// Whether what refers to it comes along.
    pub referrers: bool,
}

/// What is left to do for one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Todo {
    /// Which edge, from 0.
    pub edge: usize,
    /// Its tags that do not exist.
    pub missing: Vec<(Tag, TagMode)>,
    /// Its tags that name something else, and what.
    pub elsewhere: Vec<(Tag, TagMode, Digest)>,
}

/// What was found before anything was done.
#[derive(Debug, Default)]
pub struct Plan {
    /// Tags that are as they are to be.
    pub in_place: u64,
    /// What is not.
    pub todo: Vec<Todo>,
    /// How many tags were asked for by themselves. Those that no list has are not.
    pub asked: u64,
    /// How many lists of tags were read.
    pub lists: u64,
    /// What nobody knows whether it is as it is to be.
    pub failed: Vec<Failed>,
}

/// Why a tag is not as it is to be.
#[derive(Debug)]
pub struct Failed {
    /// Which edge, from 0.
    pub edge: usize,
    /// The tags of it that are not in place.
    pub tags: Vec<Tag>,
    /// Why.
    pub error: RegistryError,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Tags that were written.
    pub written: u64,
    /// What the copies took.
    pub tally: CopyTally,
    /// What is still not as it is to be.
    pub failed: Vec<Failed>,
}

impl Plan {
    /// How many tags are to be written.
    pub fn to_write(&self) -> u64 {
        self.todo.iter().map(|todo| (todo.missing.len() + todo.elsewhere.len()) as u64).sum()
    }
}

/// Finds out what is left to do: one list for each repository tells which tags are missing, one question for each tag that
/// exists what it names. Nothing is written. Where a registry does not say, the edges that it concerns have failed, and no others.
pub async fn plan(registry: &dyn Registry, edges: &[Edge]) -> Plan {
    let lists = lists(registry, edges).await;
    let mut plan = Plan { lists: lists.len() as u64, ..Plan::default() };
    let mut todo: BTreeMap<usize, Todo> = BTreeMap::new();
    let mut questions = Vec::new();
    for (index, edge) in edges.iter().enumerate() {
        let list = match lists.get(&edge.to) {
            Some(Ok(list)) => list,
            Some(Err(error)) => {
                let tags = edge.tags.iter().map(|(tag, _)| tag.clone()).collect();
                plan.failed.push(Failed { edge: index, tags, error: again(error) });
                continue;
            }
            None => continue,
        };
        for (tag, mode) in &edge.tags {
            match list.contains(tag) {
                true => questions.push((index, edge, tag, *mode)),
                false => of(&mut todo, index).missing.push((tag.clone(), *mode)),
            }
        }
    }
    plan.asked = questions.len() as u64;
    let questions: Vec<_> = questions
        .into_iter()
        .map(|(index, edge, tag, mode)| async move {
            (index, edge.from.digest, tag, mode, registry.resolve(&edge.to, tag).await)
        })
        .collect();
    let mut answers = stream::iter(questions).buffered(QUESTIONS);
    while let Some((index, wanted, tag, mode, named)) = answers.next().await {
        match named {
            Ok(Some(digest)) if digest == wanted => plan.in_place += 1,
            Ok(Some(other)) => of(&mut todo, index).elsewhere.push((tag.clone(), mode, other)),
            Ok(None) => of(&mut todo, index).missing.push((tag.clone(), mode)),
            Err(error) => plan.failed.push(Failed { edge: index, tags: vec![tag.clone()], error }),
        }
    }
    plan.todo = todo.into_values().collect();
    plan
}

/// The tags of each destination repository, or why they are not known.
async fn lists<'a>(
    registry: &dyn Registry,
    edges: &'a [Edge],
) -> HashMap<&'a Repository, Result<HashSet<Tag>, RegistryError>> {
    let repositories: HashSet<&Repository> = edges.iter().map(|edge| &edge.to).collect();
    let lists = repositories.into_iter().map(|repository| async move {
        let tags = registry.tags(repository).await;
        (repository, tags.map(|tags| tags.into_iter().collect()))
    });
    join_all(lists).await.into_iter().collect()
}

/// The same error for one more edge.
fn again(error: &RegistryError) -> RegistryError {
    RegistryError { kind: error.kind, message: error.message.clone() }
}

fn of(todo: &mut BTreeMap<usize, Todo>, edge: usize) -> &mut Todo {
    todo.entry(edge).or_insert_with(|| Todo { edge, missing: Vec::new(), elsewhere: Vec::new() })
}

/// Does what is left to do. An edge that fails keeps no other from its place.
pub async fn run(registry: &dyn Registry, edges: &[Edge], plan: Plan, observer: &dyn CopyObserver) -> Summary {
    let works: Vec<_> = plan
        .todo
        .into_iter()
        .filter_map(|todo| edges.get(todo.edge).map(|edge| bring(registry, edge, todo, observer)))
        .collect();
    let mut works = stream::iter(works).buffer_unordered(COPIES);
    let mut summary = Summary { failed: plan.failed, ..Summary::default() };
    while let Some(done) = works.next().await {
        summary.written += done.written;
        summary.tally += done.tally;
        summary.failed.extend(done.failed);
    }
    summary.failed.sort_by_key(|failed| failed.edge);
    summary
}

/// Brings one edge into place: the image once, under the first tag that is to be written, then the other tags.
async fn bring(registry: &dyn Registry, edge: &Edge, todo: Todo, observer: &dyn CopyObserver) -> Summary {
    let mut summary = Summary::default();
    let mut tags: Vec<(Tag, TagMode)> = todo.missing;
    for (tag, mode, named) in todo.elsewhere {
        match mode {
            TagMode::Moving => tags.push((tag, mode)),
            TagMode::Immutable => {
                let why = format!("{}:{tag} is immutable and names {named}, not {}", edge.to, edge.from.digest);
                let error = RegistryError { kind: RegistryErrorKind::TagTaken, message: why };
                summary.failed.push(Failed { edge: todo.edge, tags: vec![tag], error });
            }
        }
    }
    let mut rest = tags.into_iter();
    let Some((first, mode)) = rest.next() else { return summary };
    let mut request = CopyRequest::pinned(&edge.from, &edge.to);
    request.referrers = edge.referrers;
    // A copy writes a tag whatever it names. One that must not move is written by itself, which looks first.
    let written_along = (mode == TagMode::Moving).then(|| first.clone());
    match registry.copy(&request.tagged(written_along.clone()), observer).await {
        Ok(copied) => summary.tally += copied.tally,
        Err(error) => {
            let tags = std::iter::once(first).chain(rest.map(|(tag, _)| tag)).collect();
            summary.failed.push(Failed { edge: todo.edge, tags, error });
            return summary;
        }
    }
    summary.written += u64::from(written_along.is_some());
    let by_itself = (written_along.is_none()).then_some((first, mode));
    for (tag, mode) in by_itself.into_iter().chain(rest) {
        match registry.tag(&edge.to.at(edge.from.digest), &tag, mode).await {
            Ok(()) => summary.written += 1,
            Err(error) => summary.failed.push(Failed { edge: todo.edge, tags: vec![tag], error }),
        }
    }
    summary
}
