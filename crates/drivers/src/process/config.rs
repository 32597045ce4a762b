//! The configuration of the driver, and the definition that is recorded with each release.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sealift_domain::quantity::Period;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Where the driver finds and keeps things, how the service is started, and when it is taken for healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the environment: a port, which means that port on 127.0.0.1, or `address:port`.
    pub listen: Listen,
    /// Two ports of 127.0.0.1 on which releases take turns. The service finds its own in `PORT`.
    pub ports: [u16; 2],
    /// The directory for images, logs and the agent's journal. One environment has one, and shares it with no other.
    pub state: PathBuf,
    /// Environment variables of the service, on top of those of the image.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names of environment variables of the caller that are handed to the service. Their values are never recorded with
    /// the release; they are kept in the state directory, mode 0600, as long as the service runs.
    #[serde(default)]
    pub env_from: Vec<String>,
    /// Program and arguments, instead of the image's entrypoint and command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The path to GET to see whether a release is up: any answer with 2xx or 3xx.
    #[serde(default = "Config::default_health")]
    pub health: String,
    /// How long a release may take until it first answers well.
    #[serde(default = "Config::default_start_within")]
    pub start_within: Period,
    /// How long it must then go on answering well before it may become live.
    #[serde(default)]
    pub stable_for: Period,
    /// How long a stopped service may take to end after SIGTERM, before SIGKILL.
    #[serde(default = "Config::default_grace")]
    pub grace: Period,
    /// How long requests that are under way may take to end before a service is stopped.
    #[serde(default = "Config::default_drain")]
    pub drain: Period,
}

/// The name under which definitions of this driver are recorded.
const DRIVER: &str = "process";
/// The largest recorded definition that is read, in bytes.
const MAX_DEFINITION: usize = 1 << 20;
/// The longest [`Config::start_within`], [`Config::stable_for`], [`Config::grace`] and [`Config::drain`].
const MAX_PERIOD: Period = Period::from_secs(3600);

impl Config {
    fn default_health() -> String {
        "/".to_owned()
    }

    fn default_start_within() -> Period {
        Period::from_secs(30)
    }

    fn default_grace() -> Period {
        Period::from_secs(10)
    }

    fn default_drain() -> Period {
        Period::from_secs(5)
    }

    /// Says what is wrong with the values, in the words of the configuration.
    pub fn validate(&self) -> Result<(), String> {
        let [a, b] = self.ports;
        let front = self.listen.address().port();
        if a == 0 || b == 0 || front == 0 {
            return Err("`listen` and `ports` need port numbers from 1 to 65535".to_owned());
        }
        if a == b || front == a || front == b {
            return Err(format!("`listen` and `ports` need three different ports, not {front}, {a} and {b}"));
        }
        if !self.health.starts_with('/') || self.health.parse::<hyper::http::uri::PathAndQuery>().is_err() {
            return Err(format!("`health` is a path that begins with `/`, not `{}`", self.health));
        }
        if self.command.as_ref().is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
            return Err("`command` names no program".to_owned());
        }
        if let Some(name) = self.env.keys().chain(&self.env_from).find(|name| !is_variable(name)) {
            return Err(format!("`{name}` is not a name of an environment variable"));
        }
        let texts = self.env.values().chain(self.command.iter().flatten());
        if texts.into_iter().any(|text| text.contains('\0')) {
            return Err("`env` and `command` must not hold a NUL character".to_owned());
        }
        let periods = [self.start_within, self.stable_for, self.grace, self.drain];
        if periods.into_iter().any(|period| period > MAX_PERIOD) {
            return Err(format!("`start_within`, `stable_for`, `grace` and `drain` are at most {MAX_PERIOD}"));
        }
        Ok(())
    }

    /// The definition: every setting with its value, defaults too, except where this machine keeps its state. Keys are
    /// sorted and there is no white space, so that equal settings give equal bytes.
    pub(crate) fn definition(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Value::Object(fields) = serde_json::to_value(self)? else { return Ok(Vec::new()) };
        let mut sorted: BTreeMap<String, Value> = fields.into_iter().collect();
        sorted.remove("state");
        sorted.insert("driver".to_owned(), DRIVER.into());
        serde_json::to_vec(&sorted)
    }

    /// Reads a recorded definition back, for the state directory of this machine.
    pub(crate) fn from_definition(definition: &[u8], state: &Path) -> Result<Self, String> {
        if definition.len() > MAX_DEFINITION {
            return Err(format!("the definition has {} bytes, at most {MAX_DEFINITION} are read", definition.len()));
        }
        let mut fields: BTreeMap<String, Value> =
            serde_json::from_slice(definition).map_err(|e| format!("the definition does not parse: {e}"))?;
        match fields.remove("driver") {
            Some(Value::String(driver)) if driver == DRIVER => {}
            other => {
                let other = other.map_or_else(|| "no driver".to_owned(), |driver| format!("the driver {driver}"));
                return Err(format!("the definition is for {other}, not for `{DRIVER}`"));
            }
        }
        let state = state.to_str().ok_or("the state directory is not a UTF-8 path")?;
        fields.insert("state".to_owned(), state.into());
        let config: Self = serde_json::from_value(Value::Object(fields.into_iter().collect()))
            .map_err(|e| format!("the definition does not parse: {e}"))?;
        config.validate()?;
        Ok(config)
    }
}

