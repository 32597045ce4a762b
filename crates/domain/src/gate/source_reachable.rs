//! The source commit is on a branch that releases are made from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Asks, ComponentFacts, Fact, Facts, Finding, SourceFacts,
    believed::resting_on,
    repository::same_repository,
    words::{first_few, matches, shown},
};
use crate::{image::Image, name::ComponentName};

pub(super) const CODE: &str = "G017";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "The branches of the source repository of which one must contain the commit of the build record.";
pub(super) const REQUIRE: &str = "source_reachable: {branches: [main]}";

/// Where the commit must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written", rename = "SourceReachableGate")]
pub struct Config(Written);

/// The gate as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Branches of which one must contain the commit; with `*` at the end all that begin so, for instance `release/*`.
    #[schemars(length(min = 1, max = 16))]
    branches: Vec<String>,
}

/// How many branches may be named. Each may cost a request.
const MAX_BRANCHES: usize = 16;

impl TryFrom<Written> for Config {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let branches = &written.branches;
        if branches.is_empty() || branches.len() > MAX_BRANCHES {
            return Err("`branches` names 1 to 16 branches");
        }
        // gitrevisions(7) and git-check-ref-format(1): none of these is in the name of a branch.
        let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?[\\".contains(c);
        let wrong = |branch: &String| {
            let name = branch.strip_suffix('*').unwrap_or(branch);
            branch.is_empty()
                || name.starts_with('-')
                || name.contains('*')
                || name.contains("..")
                || name.contains(bad)
        };
        if branches.iter().any(wrong) {
            return Err("a branch is its name, such as `main`, or the beginning of names, such as `release/*`");
        }
        Ok(Self(written))
    }
}

impl From<Config> for Written {
    fn from(Config(written): Config) -> Self {
        written
    }
}

const SOURCE_LABEL: &str = "org.opencontainers.image.source";

pub(super) fn asks(Config(config): &Config) -> Asks<'_> {
    Asks { branches: config.branches.iter().map(String::as_str).collect(), ..Asks::nothing() }
}

pub(super) fn judge(Config(config): &Config, facts: &Facts) -> Finding {
    if let Some(admitted) = facts.was_admitted() {
        return admitted;
    }
    facts.each_image(|name, image| match facts.components.get(name) {
        Some(component) => reachable(config, name, component, image).unwrap_or_else(|finding| finding),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

fn reachable(
    config: &Written,
    name: &ComponentName,
    component: &ComponentFacts,
    image: &Image,
) -> Result<Finding, Finding> {
    let record = "record the build with its commit: `sealift record build IMAGE --commit COMMIT`";
    let Some(commit) = component.recorded_commit(name)? else {
        return Err(Finding::fail(format!("no commit is on record for {name}"), record));
    };
    let source = match &component.source {
        Some(Fact::Known(source)) => source,
        Some(Fact::Missing) => {
            let reason = format!("the commit of {name}, {}, is not in the source repository", shown(commit));
            return Err(Finding::fail(reason, "push the commit, or build what was pushed"));
        }
        Some(Fact::Unreadable(why)) => {
            let reason = format!("the source repository of {name} cannot be read: {}", shown(why));
            return Err(Finding::error(reason, "check `source` and the access to it, then run the command again"));
        }
        None => {
            return Err(Finding::error(format!("the source of {name} was not looked for"), "run the command again"));
        }
    };
    of_this_release(source, commit, name, image)?;
    let on = source.branches.iter().find(|branch| config.branches.iter().any(|wanted| matches(wanted, branch)));
    match on {
        Some(branch) => {
            let found = format!("{name}: commit {} is on {}", shown(commit.get(..7).unwrap_or(commit)), shown(branch));
            Ok(resting_on(Finding::pass(found), component.build_receipt()))
        }
        None => {
            let branches = first_few(config.branches.iter().cloned());
            let reason = format!("the commit of {name}, {}, is not on {branches}", shown(commit));
            Err(Finding::fail(reason, "merge it, then promote a build of what was merged"))
        }
    }
}

/// An answer about another commit or another repository says nothing of this release.
fn of_this_release(source: &SourceFacts, commit: &str, name: &ComponentName, image: &Image) -> Result<(), Finding> {
    if !source.commit.eq_ignore_ascii_case(commit) {
        let reason =
            format!("commit {} was looked for, and {name} was built from {}", shown(&source.commit), shown(commit));
        return Err(Finding::error(reason, "record builds with the whole commit id, then run the command again"));
    }
    let labels = image.platforms.iter().filter_map(|platform| platform.labels.get(SOURCE_LABEL));
    match labels.into_iter().find(|said| !same_repository(said, &source.repository)) {
        Some(said) => Err(Finding::error(
            format!(
                "{} was asked, and {name} says by its labels that it is from {}",
                shown(&source.repository),
                shown(said)
            ),
            "set `source` in the configuration to the repository that the image is built from",
        )),
        None => Ok(()),
    }
}
