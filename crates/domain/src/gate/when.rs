//! Further conditions, as expressions in CEL (Common Expression Language, cel-spec). They can only deny.

mod condition;
mod variables;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    condition::{Answer, Condition},
    variables::Variables,
};
use super::{Asks, Facts, Finding, words::count};

pub(super) const CODE: &str = "G018";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "Conditions in CEL, each of which must be true. They only deny: nothing else is required less for them.";
pub(super) const REQUIRE: &str = "when: [\"now.weekday < 5\"]";

/// How many conditions an environment may have.
const MAX_CONDITIONS: usize = 16;

/// The conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<Condition>", into = "Vec<Condition>")]
#[schemars(with = "Vec<Condition>", rename = "WhenGate", extend("minItems" = 1, "maxItems" = 16))]
pub struct Config(Vec<Condition>);

impl TryFrom<Vec<Condition>> for Config {
    type Error = &'static str;

    fn try_from(conditions: Vec<Condition>) -> Result<Self, Self::Error> {
        if conditions.is_empty() || conditions.len() > MAX_CONDITIONS {
            return Err("`when` is a list of 1 to 16 conditions");
        }
        Ok(Self(conditions))
    }
}

impl From<Config> for Vec<Condition> {
    fn from(Config(conditions): Config) -> Self {
        conditions
    }
}

pub(super) fn asks(Config(conditions): &Config) -> Asks<'_> {
    Asks { evidence: conditions.iter().any(Condition::asks_for_evidence), ..Asks::nothing() }
}

pub(super) fn judge(Config(conditions): &Config, facts: &Facts) -> Finding {
    let evidence = conditions.iter().any(Condition::asks_for_evidence);
    facts.each_image(|name, image| {
        let variables = match Variables::of(facts, name, image, evidence) {
            Ok(variables) => variables,
            Err(finding) => return finding,
        };
        for (condition, answer) in conditions.iter().zip(condition::evaluate(conditions, &variables)) {
            let remedy = "see what the condition asks for; `when` in docs/gates.md has the names it may use";
            match answer {
                Answer::True => {}
                Answer::False => return Finding::fail(format!("{name}: not so: `{condition}`"), remedy),
                Answer::Neither(why) => {
                    return Finding::error(format!("{name}: `{condition}` has no answer: {why}"), remedy);
                }
            }
        }
        Finding::pass(format!("{name}: {}", count(conditions.len(), "condition"))).with(variables.digests())
    })
}
