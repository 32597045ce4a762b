//! The configuration of the driver, and the definition that is recorded with each release.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use sealift_domain::quantity::{ByteSize, Period};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which service of which Compose file is promoted, and how one release of it takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Compose file. Its `image` of the service is never used: the digest that is promoted is.
    #[serde(default = "Config::default_file")]
    pub file: PathBuf,
    /// The service whose image is promoted. The other services of the file are started where they are missing, and otherwise
    /// left alone.
    pub service: String,
    /// The name of the Compose project; by default that of the application and its environment, `hello-production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// How a release takes the place of the one before.
    #[serde(default)]
    pub strategy: Strategy,
    /// For `blue-green`: two ports of 127.0.0.1 on which releases take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<[u16; 2]>,
    /// For `blue-green`: the port of the service inside its container; by default the one that the Compose file publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// The nginx that stands in front. Without it, whatever stands in front reads the live address from the file `upstream`
    /// in the state directory, or asks both ports for their health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nginx: Option<Nginx>,
    /// The container engine, as in `DOCKER_HOST`; by default the one that the Docker client uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Program and first arguments of Compose; by default `docker compose`, else `docker-compose`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<Vec<String>>,
    /// The directory for the lock, the journal and the generated project files. One environment has one on its host,
    /// whoever deploys; by default `/var/lib/sealift/<project>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Names of environment variables of the caller that the Compose file may use as `${NAME}`. Their values are never
    /// recorded with the release.
    #[serde(default)]
    pub env_from: Vec<String>,
    /// Named volumes and host directories that both releases may write to while they run side by side.
    #[serde(default)]
    pub shared_volumes: Vec<String>,
    /// A path to GET on the release's own port, on top of the container's health check: any answer with 2xx or 3xx is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// How long a release may take until it is healthy.
    #[serde(default = "Config::default_start_within")]
    pub start_within: Period,
    /// How long it must then stay healthy before it may become live.
    #[serde(default)]
    pub stable_for: Period,
    /// How long requests that are under way may take to end before a release is stopped.
    #[serde(default = "Config::default_drain")]
    pub drain: Period,
    /// How long another deployer's lock on the host is waited for.
    #[serde(default = "Config::default_lock_within")]
    pub lock_within: Period,
    /// Free space that the engine's disk must have before anything is pulled.
    #[serde(default = "Config::default_min_disk")]
    pub min_disk: ByteSize,
    /// Memory that the host must have available before a second release is started beside the live one.
    #[serde(default = "Config::default_min_memory")]
    pub min_memory: ByteSize,
}

/// How a release takes the place of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The new one is started beside the old, and traffic is moved when it is healthy. Nothing is out of service.
    #[default]
    BlueGreen,
    /// The old one is stopped, then the new one started. The service is out for that long.
    Recreate,
}

/// The nginx that forwards to the live release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nginx {
    /// The file that this driver writes: one `upstream` block. The site's configuration includes it at the level of `http`.
    pub include: PathBuf,
    /// The name of the upstream, as the site's `proxy_pass http://name` has it.
    pub upstream: String,
    /// Program and first arguments of nginx; `-t` and `-s reload` are appended.
    #[serde(default = "Nginx::default_command")]
    pub command: Vec<String>,
    /// How many idle connections to the release each worker of nginx keeps; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<u16>,
    /// A port of 127.0.0.1 on which nginx then says which deployment it forwards to. With it, a switch is over when nginx
    /// itself says so; without, when it has taken the order to reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_port: Option<u16>,
}

impl Nginx {
    fn default_command() -> Vec<String> {
        vec!["nginx".to_owned()]
    }
}

/// The name under which definitions of this driver are recorded.
const DRIVER: &str = "compose";
/// The largest Compose file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 512 << 10;
/// The largest recorded definition that is read, in bytes.
const MAX_DEFINITION: usize = 2 << 20;
/// The longest of the periods.
const MAX_PERIOD: Period = Period::from_secs(3600);
/// What says where this machine keeps things. It is not recorded, and a recorded release is restored with today's.
const OF_THE_MACHINE: &[&str] = &["file", "engine", "compose", "state", "lock_within", "min_disk", "min_memory"];
/// What says how traffic reaches a release. It is recorded, so that an approval covers it, but a recorded release is
/// restored with today's: that is where the traffic comes in now.
const OF_THE_FRONT: &[&str] = &["project", "strategy", "ports", "nginx"];
/// The key of the Compose file's text in a definition.
const TEXT: &str = "compose_file";

