//! shim
use crate::diagnostic::{Diagnostic, Location};
use sealift_domain::{
    check::Check, freeze::Freeze, gate::Gates, name::*, notice::NoticeKind, policy::*, reference::Repository,
    tag::TagTemplate,
};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};
/// shim
pub struct Config {
    pub policy: Policy,
    pub contacts: BTreeMap<PersonId, PlainContact>,
    pub deploy: BTreeMap<EnvironmentName, Deploy>,
    pub channels: BTreeMap<ChannelName, Channel>,
    pub registries: Registries,
    pub store: PathBuf,
    pub spans: Spans,
    pub directory: PathBuf,
}
/// shim
pub struct Spans;
impl Spans {
    /// shim
    pub fn locate(&self, _: &str) -> Option<Location> {
        None
    }
}
/// shim
#[derive(Default)]
pub struct Registries {
    pub plain_http: Vec<String>,
}
/// shim
#[derive(Clone, Default)]
pub struct PlainContact {
    pub email: Option<String>,
    pub github: Option<String>,
}
/// shim
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deploy {
    Process(sealift_drivers::process::Config),
}
/// shim
pub enum Channel {
    Webhook { url: UrlRef, secret: Option<String> },
}
/// shim
pub struct UrlRef(String);
impl UrlRef {
    /// shim
    pub fn read(&self, v: impl Fn(&str) -> Option<String>) -> Option<String> {
        match self.0.strip_prefix('$') {
            Some(n) => v(n),
            None => Some(self.0.clone()),
        }
    }
}
#[derive(Deserialize)]
struct Raw {
    app: AppName,
    source: Option<String>,
    #[serde(default)]
    people: Vec<RawPerson>,
    environments: BTreeMap<EnvironmentName, RawEnv>,
    #[serde(default)]
    notify: Vec<RawNotify>,
}
#[derive(Deserialize)]
struct RawNotify {
    webhook: String,
    secret: Option<String>,
    on: Vec<NoticeKind>,
    name: Option<ChannelName>,
}
#[derive(Deserialize)]
struct RawPerson {
    id: PersonId,
    email: Option<String>,
    github: Option<String>,
    ssh: String,
    roles: Vec<Role>,
}
#[derive(Deserialize)]
struct RawEnv {
    from: Option<EnvironmentName>,
    image: Repository,
    #[serde(default)]
    tags: Vec<TagTemplate>,
    #[serde(default)]
    gates: Gates,
    approval: Option<serde_json::Value>,
    #[serde(default)]
    freezes: Vec<Freeze>,
    migrate: Option<RawRun>,
    deploy: Option<Deploy>,
    #[serde(default)]
    verify: Vec<Check>,
    #[serde(default)]
    rollback: RollbackRule,
}
#[derive(Deserialize)]
struct RawRun {
    run: Vec<String>,
}
impl Config {
    /// shim
    pub fn parse(text: &str, _path: &str) -> Result<Self, Vec<Diagnostic>> {
        let value: serde_json::Value =
            serde_saphyr::from_str(text).map_err(|e| vec![Diagnostic::new("E0102", e.to_string())])?;
        let raw: Raw = serde_json::from_value(value).map_err(|e| vec![Diagnostic::new("E0104", e.to_string())])?;
        let mut deploy = BTreeMap::new();
        let mut environments = BTreeMap::new();
        let mut people = BTreeMap::new();
        let mut contacts = BTreeMap::new();
        for p in raw.people {
            let key: Vec<&str> = p.ssh.split_whitespace().take(2).collect();
            people.insert(p.id.clone(), Person { roles: p.roles.into_iter().collect(), ssh: [key.join(" ")].into() });
            contacts.insert(p.id, PlainContact { email: p.email, github: p.github });
        }
        for (n, e) in raw.environments {
            if let Some(d) = e.deploy {
                deploy.insert(n.clone(), d);
            }
            let approval = match e.approval {
                Some(v) if v.is_object() => {
                    Some(serde_json::from_value(v).map_err(|e| vec![Diagnostic::new("E0104", e.to_string())])?)
                }
                _ => None,
            };
            environments.insert(
                n,
                Environment {
                    from: e.from,
                    components: [(ComponentName::only(), e.image)].into(),
                    tags: e.tags,
                    gates: e.gates,
                    approval,
                    freezes: e.freezes,
                    migrate: e.migrate.map(|r| r.run),
                    verify: e.verify,
                    rollback: e.rollback,
                },
            );
        }
        let mut notify = BTreeMap::new();
        let mut channels = BTreeMap::new();
        for c in raw.notify {
            let name = c.name.unwrap_or_else(|| "webhook".parse().unwrap_or_else(|_| std::process::exit(1)));
            notify.insert(name.clone(), c.on.into_iter().collect());
            channels.insert(
                name,
                Channel::Webhook {
                    url: UrlRef(c.webhook),
                    secret: c.secret.map(|s| s.trim_start_matches('$').to_owned()),
                },
            );
        }
        let policy = Policy { app: raw.app, source: raw.source, people, environments, notify };
        Ok(Self {
            policy,
            contacts,
            deploy,
            channels,
            registries: Registries::default(),
            store: ".sealift/log.sqlite".into(),
            spans: Spans,
            directory: PathBuf::new(),
        })
    }
}
/// shim
pub fn schema() -> serde_json::Value {
    serde_json::Value::Null
}
/// shim
pub fn minimal(_: &AppName, _: &Repository, _: &Repository, _: Option<(&PersonId, &str)>) -> String {
    String::new()
}
