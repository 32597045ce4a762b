//! What is made of the team's Compose file: a project for each colour, and one for everything that colours share.
//!
//! Overrides append ports and cannot remove them, so nothing is overridden: Compose resolves the file, and what comes out
//! of it is changed here and written as a file of its own. JSON is YAML 1.2, and both versions of Compose read it.

use sealift_domain::reference::Pinned;
use serde_json::{Map, Value, json};

use super::config::Config;

/// Labels of the containers that this driver starts.
pub(super) mod label {
    /// The deployment's key.
    pub(crate) const KEY: &str = "dev.sealift.key";
    /// The project that the environment's containers belong to, whatever their colour.
    pub(crate) const PROJECT: &str = "dev.sealift.project";
    /// The component of the release.
    pub(crate) const COMPONENT: &str = "dev.sealift.component";
    /// The digest of the definition that it was started from.
    pub(crate) const DEFINITION: &str = "dev.sealift.definition";
    /// What it is for: `service`, or `migration`.
    pub(crate) const ROLE: &str = "dev.sealift.role";
}

/// A container to be started: which, and how it is told apart later.
pub(super) struct Wanted<'a> {
    pub(super) project: &'a str,
    pub(super) key: &'a str,
    pub(super) component: &'a str,
    pub(super) definition: String,
    pub(super) image: &'a Pinned,
}

/// A Compose file after Compose has resolved it (`config`): variables put in, short forms written out.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    root: Map<String, Value>,
    service: String,
}

impl Resolved {
    /// Takes what Compose printed.
    ///
    /// # Errors
    /// Words for people if it holds no such service.
    pub(super) fn new(root: Value, service: &str) -> Result<Self, String> {
        let Value::Object(root) = root else { return Err("it is no mapping".to_owned()) };
        let services = root.get("services").and_then(Value::as_object);
        let names: Vec<&str> = services.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        if !names.contains(&service) {
            return Err(format!("it has no service `{service}`, only {}", names.join(", ")));
        }
        Ok(Self { root, service: service.to_owned() })
    }

    fn own(&self) -> Option<&Map<String, Value>> {
        self.root.get("services")?.get(&self.service)?.as_object()
    }