/// POSIX.1-2017, section 8.1: no `=`; the conventional letters keep typing errors out.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The address of an environment, written `8080`, `127.0.0.1:8080` or `[::1]:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl Listen {
    /// Listens on this address.
    pub const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// The address to listen on.
    pub const fn address(&self) -> SocketAddr {
        self.0
    }

    const fn loopback(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = text.parse().map(Self::loopback).ok();
        let address = || text.parse().map(Self).ok();
        port.or_else(address).ok_or_else(|| {
            format!("`{text}` is not an address to listen on: write a port, or an IP address and a port, for instance 127.0.0.1:8080")
        })
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Port(u16),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Port(port) => Ok(Self::loopback(port)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65535},
            {"type": "string", "pattern": r"^([0-9.]+:|\[[0-9A-Fa-f:.]+\]:)?[0-9]{1,5}$"},
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn three_lines_are_a_configuration() {
        let config = parse(r#"{"listen": 8080, "ports": [18080, 18081], "state": ".sealift/staging"}"#);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((config.health.as_str(), config.start_within), ("/", Period::from_secs(30)));
        assert_eq!(
            (config.grace, config.drain, config.stable_for.as_millis()),
            (Period::from_secs(10), Period::from_secs(5), 0)
        );
        assert!(serde_json::from_str::<Config>(r#"{"listen":1,"ports":[2,3],"state":"s","prots":[]}"#).is_err());
    }

    #[test]
    fn a_definition_is_canonical_and_leaves_machine_and_secrets_out() {
        let text =
            r#"{"listen":"127.0.0.1:8080","ports":[1,2],"state":"/a","env":{"B":"2","A":"1"},"env_from":["TOKEN"]}"#;
        let config = parse(text);
        let definition = config.definition().unwrap();
        insta::assert_snapshot!(String::from_utf8(definition.clone()).unwrap(), @r#"{"drain":"5s","driver":"process","env":{"A":"1","B":"2"},"env_from":["TOKEN"],"grace":"10s","health":"/","listen":"127.0.0.1:8080","ports":[1,2],"stable_for":"0s","start_within":"30s"}"#);
        let back = Config::from_definition(&definition, Path::new("/b")).unwrap();
        assert_eq!(back, Config { state: "/b".into(), ..config });
    }

    #[test]
    fn a_definition_of_another_driver_or_with_unknown_settings_is_refused() {
        let refused = |text: &str| Config::from_definition(text.as_bytes(), Path::new("/s")).unwrap_err();
        assert!(refused(r#"{"driver":"compose"}"#).contains("compose"));
        assert!(refused(r#"{"listen":1}"#).contains("no driver"));
        assert!(refused(r#"{"driver":"process","listen":1,"ports":[2,3],"new":1}"#).contains("new"));
        assert!(refused(r#"{"driver":"process","listen":1,"ports":[2,2]}"#).contains("different"));
        assert!(refused("[]").contains("parse"));
    }

    #[test]
    fn impossible_values_are_named() {
        let good = parse(r#"{"listen":1,"ports":[2,3],"state":"s"}"#);
        let wrong = [
            (Config { ports: [0, 3], ..good.clone() }, "port numbers"),
            (Config { ports: [1, 3], ..good.clone() }, "different"),
            (Config { health: "up".to_owned(), ..good.clone() }, "health"),
            (Config { command: Some(vec![]), ..good.clone() }, "command"),
            (Config { env_from: vec!["A=B".to_owned()], ..good.clone() }, "A=B"),
            (Config { env: BTreeMap::from([("A".to_owned(), "\0".to_owned())]), ..good.clone() }, "NUL"),
            (Config { grace: Period::from_secs(86_400), ..good.clone() }, "at most 1h"),
        ];
        for (config, word) in wrong {
            let error = config.validate().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        for text in ["", "x", "127.0.0.1", "localhost:80", "70000"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
