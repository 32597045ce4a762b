//! The shape of `sealift.yaml`. What is read and the JSON Schema both come from here.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use sealift_domain::{
    check::{AvailabilityCheck, Check, HttpCheck, LogsCheck, RunCheck},
    freeze::Freeze,
    gate::Gates,
    name::{AppName, ChannelName, ComponentName, EnvironmentName, PersonId, Role},
    notice::NoticeKind,
    policy::{ApprovalRule, RollbackRule},
    reference::Repository,
    tag::TagTemplate,
};
use serde::Deserialize;

use super::{
    deploy::Deploy,
    lenient::{Later, Lenient},
    values::{Host, SourceUrl, SshKey, Store, Variable, Webhook},
};

/// The configuration of Sealift: an application, its people, its environments, and what it takes to enter each.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "sealift.yaml")]
pub(super) struct File {
    /// The name of the application.
    pub(super) app: Lenient<AppName>,
    /// Where its source is, a URL.
    pub(super) source: Option<Lenient<SourceUrl>>,
    /// The people who may sign.
    pub(super) people: Option<Lenient<Vec<Lenient<PersonEntry>>>>,
    /// The environments by name. Their order is told by `from`.
    pub(super) environments: Lenient<BTreeMap<EnvironmentName, Lenient<EnvironmentEntry>>>,
    /// Where notices go, and which.
    pub(super) notify: Option<Lenient<Vec<Lenient<ChannelEntry>>>>,
    /// How registries are reached.
    pub(super) registries: Option<Lenient<RegistriesEntry>>,
    /// Where the log is; `sqlite:.sealift/log.sqlite` beside this file if it is left out.
    pub(super) store: Option<Lenient<Store>>,
}

/// A person who may sign.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonEntry {
    /// The handle of the person in the log.
    pub(super) id: Lenient<PersonId>,
    /// The account name on GitHub.
    pub(super) github: Option<Lenient<String>>,
    /// The e-mail address.
    pub(super) email: Option<Lenient<String>>,
    /// The OpenSSH public key that this person signs with, or several.
    pub(super) ssh: Lenient<OneOrMore<SshKey>>,
    /// What this person may do.
    pub(super) roles: Option<Lenient<BTreeSet<Role>>>,
}

/// A value, or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "$by-shape", rename_all = "kebab-case")]
#[schemars(rename = "OneOrMore_{T}", untagged)]
pub(super) enum OneOrMore<T> {
    /// One.
    Text(T),
    /// Several.
    List(Vec<Lenient<T>>),
}

/// One environment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvironmentEntry {
    /// The environment that a release must have been verified in before; left out for the first one.
    pub(super) from: Option<Lenient<EnvironmentName>>,
    /// Where the image is kept for this environment, with its registry: `ghcr.io/acme/dotca`.
    pub(super) image: Option<Lenient<Repository>>,
    /// Where each component's image is kept, for an application of several images.
    pub(super) components: Option<Lenient<BTreeMap<ComponentName, Lenient<ComponentEntry>>>>,
    /// The tags that Sealift writes. Placeholders: `{commit}`, `{commit7}`, `{version}` and others of the build record.
    pub(super) tags: Option<Lenient<Vec<Lenient<TagEntry>>>>,
    /// The gates that are required beyond those that always are.
    pub(super) gates: Option<Lenient<Later<Gates>>>,
    /// Whose consent is needed to enter, or the word `none`. The last environment must say.
    pub(super) approval: Option<Lenient<ApprovalEntry>>,
    /// When nothing may enter.
    pub(super) freezes: Option<Lenient<Vec<Lenient<Freeze>>>>,
    /// A command that runs once, from the candidate, before the switch.
    pub(super) migrate: Option<Lenient<MigrateEntry>>,
    /// How releases are made live: one driver and its settings.
    pub(super) deploy: Lenient<Deploy>,
    /// What must hold after a deployment.
    pub(super) verify: Option<Lenient<Vec<Lenient<CheckEntry>>>>,
    /// How to go back.
    pub(super) rollback: Option<Lenient<RollbackRule>>,
}

/// One image of an application of several.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComponentEntry {
    /// Where the image is kept for this environment, with its registry.
    pub(super) image: Lenient<Repository>,
}

/// A tag to write: a moving one, or `{immutable: …}`.
#[derive(Deserialize)]
#[serde(rename = "$by-shape", rename_all = "kebab-case")]
pub(super) enum TagEntry {
    Text(String),
    Map(ImmutableTag),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImmutableTag {
    pub(super) immutable: String,
}

/// Whose consent is needed, or the word `none`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "$by-shape", rename_all = "kebab-case")]
#[schemars(rename = "Approval", untagged)]
pub(super) enum ApprovalEntry {
    /// No consent is needed. This stands in the log and is said out loud.
    Text(NoApproval),
    /// Consent is needed.
    Map(ApprovalRule),
}

/// The word `none`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NoApproval {
    /// No consent is needed.
    None,
}

/// A command that changes the database.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MigrateEntry {
    /// Program and arguments. No shell is involved.
    pub(super) run: Vec<String>,
}

/// A check, told by its key.
#[derive(Deserialize)]
#[serde(rename = "$by-key", rename_all = "kebab-case")]
pub(super) enum CheckEntry {
    Http(HttpCheck),
    Run(RunCheck),
    Logs(LogsCheck),
    Availability(AvailabilityCheck),
}

/// Where notices go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelEntry {
    /// A name for the channel; `webhook` if it is left out.
    pub(super) name: Option<Lenient<ChannelName>>,
    /// The URL to post to, or the name of an environment variable that holds it: `$WEBHOOK_URL`.
    pub(super) webhook: Lenient<Webhook>,
    /// The name of an environment variable with the secret that signs each notice: `$WEBHOOK_SECRET`.
    pub(super) secret: Option<Lenient<Variable>>,
    /// Which moments to tell of.
    pub(super) on: Lenient<BTreeSet<NoticeKind>>,
}

/// How registries are reached.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistriesEntry {
    /// Hosts that are spoken to without TLS.
    pub(super) plain_http: Option<Lenient<Vec<Lenient<Host>>>>,
}

impl<T> OneOrMore<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Text(one) => vec![one],
            Self::List(several) => several.into_iter().filter_map(|value| value.0).collect(),
        }
    }
}

impl From<TagEntry> for TagTemplate {
    fn from(entry: TagEntry) -> Self {
        match entry {
            TagEntry::Text(name) => Self::Moving(name),
            TagEntry::Map(ImmutableTag { immutable }) => Self::Immutable { immutable },
        }
    }
}

impl From<CheckEntry> for Check {
    fn from(entry: CheckEntry) -> Self {
        match entry {
            CheckEntry::Http(check) => Self::Http(check),
            CheckEntry::Run(check) => Self::Run(check),
            CheckEntry::Logs(check) => Self::Logs(check),
            CheckEntry::Availability(check) => Self::Availability(check),
        }
    }
}

/// The two have the form of a domain type.
macro_rules! schema_of {
    ($($entry:ty = $domain:ty),*) => {$(
        impl JsonSchema for $entry {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$domain>::schema_name()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$domain>::json_schema(generator)
            }
        }
    )*};
}
schema_of!(TagEntry = TagTemplate, CheckEntry = Check);