    fn own_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.root.get_mut("services")?.get_mut(&self.service)?.as_object_mut()
    }

    /// Whether the service has a health check in the file. `false` in [`Option`] means that the file switches it off.
    pub(super) fn health_check(&self) -> Option<bool> {
        let check = self.own()?.get("healthcheck")?;
        let off = check.get("disable") == Some(&Value::Bool(true))
            || check.get("test").and_then(|test| test.get(0)) == Some(&Value::from("NONE"));
        Some(!off)
    }

    /// The memory that the service may use, in bytes, where the file limits it.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        let own = self.own()?;
        let limit =
            own.get("mem_limit").or_else(|| own.get("deploy")?.get("resources")?.get("limits")?.get("memory"))?;
        limit.as_u64().or_else(|| limit.as_str()?.parse().ok())
    }

    /// The port in the container that the service publishes, if it publishes exactly one.
    fn published(&self) -> Result<u16, String> {
        let ports = self.own().and_then(|own| own.get("ports")).and_then(Value::as_array);
        let ports: Vec<&Value> = ports.into_iter().flatten().collect();
        let target =
            |port: &Value| port.get("target").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        match ports.as_slice() {
            [port] => target(port).ok_or_else(|| format!("`ports` of `{}` cannot be read: {port}", self.service)),
            [] => Err(format!(
                "`{}` publishes no port; name the one that it listens on with `container_port`",
                self.service
            )),
            many => Err(format!(
                "`{}` publishes {} ports, and only one of them can take turns; name it with `container_port`, and publish the \
                 others from another service",
                self.service,
                many.len()
            )),
        }
    }

    /// What speaks against running two of the service side by side.
    fn check_colours(&self, config: &Config) -> Result<(), String> {
        let Some(own) = self.own() else { return Ok(()) };
        let service = &self.service;
        if own.get("network_mode").is_some_and(|mode| mode != "bridge") {
            return Err(format!(
                "`network_mode` of `{service}`: two releases side by side need a network of the project; remove it, or use `strategy: recreate`"
            ));
        }
        let networks = own.get("networks").and_then(Value::as_object);
        let fixed = networks
            .into_iter()
            .flatten()
            .find(|(_, of)| ["ipv4_address", "ipv6_address", "mac_address"].iter().any(|key| of.get(key).is_some()));
        if let Some((network, _)) = fixed {
            return Err(format!(
                "`networks: {network}` of `{service}` has a fixed address, which two releases cannot share; remove it"
            ));
        }
        for mount in own.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            let of = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
            let read_only = mount.get("read_only") == Some(&Value::Bool(true));
            let shared = matches!(of("type"), "volume" | "bind") && !of("source").is_empty();
            if shared && !read_only && !config.shared_volumes.iter().any(|volume| volume == of("source")) {
                return Err(format!(
                    "both releases would write to `{}` of `{service}` while they run side by side; if they can, say \
                     `shared_volumes: [{0}]`; if not, mount it read-only or use `strategy: recreate`",
                    of("source")
                ));
            }
        }
        Ok(())
    }

    /// The project of one colour: the service alone, on the colour's own port, on the networks and volumes that are there.
    pub(super) fn colour(&self, config: &Config, port: u16, wanted: &Wanted<'_>) -> Result<Value, String> {
        self.check_colours(config)?;
        let target = config.container_port.map_or_else(|| self.published(), Ok)?;
        let mut colour = self.clone();
        colour.root.remove("name");
        if let Some(services) = colour.root.get_mut("services").and_then(Value::as_object_mut) {
            services.retain(|name, _| *name == self.service);
        }
        if let Some(own) = colour.own_mut() {
            // A fixed name could be had once only, and what it depends on runs in the shared project.
            for key in ["container_name", "depends_on", "links", "build", "profiles", "scale", "extends"] {
                own.remove(key);
            }
            if let Some(deploy) = own.get_mut("deploy").and_then(Value::as_object_mut) {
                deploy.remove("replicas");
            }
            own.insert("ports".to_owned(), json!([{"host_ip": "127.0.0.1", "target": target, "published": port.to_string(), "protocol": "tcp", "mode": "ingress"}]));
            own.insert("pull_policy".to_owned(), "never".into());
        }
        colour.mark(wanted);
        colour.share("networks");
        colour.share("volumes");
        Ok(Value::Object(colour.root))
    }

    /// The project that owns networks, volumes and every other service, with `own` containers of the promoted service.
    pub(super) fn shared(&self, wanted: &Wanted<'_>, own: u32) -> Value {
        let mut shared = self.clone();
        if let Some(service) = shared.own_mut() {
            for key in ["container_name", "build", "ports", "profiles", "scale"] {
                service.remove(key);
            }
            service.insert("image".to_owned(), wanted.image.to_string().into());
            service.insert("pull_policy".to_owned(), "never".into());
            service.insert("deploy".to_owned(), json!({"replicas": own}));
        }
        // Nobody waits for a service of which there is none here.
        for (_, service) in shared.root.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten() {
            if let Some(on) = service.get_mut("depends_on").and_then(Value::as_object_mut) {
                on.remove(&self.service);
            }
        }
        Value::Object(shared.root)
    }

    /// The whole file with the service's image and labels, for a release that takes the place of another in one project.
    pub(super) fn in_place(&self, wanted: &Wanted<'_>) -> Value {
        let mut file = self.clone();
        file.root.remove("name");
        if let Some(own) = file.own_mut() {
            own.remove("build");
        }
        file.mark(wanted);
        Value::Object(file.root)
    }

    /// The names of the other services, which the promoted one may need.
    pub(super) fn others(&self) -> Vec<String> {
        let services = self.root.get("services").and_then(Value::as_object);
        services.into_iter().flat_map(Map::keys).filter(|name| **name != self.service).cloned().collect()
    }

    fn mark(&mut self, wanted: &Wanted<'_>) {
        let Some(own) = self.own_mut() else { return };
        own.insert("image".to_owned(), wanted.image.to_string().into());
        let mut labels = match own.remove("labels") {
            Some(Value::Object(labels)) => labels,
            // The list form, which version 1 of Compose leaves as it is: `name=value`.
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(Value::as_str)
                .map(|text| text.split_once('=').unwrap_or((text, "")))
                .map(|(name, value)| (name.to_owned(), Value::from(value)))
                .collect(),
            _ => Map::new(),
        };
        let values = [
            (label::KEY, wanted.key),
            (label::PROJECT, wanted.project),
            (label::COMPONENT, wanted.component),
            (label::DEFINITION, wanted.definition.as_str()),
            (label::ROLE, "service"),
        ];
        labels.extend(values.map(|(name, value)| (name.to_owned(), Value::from(value))));
        own.insert("labels".to_owned(), Value::Object(labels));
    }

    /// Makes networks or volumes refer to those of the shared project, by the names that Compose gave them.
    fn share(&mut self, section: &str) {
        for (_, item) in self.root.get_mut(section).and_then(Value::as_object_mut).into_iter().flatten() {
            if let Some(name) = item.get("name").cloned() {
                *item = json!({"name": name, "external": true});
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(own: Value) -> Resolved {
        let mut service =
            json!({"image": "x", "ports": [{"target": 3000, "published": "80"}], "networks": {"default": null}});
        for (key, value) in own.as_object().unwrap() {
            service[key] = value.clone();
        }
        let root = json!({
            "name": "hello", "services": {"web": service, "db": {"image": "db", "depends_on": {"web": {}}}},
            "networks": {"default": {"name": "hello_default"}}, "volumes": {"up": {"name": "hello_up"}},
        });
        Resolved::new(root, "web").unwrap()
    }

    fn config(more: &str) -> Config {
        serde_json::from_str(&format!(r#"{{"service": "web", "ports": [18080, 18081]{more}}}"#)).unwrap()
    }

    fn colour(own: Value, more: &str) -> Result<Value, String> {
        let image: Pinned = format!("r.example/a@sha256:{}", "a".repeat(64)).parse().unwrap();
        let wanted =
            Wanted { project: "hello", key: "p7", component: "app", definition: "sha256:d".to_owned(), image: &image };
        resolved(own).colour(&config(more), 18081, &wanted)
    }

    #[test]
    fn a_colour_is_the_service_alone_on_its_own_port() {
        let own = json!({"container_name": "web", "depends_on": {"db": {}}, "labels": ["team=a"], "environment": {"A": "$$b"}});
        insta::assert_json_snapshot!(colour(own, "").unwrap());
    }

    #[test]
    fn the_shared_project_has_all_the_rest() {
        let image: Pinned = format!("r.example/a@sha256:{}", "a".repeat(64)).parse().unwrap();
        let wanted =
            Wanted { project: "hello", key: "p7", component: "app", definition: "sha256:d".to_owned(), image: &image };
        insta::assert_json_snapshot!(resolved(json!({"build": "."})).shared(&wanted, 0));
    }

    #[test]
    fn what_cannot_run_twice_is_refused_with_the_way_out() {
        let writable = json!({"volumes": [{"type": "volume", "source": "up", "target": "/up"}]});
        let refused = [
            (json!({"network_mode": "host"}), "`network_mode` of `web`"),
            (
                json!({"networks": {"default": {"ipv4_address": "10.0.0.2"}}}),
                "`networks: default` of `web` has a fixed",
            ),
            (writable.clone(), "`shared_volumes: [up]`"),
            (json!({"ports": []}), "publishes no port"),
            (json!({"ports": [{"target": 1}, {"target": 2}]}), "publishes 2 ports"),
        ];
        for (own, why) in refused {
            let found = colour(own, "").unwrap_err();
            assert!(found.contains(why), "{found}");
        }
        assert!(colour(writable, r#", "shared_volumes": ["up"]"#).is_ok());
        assert!(colour(json!({"volumes": [{"type": "bind", "source": "/c", "read_only": true}]}), "").is_ok());
        assert!(colour(json!({"ports": [{"target": 1}, {"target": 2}]}), r#", "container_port": 2"#).is_ok());
        assert!(Resolved::new(json!({"services": {"api": {}}}), "web").unwrap_err().contains("only api"));
    }

    #[test]
    fn limits_and_health_checks_are_read() {
        assert_eq!(resolved(json!({})).health_check(), None);
        assert_eq!(resolved(json!({"healthcheck": {"test": ["CMD", "/hello"]}})).health_check(), Some(true));
        assert_eq!(resolved(json!({"healthcheck": {"disable": true}})).health_check(), Some(false));
        assert_eq!(resolved(json!({"healthcheck": {"test": ["NONE"]}})).health_check(), Some(false));
        assert_eq!(resolved(json!({"mem_limit": "1048576"})).memory_limit(), Some(1 << 20));
        let limits = json!({"deploy": {"resources": {"limits": {"memory": "2097152"}}}});
        assert_eq!(resolved(limits).memory_limit(), Some(2 << 20));
    }
}
