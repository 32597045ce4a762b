//! Where the images of a release are, and where they go: read from the policy, for promotions and rollbacks alike.

use std::collections::BTreeMap;

use sealift_domain::{
    ledger::Ledger,
    name::{ComponentName, EnvironmentName},
    policy::{Environment, Policy},
    promotion::{Kind, Promotion},
    record::Build,
    reference::{Pinned, Repository},
    release::Release,
};

use crate::error::EngineError;

/// The policy in force.
pub fn policy(ledger: &Ledger) -> Result<&Policy, EngineError> {
    ledger.policy.as_ref().ok_or(EngineError::NotInitialised)
}

/// What the policy says of an environment.
pub fn environment<'a>(ledger: &'a Ledger, name: &EnvironmentName) -> Result<&'a Environment, EngineError> {
    policy(ledger)?.environments.get(name).ok_or_else(|| EngineError::UnknownEnvironment(name.clone()))
}

/// The images of `release` as they will be in `to`.
pub fn targets(
    ledger: &Ledger,
    release: &Release,
    to: &EnvironmentName,
) -> Result<BTreeMap<ComponentName, Pinned>, EngineError> {
    let environment = environment(ledger, to)?;
    let pin = |(name, digest): (&ComponentName, _)| {
        let repository = environment.components.get(name).ok_or_else(|| {
            EngineError::NotFound(format!("the release has a component `{name}`, and {to} has no image for it"))
        })?;
        Ok((name.clone(), repository.at(digest)))
    };
    release.components().map(pin).collect()
}

/// The images of a promotion as they are where they come from: in the environment before, for the first environment where
/// they were built, for a rollback where they were when they were live.
pub fn sources(ledger: &Ledger, promotion: &Promotion) -> Result<BTreeMap<ComponentName, Pinned>, EngineError> {
    let targets = targets(ledger, &promotion.release, &promotion.to)?;
    if promotion.kind == Kind::Rollback {
        return Ok(targets);
    }
    sources_of(ledger, promotion.from.as_ref(), &targets)
}

/// The images `targets` as they are where they come from: in the environment before, or else where they were built.
pub fn sources_of(
    ledger: &Ledger,
    from: Option<&EnvironmentName>,
    targets: &BTreeMap<ComponentName, Pinned>,
) -> Result<BTreeMap<ComponentName, Pinned>, EngineError> {
    let before = match from {
        Some(from) => Some(environment(ledger, from)?),
        None => None,
    };
    let source = |(name, target): (&ComponentName, &Pinned)| {
        let repository: &Repository = match before {
            Some(environment) => environment.components.get(name).unwrap_or(&target.repository),
            None => ledger.builds.get(&target.digest).map_or(&target.repository, |build| &build.fact.repository),
        };
        (name.clone(), repository.at(target.digest))
    };
    Ok(targets.iter().map(source).collect())
}

/// Where evidence about a promotion's images may be, nearest first: beside the image that would be copied, beside what it was
/// copied from in the environment before, and where it was built. Some is attached after a copy, and wherever it lies it proves
/// the same.
pub fn evidence_at(
    ledger: &Ledger,
    promotion: &Promotion,
) -> Result<BTreeMap<ComponentName, Vec<Pinned>>, EngineError> {
    let sources = sources(ledger, promotion)?;
    let before = match &environment(ledger, &promotion.to)?.from {
        Some(from) => Some(environment(ledger, from)?),
        None => None,
    };
    let places = |(name, source): (ComponentName, Pinned)| {
        let earlier = before.and_then(|environment| environment.components.get(&name));
        let built = ledger.builds.get(&source.digest).map(|build| &build.fact.repository);
        let mut places = vec![source];
        for repository in earlier.into_iter().chain(built) {
            if places.iter().all(|place| place.repository != *repository) {
                places.push(repository.at(places[0].digest));
            }
        }
        (name, places)
    };
    Ok(sources.into_iter().map(places).collect())
}

/// What placeholders in tags and checks stand for: facts of the build of each component.
pub fn placeholders(ledger: &Ledger, release: &Release) -> BTreeMap<ComponentName, BTreeMap<String, String>> {
    let values = |(name, digest): (&ComponentName, sealift_domain::digest::Digest)| {
        let mut values = BTreeMap::from([
            ("digest".to_owned(), digest.to_string()),
            ("digest12".to_owned(), digest.short()),
            ("component".to_owned(), name.to_string()),
        ]);
        if let Some(build) = ledger.builds.get(&digest) {
            values.extend(build_placeholders(&build.fact));
        }
        (name.clone(), values)
    };
    release.components().map(values).collect()
}

fn build_placeholders(build: &Build) -> impl Iterator<Item = (String, String)> {
    let commit7 = build.commit.as_ref().map(|commit| commit.chars().take(7).collect());
    [
        ("commit", build.commit.clone()),
        ("commit7", commit7),
        ("version", build.version.clone()),
        ("run_id", build.run_id.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// A release as people call it: its version if the build has one, else the short digest.
pub fn called(ledger: &Ledger, release: &Release) -> String {
    let mut components = release.components();
    match (components.next(), components.next()) {
        (Some((_, digest)), None) => match ledger.builds.get(&digest).and_then(|b| b.fact.version.clone()) {
            Some(version) => format!("{version} ({})", digest.short()),
            None => digest.short(),
        },
        _ => release.to_string(),
    }
}
