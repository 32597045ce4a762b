//! The drivers: what `deploy` may hold. A driver is registered by one line in the table.

use schemars::JsonSchema;
use serde::Deserialize;

/// Registers drivers: the variant, and the type of its settings, which has `validate(&self) -> Result<(), String>`.
macro_rules! drivers {
    ($($(#[$doc:meta])* $driver:ident($config:ty)),* $(,)?) => {
        /// How releases are made live: one driver and its settings.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Deploy {
            $($(#[$doc])* $driver($config),)*
        }

        impl Deploy {
            /// Says what is wrong with the settings, in the words of the configuration.
            pub(super) fn validate(&self) -> Result<(), String> {
                match self {
                    $(Self::$driver(config) => config.validate(),)*
                }
            }
        }
    };
}

drivers! {
    /// Unpacks the image and runs it as processes of this machine, taking turns on two ports.
    Process(process::Config),
}

/// The settings of the driver `process`, with the names and forms of `sealift_drivers::process::Config`, which takes
/// the place of this module once that crate has it.
pub mod process {
    use std::{collections::BTreeMap, path::PathBuf};

    use schemars::JsonSchema;
    use sealift_domain::quantity::Period;
    use serde::Deserialize;

    /// Where the driver finds and keeps things, how the service is started, and when it is taken for healthy.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// The address of the environment: a port, which means that port on 127.0.0.1, or `address:port`.
        pub listen: String,
        /// Two ports of 127.0.0.1 on which releases take turns.
        pub ports: [u16; 2],
        /// The directory for images, logs and the agent's journal.
        pub state: PathBuf,
        /// Environment variables of the service, on top of those of the image.
        #[serde(default)]
        pub env: BTreeMap<String, String>,
        /// Names of environment variables of the caller that are handed to the service.
        #[serde(default)]
        pub env_from: Vec<String>,
        /// Program and arguments, instead of the image's entrypoint and command.
        #[serde(default)]
        pub command: Option<Vec<String>>,
        /// The path to GET to see whether a release is up.
        #[serde(default)]
        pub health: Option<String>,
        /// How long a release may take until it first answers well.
        #[serde(default)]
        pub start_within: Option<Period>,
        /// How long it must then go on answering well before it may become live.
        #[serde(default)]
        pub stable_for: Option<Period>,
        /// How long a stopped service may take to end after SIGTERM, before SIGKILL.
        #[serde(default)]
        pub grace: Option<Period>,
        /// How long requests that are under way may take to end before a service is stopped.
        #[serde(default)]
        pub drain: Option<Period>,
    }

    impl Config {
        /// Says what is wrong with the values, in the words of the configuration.
        pub fn validate(&self) -> Result<(), String> {
            let [a, b] = self.ports;
            if a == b || a == 0 || b == 0 {
                return Err(format!("`ports` needs two different ports, not {a} and {b}"));
            }
            Ok(())
        }
    }
}
