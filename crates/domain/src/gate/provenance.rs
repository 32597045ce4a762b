//! It is proven from which source the image was built, and by whom.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Asks, ComponentFacts, Facts, Finding,
    believed::{PROVENANCE, Piece, Proof, believed, resting_on},
    repository::same_repository,
    words::{matches, shown},
};
use crate::{
    evidence::{Certificate, Provenance, Signer, Trust},
    image::Image,
    name::ComponentName,
};

pub(super) const CODE: &str = "G014";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "From which commit the image was built, by SLSA provenance of whom `by` names, and if asked from which source and by whom.";
pub(super) const REQUIRE: &str = "provenance: {by: {key: builder.pub}}";

/// What must be proven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written", rename = "ProvenanceGate")]
pub struct Config(Written);

/// The gate as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Whose signature counts. Without it, only what was handed in to the log does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Trust>,
    /// Who must have built it: the builder's id, whole or its beginning with `*` at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    builder: Option<String>,
    /// The source repository it must have been built from, for instance `https://github.com/acme/web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Whether the image's own labels do where there is no provenance.
    #[serde(default, skip_serializing_if = "Labels::is_refused")]
    labels: Labels,
}

/// Whether labels do where there is no provenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Labels {
    /// They do not.
    #[default]
    Refused,
    /// They do: the builder's own word, which proves nothing.
    Allowed,
}

impl Labels {
    fn is_refused(&self) -> bool {
        *self == Self::Refused
    }
}

impl TryFrom<Written> for Config {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        if written.builder.as_deref().is_some_and(|builder| builder.trim_end_matches('*').is_empty()) {
            return Err("`builder` must say who: not everybody builds");
        }
        if written.source.as_deref().is_some_and(|source| source.trim().is_empty()) {
            return Err("`source` must name a repository");
        }
        if written.labels == Labels::Allowed && written.builder.is_some() {
            return Err("labels say nothing of the builder: with `labels: allowed` leave `builder` out");
        }
        Ok(Self(written))
    }
}

impl From<Config> for Written {
    fn from(Config(written): Config) -> Self {
        written
    }
}

const REMEDY: &str = "let the build attest it: `actions/attest-build-provenance` on GitHub, or \
     `cosign attest --type slsaprovenance1 --predicate provenance.json --key cosign.key REPOSITORY@DIGEST`";
const SOURCE_LABEL: &str = "org.opencontainers.image.source";
const REVISION_LABEL: &str = "org.opencontainers.image.revision";

pub(super) fn asks(Config(config): &Config) -> Asks<'_> {
    Asks::evidence(&config.by)
}

