//! `notify`: where notices go, and which. What is told to whom is policy; addresses and secrets are not.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::{name::ChannelName, notice::NoticeKind};

use super::{
    decode::{Cursor, Reader},
    secrets,
};

/// The keys of a channel.
pub(super) const KEYS: &[&str] = &["name", "webhook", "secret", "on"];

/// The name of a channel that has none.
const USUAL_NAME: &str = "webhook";

/// Where notices go.
pub enum Channel {
    /// An HTTP endpoint that takes Standard Webhooks.
    Webhook {
        /// Its URL.
        url: UrlRef,
        /// The name of the environment variable with the secret that signs what is sent.
        secret: Option<String>,
    },
}

/// A URL, or the environment variable that holds it. Not for display: such URLs often are secrets.
pub struct UrlRef(Source);

enum Source {
    Literal(String),
    Variable(String),
}

impl UrlRef {
    /// The URL, with environment variables as `variable` gives them; `None` if the one in question is not set.
    pub fn read(&self, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        match &self.0 {
            Source::Literal(url) => Some(url.clone()),
            Source::Variable(name) => variable(name),
        }
    }
}

/// Channels, and what each is told.
#[derive(Default)]
pub(super) struct Notify {
    pub(super) policy: BTreeMap<ChannelName, BTreeSet<NoticeKind>>,
    pub(super) channels: BTreeMap<ChannelName, Channel>,
}

/// Reads the list of channels.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> Notify {
    let mut notify = Notify::default();
    for item in reader.list(at) {
        let Some((name, kinds, channel)) = channel(reader, &item) else { continue };
        if notify.channels.contains_key(&name) {
            let twice = item.get("name").unwrap_or(item);
            reader.push(twice.fault(format!("there are two channels called `{name}`")).next("give each a `name`"));
            continue;
        }
        notify.policy.insert(name.clone(), kinds);
        notify.channels.insert(name, channel);
    }
    notify
}

fn channel(reader: &mut Reader, at: &Cursor<'_>) -> Option<(ChannelName, BTreeSet<NoticeKind>, Channel)> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let name = match at.get("name") {
        Some(at) => reader.decode(&at),
        None => USUAL_NAME.parse().ok(),
    };
    let url = reader.needed(at, "webhook").and_then(|at| url(reader, &at));
    let secret = match at.get("secret") {
        Some(at) => secret(reader, &at).map(Some),
        None => Some(None),
    };
    let kinds: Option<BTreeSet<NoticeKind>> = reader.required(at, "on");
    if let Some(at) = at.get("on").filter(|_| kinds.as_ref().is_some_and(BTreeSet::is_empty)) {
        reader.push(at.fault("this channel is told nothing"));
    }
    Some((name?, kinds?, Channel::Webhook { url: url?, secret: secret? }))
}

fn url(reader: &mut Reader, at: &Cursor<'_>) -> Option<UrlRef> {
    let text: String = reader.decode(at)?;
    if text.starts_with('$') {
        let name = reader.keep(variable(at, &text))?;
        return Some(UrlRef(Source::Variable(name)));
    }
    if is_web_url(&text) {
        return Some(UrlRef(Source::Literal(text)));
    }
    reader.push(at.fault("`webhook` is a URL with `https://`, or `$NAME` for the environment variable that holds it"));
    None
}

/// Whether a text is an HTTP URL with a host.
pub(super) fn is_web_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| !host.is_empty()) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn secret(reader: &mut Reader, at: &Cursor<'_>) -> Option<String> {
    let text: String = reader.decode(at)?;
    reader.keep(variable(at, &text))
}

/// The name in `$NAME`.
fn variable(at: &Cursor<'_>, text: &str) -> Result<String, super::fault::Fault> {
    let Some(name) = text.strip_prefix('$') else {
        return Err(secrets::literal(at, "`secret` is the secret itself, and this file is no place for one"));
    };
    let right = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // What follows the `$` may be a secret, so it is not repeated.
    if right {
        Ok(name.to_owned())
    } else {
        Err(at.fault("`$` and letters, digits and `_` name an environment variable"))
    }
}

/// Secrets of channels that stand in the file.
pub(super) fn refuse_secrets(reader: &mut Reader, root: &Cursor<'_>) {
    let Some(at) = root.get("notify").filter(|at| matches!(at.node.value, super::node::Value::List(_))) else { return };
    for item in reader.list(&at) {
        let Some(at) = item.get("secret") else { continue };
        if !matches!(&at.node.value, super::node::Value::Text(text) if text.starts_with('$')) {
            reader.push(secrets::literal(&at, "`secret` is the secret itself, and this file is no place for one"));
        }
    }
}
