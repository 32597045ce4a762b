//! SLSA provenance: `https://slsa.dev/provenance/v1` and v0.2 (slsa.dev/spec/v1.1/provenance, /v0.2/provenance).
//!
//! Where the source stands is for each build type to say. These are known: GitHub's workflows
//! (`externalParameters.workflow`), BuildKit's remote contexts (`configSource`, moby/buildkit,
//! `docs/attestations/slsa-definitions.md`), `externalParameters.source`, and `invocation.configSource` of v0.2. What
//! BuildKit's client says of a local checkout (`vcs`) counts only where the build had no source of its own; BuildKit
//! does not check it.

use sealift_domain::evidence::{Claim, Provenance};
use serde::Deserialize;

use super::{
    Read,
    either::{IfObject, TextOr},
    read::{Kept, List, Reason, Text, Time, items, keep, moment, said},
};

/// The predicate type of version 1.
pub(super) const V1: &str = "https://slsa.dev/provenance/v1";
/// The predicate type of version 0.2.
pub(super) const V02: &str = "https://slsa.dev/provenance/v0.2";

/// The predicate of version 1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate1<'a> {
    #[serde(borrow)]
    build_definition: Definition<'a>,
    #[serde(borrow)]
    run_details: Run<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition<'a> {
    build_type: Option<Kept>,
    #[serde(borrow)]
    external_parameters: Option<IfObject<Parameters<'a>>>,
    #[serde(borrow)]
    resolved_dependencies: Option<List<Resource<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    workflow: Option<IfObject<Workflow<'a>>>,
    #[serde(borrow)]
    config_source: Option<IfObject<Resource<'a>>>,
    #[serde(borrow)]
    source: Option<TextOr<'a, Resource<'a>>>,
}

#[derive(Deserialize)]
struct Workflow<'a> {
    #[serde(borrow)]
    repository: Option<Text<'a>>,
}

/// A resource descriptor, `configSource` and a material: what all of them have.
#[derive(Default, Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    digest: Option<Digests<'a>>,
}

#[derive(Default, Deserialize)]
struct Digests<'a> {
    #[serde(rename = "gitCommit", borrow)]
    commit: Option<Text<'a>>,
    #[serde(borrow)]
    sha1: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Run<'a> {
    builder: Builder,
    #[serde(borrow)]
    metadata: Option<Metadata1<'a>>,
}

#[derive(Deserialize)]
struct Builder {
    id: Option<Kept>,
}

#[derive(Default, Deserialize)]
struct Metadata1<'a> {
    /// BuildKit writes the second.
    #[serde(rename = "invocationId", alias = "invocationID")]
    run: Option<Kept>,
    #[serde(rename = "finishedOn")]
    finished: Option<Time>,
    #[serde(rename = "buildkit_metadata", borrow)]
    buildkit: Option<IfObject<BuildKit<'a>>>,
}

#[derive(Deserialize)]
struct BuildKit<'a> {
    #[serde(borrow)]
    vcs: Option<IfObject<Checkout<'a>>>,
}

#[derive(Deserialize)]
struct Checkout<'a> {
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    revision: Option<Text<'a>>,
}

/// The predicate of version 0.2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate02<'a> {
    builder: Builder,
    build_type: Option<Kept>,
    #[serde(borrow)]
    invocation: Option<Invocation<'a>>,
    #[serde(borrow)]
    materials: Option<List<Resource<'a>>>,
    #[serde(borrow)]
    metadata: Option<Metadata02<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    #[serde(borrow)]
    config_source: Option<Resource<'a>>,
}

#[derive(Default, Deserialize)]
struct Metadata02<'a> {
    /// BuildKit writes the second.
    #[serde(rename = "buildInvocationId", alias = "buildInvocationID")]
    run: Option<Kept>,
    #[serde(rename = "buildFinishedOn")]
    finished: Option<Time>,
    #[serde(rename = "https://mobyproject.org/buildkit@v1#metadata", borrow)]
    buildkit: Option<IfObject<BuildKit<'a>>>,
}

/// A source repository and a commit in it.
#[derive(Default)]
struct Source {
    repository: Option<String>,
    commit: Option<String>,
}

impl Predicate1<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let Definition { build_type, external_parameters, resolved_dependencies } = self.build_definition;
        let Run { builder, metadata } = self.run_details;
        let metadata = metadata.unwrap_or_default();
        let dependencies = items(resolved_dependencies);
        let parameters = external_parameters.and_then(|parameters| parameters.0).unwrap_or_default();
        let workflow = parameters.workflow.and_then(|workflow| workflow.0?.repository);
        let source = match (workflow, parameters.config_source.and_then(|source| source.0), parameters.source) {
            (Some(repository), ..) => Source::of(&Resource { uri: Some(repository), digest: None }, &dependencies)?,
            (None, Some(resource), _) => Source::of(&resource, &dependencies)?,
            (None, None, Some(TextOr::Object(resource))) => Source::of(&resource, &dependencies)?,
            (None, None, Some(TextOr::Text(uri))) => {
                Source::of(&Resource { uri: Some(uri), digest: None }, &dependencies)?
            }
            (None, None, None) => Source::default(),
        };
        let source = source.or_checkout(metadata.buildkit)?;
        Ok(read(Provenance {
            format: V1.to_owned(),
            builder: said(builder.id),
            build_type: said(build_type),
            source: source.repository,
            commit: source.commit,
            run: said(metadata.run),
            finished_at: moment(metadata.finished),
        }))
    }
}