pub(super) fn judge(Config(config): &Config, facts: &Facts) -> Finding {
    facts.each_image(|name, image| match facts.components.get(name) {
        Some(component) => proven(config, name, component, image).unwrap_or_else(|finding| finding),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

fn proven(
    config: &Written,
    name: &ComponentName,
    component: &ComponentFacts,
    image: &Image,
) -> Result<Finding, Finding> {
    let by = config.by.as_ref();
    let believed = believed(&PROVENANCE, by, name, component, image)?;
    let recorded = component.recorded_commit(name)?;
    if believed.pieces().is_empty() && config.labels == Labels::Allowed {
        let finding = labelled(config.source.as_deref(), recorded, name, image)?;
        return Ok(resting_on(finding, component.build_receipt()));
    }
    // A build makes one statement about the index, or one about each platform; whatever is about it must be right.
    let groups: Vec<Vec<&Piece<'_, Provenance>>> = match believed.of_whole() {
        whole if !whole.is_empty() => vec![whole],
        _ => believed.of_each_platform(by, REMEDY)?.into_iter().map(|(_, pieces)| pieces).collect(),
    };
    let about: Vec<&Piece<'_, Provenance>> = match image.platforms.is_empty() {
        true => groups.iter().flatten().copied().collect(),
        false => image.platforms.iter().flat_map(|p| believed.of(p)).chain(groups.iter().flatten().copied()).collect(),
    };
    one_source(name, &about)?;
    one_builder(config.builder.as_deref(), name, &about)?;
    let commit = one_commit(name, &about)?;
    for group in &groups {
        right_one(config, name, group)?;
    }
    if let Some(recorded) = recorded.filter(|recorded| !recorded.eq_ignore_ascii_case(&commit)) {
        let reason = format!(
            "{name} is proven to be built from commit {}, and its build record says {}",
            shown(&commit),
            shown(recorded)
        );
        return Err(Finding::fail(
            reason,
            "find out which is right; a wrong record is replaced by promoting a new build",
        ));
    }
    let how = groups.first().and_then(|group| group.first()).map(|piece| how(piece)).unwrap_or_default();
    let digests = about.iter().flat_map(|piece| piece.digests()).chain(component.build_receipt());
    Ok(resting_on(Finding::pass(format!("{name}: commit {} {how}", short(&commit))), digests))
}

const DISTRUST: &str = "do not trust this build; find out who made the provenance";

/// The one commit that all that is believed agrees on.
fn one_commit(name: &ComponentName, about: &[&Piece<'_, Provenance>]) -> Result<String, Finding> {
    let mut commits = BTreeSet::new();
    for piece in about {
        let certified = certificate(piece).and_then(|certificate| certificate.commit.as_deref());
        commits.extend(certified.into_iter().chain(piece.claim.commit.as_deref()).map(str::to_ascii_lowercase));
    }
    match commits.len() {
        0 => Err(Finding::fail(
            format!("the provenance of {name} says no commit"),
            "let the builder say from which commit it built",
        )),
        1 => Ok(commits.pop_first().unwrap_or_default()),
        _ => {
            let commits: Vec<&str> = commits.iter().map(|commit| short(commit)).collect();
            Err(Finding::error(
                format!("what is proven of {name} contradicts itself: commits {}", shown(&commits.join(" and "))),
                DISTRUST,
            ))
        }
    }
}

/// Whether all that is believed names one repository: every document the one that its certificate names, and the same as others.
fn one_source(name: &ComponentName, about: &[&Piece<'_, Provenance>]) -> Result<(), Finding> {
    let mut first: Option<&str> = None;
    for piece in about {
        let certified = certificate(piece).and_then(|certificate| certificate.repository.as_deref());
        let said = piece.claim.source.as_deref();
        if let (Some(certified), Some(said)) = (certified, said)
            && !same_repository(certified, said)
        {
            let reason = format!(
                "the provenance of {name} contradicts itself: its certificate says {}, it says {}",
                shown(certified),
                shown(said)
            );
            return Err(Finding::error(reason, DISTRUST));
        }
        match (first, certified.or(said)) {
            (Some(one), Some(other)) if !same_repository(one, other) => {
                let reason = format!(
                    "what is proven of {name} contradicts itself: it was built from {} and from {}",
                    shown(one),
                    shown(other)
                );
                return Err(Finding::error(reason, DISTRUST));
            }
            (None, source) => first = source,
            _ => {}
        }
    }
    Ok(())
}

/// Whether every document that is believed fits the builder that is asked for, in its predicate and in its certificate.
fn one_builder(wanted: Option<&str>, name: &ComponentName, about: &[&Piece<'_, Provenance>]) -> Result<(), Finding> {
    let Some(wanted) = wanted else { return Ok(()) };
    let mut wrong = None;
    let mut right = false;
    for piece in about {
        let certified = certificate(piece).and_then(|certificate| certificate.builder.as_deref());
        let said = piece.claim.builder.as_deref();
        let fits = |builder: &str| matches(wanted, builder);
        // The certificate authority vouches for its workflow; a predicate may name the machines instead, but not claim more.
        if let (Some(certified), Some(said)) = (certified, said)
            && fits(said)
            && !fits(certified)
        {
            let reason = format!(
                "the provenance of {name} contradicts itself: its certificate says it was built by {}, it says {}",
                shown(certified),
                shown(said)
            );
            return Err(Finding::error(reason, DISTRUST));
        }
        match certified.or(said) {
            Some(builder) if fits(builder) => right = true,
            Some(other) => wrong = Some(other),
            None => {}
        }
    }
    match wrong {
        Some(other) if right => {
            let reason = format!(
                "what is proven of {name} contradicts itself: one document says it was built by {}, and another fits {wanted}",
                shown(other)
            );
            Err(Finding::error(reason, DISTRUST))
        }
        _ => Ok(()),
    }
}

/// Whether one of these is by the builder and from the source that are asked for, and says a commit.
fn right_one(config: &Written, name: &ComponentName, group: &[&Piece<'_, Provenance>]) -> Result<(), Finding> {
    let mut why = Ok(());
    for piece in group {
        match wrong(config, piece) {
            None => return Ok(()),
            Some(reason) => why = Err(Finding::fail(format!("{name} {reason}"), REMEDY)),
        }
    }
    why
}

fn wrong(config: &Written, piece: &Piece<'_, Provenance>) -> Option<String> {
    let certificate = certificate(piece);
    let certified = |of: fn(&Certificate) -> Option<&str>| certificate.and_then(of);
    if let Some(wanted) = &config.builder {
        let said = certified(|c| c.builder.as_deref()).or(piece.claim.builder.as_deref());
        if !said.is_some_and(|builder| matches(wanted, builder)) {
            let who = said.map_or_else(|| "nobody who is named".to_owned(), shown);
            return Some(format!("was built by {who}, not by {wanted}"));
        }
    }
    if let Some(wanted) = &config.source {
        match certified(|c| c.repository.as_deref()).or(piece.claim.source.as_deref()) {
            Some(source) if same_repository(source, wanted) => {}
            Some(source) => return Some(format!("was built from {}, not from {wanted}", shown(source))),
            None => return Some(format!("has a provenance that names no source, and {wanted} is asked for")),
        }
    }
    let commit = certified(|c| c.commit.as_deref()).or(piece.claim.commit.as_deref());
    commit.is_none().then(|| "has a provenance that says no commit".to_owned())
}

fn certificate<'a>(piece: &Piece<'a, Provenance>) -> Option<&'a Certificate> {
    match piece.proof {
        Proof::Signed(Signer::Certificate(certificate)) => Some(certificate),
        _ => None,
    }
}

/// By what the commit is proven.
fn how(piece: &Piece<'_, Provenance>) -> String {
    match certificate(piece) {
        Some(certificate) if certificate.commit.is_some() => {
            format!("by certificate of {}", shown(&certificate.identity))
        }
        _ => format!("by predicate, {}", piece.proof),
    }
}

/// The weaker form: every platform's labels say the source and one commit.
fn labelled(
    source: Option<&str>,
    recorded: Option<&str>,
    name: &ComponentName,
    image: &Image,
) -> Result<Finding, Finding> {
    let remedy = "build with `--label org.opencontainers.image.source=https://… --label org.opencontainers.image.revision=$(git rev-parse HEAD)`, \
         or let the build attest its provenance";
    let fail = |reason: String| Finding::fail(format!("{name} has no provenance that counts, and {reason}"), remedy);
    let mut commits = BTreeSet::new();
    for platform in &image.platforms {
        let label = |key: &str| platform.labels.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let (Some(said), Some(revision)) = (label(SOURCE_LABEL), label(REVISION_LABEL)) else {
            return Err(fail(format!("the labels for {} do not say source and revision", platform.platform)));
        };
        if source.is_some_and(|source| !same_repository(said, source)) {
            return Err(fail(format!(
                "the labels for {} say it is from {}, not from {}",
                platform.platform,
                shown(said),
                source.unwrap_or_default()
            )));
        }
        commits.insert(revision);
    }
    let mut commits = commits.into_iter();
    match (commits.next(), commits.next()) {
        (None, _) => {
            Err(Finding::error(format!("the index of {name} has no platform"), "build the image for a platform"))
        }
        (Some(commit), None) if recorded.is_none_or(|recorded| recorded.eq_ignore_ascii_case(commit)) => {
            Ok(Finding::pass(format!("{name}: commit {} only by the image's own labels", shown(short(commit)))))
        }
        (Some(commit), None) => {
            Err(fail(format!("the labels say commit {}, which is not that of the build record", shown(commit))))
        }
        (Some(_), Some(_)) => Err(fail("the labels of its platforms say different commits".to_owned())),
    }
}

/// As much of a commit as people read.
fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
