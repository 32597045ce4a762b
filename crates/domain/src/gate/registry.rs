//! The one place that turns a list of modules into the configuration type, the catalogue and the evaluation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the catalogue knows of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateInfo {
    /// Its name in configuration, reports and documentation.
    pub name: &'static str,
    /// Its code in the error catalogue.
    pub code: &'static str,
    /// The version of its judgement. It grows when the same facts may get another answer than before.
    pub version: u32,
    /// One sentence.
    pub summary: &'static str,
    /// The line of configuration that requires it; `None` for a gate that is always required.
    pub require: Option<&'static str>,
}

/// The configuration of a gate that has nothing to configure: the word `required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Required {
    /// The gate is required.
    Required,
}

/// Registers gates. Each name is a module of `gate` with `CODE`, `VERSION`, `SUMMARY` and `judge(&Facts)`, and for those
/// `by_choice` also `Config`, `REQUIRE`, `judge(&Config, &Facts)` and `asks(&Config)`, which says what is to be gathered for it.
macro_rules! gates {
    (
        $(#[$_a:meta])* always { $($always:ident),* $(,)? }
        $(#[$_b:meta])* by_choice { $($choice:ident),* $(,)? }
    ) => {
        $(mod $always;)*
        $(mod $choice;)*

        /// The gates that an environment requires beyond those that always are.
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Gates {
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                #[schemars(description = $choice::SUMMARY)]
                #[allow(missing_docs, reason = "each gate documents itself in its SUMMARY")]
                pub $choice: Option<$choice::Config>,
            )*
        }

        /// Every gate there is.
        pub const ALL: &[GateInfo] = &[
            $(GateInfo { name: stringify!($always), code: $always::CODE, version: $always::VERSION, summary: $always::SUMMARY, require: None },)*
            $(GateInfo {
                name: stringify!($choice), code: $choice::CODE, version: $choice::VERSION, summary: $choice::SUMMARY, require: Some($choice::REQUIRE),
            },)*
        ];

        impl Gates {
            /// Judges every required gate, in the order of registration.
            pub fn judge(&self, facts: &Facts) -> Vec<Judged> {
                let mut judged = vec![$(Judged::new(stringify!($always), $always::CODE, $always::VERSION, $always::judge(facts))),*];
                $(if let Some(config) = &self.$choice {
                    judged.push(Judged::new(stringify!($choice), $choice::CODE, $choice::VERSION, $choice::judge(config, facts)));
                })*
                judged
            }

            /// What the required gates want to be gathered.
            pub fn asks(&self) -> Asks<'_> {
                let mut asks = Asks::nothing();
                $(if let Some(config) = &self.$choice {
                    asks = asks.and($choice::asks(config));
                })*
                asks
            }

            /// The gates that are not required here.
            pub fn not_required(&self) -> Vec<&'static GateInfo> {
                let mut required: Vec<&str> = vec![$(stringify!($always)),*];
                $(if self.$choice.is_some() { required.push(stringify!($choice)); })*
                ALL.iter().filter(|gate| !required.contains(&gate.name)).collect()
            }
        }
    };
}

pub(super) use gates;