impl Predicate02<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let metadata = self.metadata.unwrap_or_default();
        let config = self.invocation.and_then(|invocation| invocation.config_source).unwrap_or_default();
        let source = Source::of(&config, &items(self.materials))?.or_checkout(metadata.buildkit)?;
        Ok(read(Provenance {
            format: V02.to_owned(),
            builder: said(self.builder.id),
            build_type: said(self.build_type),
            source: source.repository,
            commit: source.commit,
            run: said(metadata.run),
            finished_at: moment(metadata.finished),
        }))
    }
}

fn read(provenance: Provenance) -> Read {
    Read { claim: Claim::Provenance(provenance), ..Read::default() }
}

impl Source {
    /// The source that `resource` names. Its commit stands in itself, or in the dependency of the same repository,
    /// if all such agree.
    fn of(resource: &Resource<'_>, dependencies: &[Resource<'_>]) -> Result<Self, Reason> {
        let Some(repository) = resource.uri.as_deref().and_then(repository) else {
            return Ok(Self::default());
        };
        let same = |other: &&Resource<'_>| {
            let uri = other.uri.as_deref().and_then(self::repository);
            uri.as_deref() == Some(&*repository) && other.digest.is_some()
        };
        let commit = match resource.commit() {
            Some(commit) => Some(commit),
            None => {
                let mut commits: Vec<_> = dependencies.iter().filter(same).map(Resource::commit).collect();
                commits.dedup();
                if let [commit] = commits.as_slice() { commit.clone() } else { None }
            }
        };
        Ok(Self { repository: Some(keep(&repository)?), commit })
    }

    /// This source, or what BuildKit's client said of its checkout.
    fn or_checkout(self, buildkit: Option<IfObject<BuildKit<'_>>>) -> Result<Self, Reason> {
        let checkout = buildkit.and_then(|buildkit| buildkit.0?.vcs?.0);
        let Some(Checkout { source: Some(source), revision }) = checkout.filter(|_| self.repository.is_none()) else {
            return Ok(self);
        };
        let repository = repository(&source).map(|repository| keep(&repository)).transpose()?;
        Ok(Self { repository, commit: revision.and_then(|revision| commit(&revision)) })
    }
}

impl Resource<'_> {
    fn commit(&self) -> Option<String> {
        let digests = self.digest.as_ref()?;
        commit(digests.commit.as_ref().or(digests.sha1.as_ref())?)
    }
}

/// `text` if it names a commit: a tree with changes (`…-dirty`) and the name of a branch do not.
fn commit(text: &str) -> Option<String> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}

/// The address of a repository without `git+`, without reference and without anybody's password.
fn repository(uri: &str) -> Option<String> {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    let uri = uri.split(['#', '?']).next().filter(|uri| !uri.is_empty() && !uri.starts_with("pkg:"))?;
    let Some((scheme, rest)) = uri.split_once("://") else {
        return Some(uri.to_owned());
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match host.rsplit_once('@') {
        Some((_, host)) if scheme != "ssh" => host,
        Some((user, host)) => return Some(format!("{scheme}://{}@{host}/{}", without(user, ':'), without(path, '@'))),
        None => host,
    };
    Some(format!("{scheme}://{host}/{}", without(path, '@')))
}

fn without(text: &str, from: char) -> &str {
    text.split(from).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_without_reference_and_without_password() {
        for (uri, repository) in [
            ("https://github.com/acme/app", "https://github.com/acme/app"),
            ("git+https://github.com/acme/app@refs/heads/a@b", "https://github.com/acme/app"),
            ("https://github.com/acme/app.git#refs/tags/v1", "https://github.com/acme/app.git"),
            ("https://token:secret@github.com/acme/app.git#main", "https://github.com/acme/app.git"),
            ("git+ssh://git:secret@github.com/acme/app.git@refs/heads/main", "ssh://git@github.com/acme/app.git"),
            ("git@github.com:acme/app.git", "git@github.com:acme/app.git"),
        ] {
            assert_eq!(self::repository(uri).as_deref(), Some(repository), "{uri}");
        }
        assert_eq!(self::repository("pkg:docker/alpine@3.20"), None);
        assert_eq!(self::repository(""), None);
    }

    #[test]
    fn a_commit_is_40_or_64_digits() {
        let sha1 = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(commit(sha1).as_deref(), Some(sha1));
        assert!(commit(&format!("{sha1}0123456789abcdef01234567")).is_some());
        for text in ["", "main", &sha1[1..], &format!("{sha1}-dirty"), &sha1.to_uppercase()] {
            assert_eq!(commit(text), None, "{text}");
        }
    }
}