impl Config {
    fn default_file() -> PathBuf {
        "compose.yaml".into()
    }

    fn default_start_within() -> Period {
        Period::from_secs(60)
    }

    fn default_drain() -> Period {
        Period::from_secs(10)
    }

    fn default_lock_within() -> Period {
        Period::from_secs(30)
    }

    fn default_min_disk() -> ByteSize {
        ByteSize::from_bytes(512 << 20)
    }

    fn default_min_memory() -> ByteSize {
        ByteSize::from_bytes(128 << 20)
    }

    /// Says what is wrong with the values, in the words of the configuration.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_names()?;
        self.validate_ports()?;
        if let Some(health) = &self.health
            && (!health.starts_with('/') || health.parse::<hyper::http::uri::PathAndQuery>().is_err())
        {
            return Err(format!("`health` is a path that begins with `/`, not `{health}`"));
        }
        if self.compose.as_ref().is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
            return Err("`compose` names no program".to_owned());
        }
        if let Some(engine) = &self.engine
            && !["unix://", "tcp://", "ssh://"].iter().any(|scheme| engine.starts_with(scheme))
        {
            return Err(format!("`engine` is an address like unix:///run/docker.sock, not `{engine}`"));
        }
        let periods = [self.start_within, self.stable_for, self.drain, self.lock_within];
        if periods.into_iter().any(|period| period > MAX_PERIOD) {
            return Err(format!("`start_within`, `stable_for`, `drain` and `lock_within` are at most {MAX_PERIOD}"));
        }
        Ok(())
    }

    fn validate_names(&self) -> Result<(), String> {
        // The characters that Compose allows (Compose Specification, "services" and "name").
        let service = |text: &str| {
            !text.is_empty()
                && text.len() <= 100
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let project = |text: &str| {
            text.len() <= 100
                && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
        };
        if !service(&self.service) {
            return Err(format!("`service` is a name of letters, digits, `.`, `_` and `-`, not `{}`", self.service));
        }
        if let Some(name) = self.project.as_ref().filter(|name| !project(name)) {
            return Err(format!("`project` is a name of small letters, digits, `_` and `-`, not `{name}`"));
        }
        if let Some(nginx) = &self.nginx {
            if !service(&nginx.upstream) {
                return Err(format!(
                    "`nginx`: the upstream `{}` is no name of letters, digits, `.`, `_` and `-`",
                    nginx.upstream
                ));
            }
            if nginx.command.first().is_none_or(String::is_empty) {
                return Err("`nginx`: its `command` names no program".to_owned());
            }
        }
        let variable = |name: &str| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if let Some(name) = self.env_from.iter().find(|name| !variable(name)) {
            return Err(format!("`env_from`: `{name}` is not a name of an environment variable"));
        }
        Ok(())
    }

    fn validate_ports(&self) -> Result<(), String> {
        match (self.strategy, self.ports) {
            (Strategy::BlueGreen, None) => {
                Err("`strategy: blue-green` needs `ports: [18080, 18081]`, two free ports on which \
                releases take turns; or say `strategy: recreate`"
                    .to_owned())
            }
            (Strategy::BlueGreen, Some([a, b])) if a == 0 || b == 0 || a == b => {
                Err(format!("`ports` are two different ports from 1 to 65535, not {a} and {b}"))
            }
            (Strategy::Recreate, Some(_)) => {
                Err("`ports` belong to `strategy: blue-green`; with `recreate` the Compose file's own ports are used"
                    .to_owned())
            }
            (Strategy::Recreate, None) if self.nginx.is_some() => {
                Err("`nginx` belongs to `strategy: blue-green`; with \
                `recreate` the port never changes, and nginx needs no word from Sealift"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The definition: every setting that is not of the machine, with its value, defaults too, and the text of the Compose
    /// file as it stands, before any variable is put in. Keys are sorted and there is no white space.
    pub(super) fn definition(&self, text: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut fields = fields(self)?;
        fields.retain(|key, _| !OF_THE_MACHINE.contains(&key.as_str()));
        fields.insert("driver".to_owned(), DRIVER.into());
        fields.insert(TEXT.to_owned(), text.into());
        serde_json::to_vec(&fields)
    }

    /// Reads a recorded definition back: its settings, with those of the machine and the front as they are now, and the text
    /// of its Compose file.
    pub(super) fn with_definition(&self, definition: &[u8]) -> Result<(Self, String), String> {
        if definition.len() > MAX_DEFINITION {
            return Err(format!("the definition has {} bytes, at most {MAX_DEFINITION} are read", definition.len()));
        }
        let unreadable = |e: serde_json::Error| format!("the definition does not parse: {e}");
        let mut recorded: BTreeMap<String, Value> = serde_json::from_slice(definition).map_err(unreadable)?;
        match recorded.remove("driver") {
            Some(Value::String(driver)) if driver == DRIVER => {}
            other => {
                let other = other.map_or_else(|| "no driver".to_owned(), |driver| format!("the driver {driver}"));
                return Err(format!("the definition is for {other}, not for `{DRIVER}`"));
            }
        }
        let Some(Value::String(text)) = recorded.remove(TEXT) else {
            return Err("the definition holds no Compose file".to_owned());
        };
        let today = fields(self).map_err(unreadable)?;
        for key in OF_THE_MACHINE.iter().chain(OF_THE_FRONT) {
            match today.get(*key) {
                Some(value) => recorded.insert((*key).to_owned(), value.clone()),
                None => recorded.remove(*key),
            };
        }
        let config: Self = serde_json::from_value(Value::Object(recorded.into_iter().collect())).map_err(unreadable)?;
        config.validate()?;
        Ok((config, text))
    }

    /// The files of this machine as absolute paths, where relative ones begin at `base`.
    pub fn rooted(mut self, base: &Path) -> Self {
        self.file = base.join(&self.file);
        self.state = self.state.map(|state| base.join(state));
        if let Some(nginx) = &mut self.nginx {
            nginx.include = base.join(&nginx.include);
        }
        self
    }
}

fn fields(config: &Config) -> Result<BTreeMap<String, Value>, serde_json::Error> {
    match serde_json::to_value(config)? {
        Value::Object(fields) => Ok(fields.into_iter().collect()),
        _ => Ok(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn two_lines_are_a_configuration() {
        let config = parse(r#"{"service": "web", "ports": [18080, 18081]}"#);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!((config.strategy, config.file.to_str()), (Strategy::BlueGreen, Some("compose.yaml")));
        assert!(serde_json::from_str::<Config>(r#"{"service":"web","prots":[1,2]}"#).is_err());
    }

    #[test]
    fn wrong_values_are_named() {
        let wrong = [
            (r#"{"service": "web"}"#, "`strategy: blue-green` needs `ports"),
            (r#"{"service": "web", "ports": [1, 1]}"#, "`ports` are two different ports"),
            (r#"{"service": "web", "strategy": "recreate", "ports": [1, 2]}"#, "`ports` belong to"),
            (r#"{"service": "we b", "strategy": "recreate"}"#, "`service` is a name"),
            (r#"{"service": "web", "strategy": "recreate", "project": "Hello"}"#, "`project` is a name"),
            (r#"{"service": "web", "strategy": "recreate", "health": "health"}"#, "`health` is a path"),
            (r#"{"service": "web", "strategy": "recreate", "engine": "prod"}"#, "`engine` is an address"),
            (r#"{"service": "web", "strategy": "recreate", "env_from": ["A B"]}"#, "`env_from`: `A B`"),
            (r#"{"service": "web", "strategy": "recreate", "drain": "2h"}"#, "are at most"),
            (
                r#"{"service": "web", "ports": [1, 2], "nginx": {"include": "a", "upstream": "a;b"}}"#,
                "the upstream `a;b`",
            ),
        ];
        for (text, why) in wrong {
            let found = parse(text).validate().unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn a_definition_comes_back_with_todays_machine_and_front() {
        let then =
            parse(r#"{"service": "web", "ports": [1, 2], "health": "/h", "state": "/old", "file": "/old/c.yaml"}"#);
        let definition = then.definition("services: {}\n").unwrap();
        assert!(!String::from_utf8_lossy(&definition).contains("/old"));
        let now = parse(r#"{"service": "api", "ports": [3, 4], "state": "/new", "file": "/new/c.yaml"}"#);
        let (back, text) = now.with_definition(&definition).unwrap();
        assert_eq!(
            (back.service.as_str(), back.health.as_deref(), text.as_str()),
            ("web", Some("/h"), "services: {}\n")
        );
        assert_eq!((back.ports, back.state), (Some([3, 4]), Some("/new".into())));
        let foreign = br#"{"driver":"process"}"#;
        assert!(now.with_definition(foreign).unwrap_err().contains("not for `compose`"));
    }
}
