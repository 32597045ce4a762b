//! The image is signed with a trusted key.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ComponentFacts, Fact, Facts, Finding};
use crate::{
    name::ComponentName,
    signature::{ImageSignature, PublicKey, Signatures},
};

pub(super) const CODE: &str = "G011";
pub(super) const SUMMARY: &str = "The keys of which one must have signed the image, each a PEM file such as cosign.pub.";
pub(super) const REQUIRE: &str = "signature: {key: cosign.pub}";

/// The keys of which any one suffices. They are the keys themselves, so that the accepted policy does not change with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(
    with = "Written",
    rename = "SignatureKeys",
    description = "One key, or several of which any one suffices.",
    extend("oneOf" = [{"required": ["key"]}, {"required": ["keys"]}]),
)]
pub struct Config {
    keys: BTreeSet<PublicKey>,
}

/// The configuration as it is written: one key, or several.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PublicKey>,
    /// Several keys, any one of which suffices.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(min = 1))]
    keys: BTreeSet<PublicKey>,
}

impl Config {
    /// The keys.
    pub fn keys(&self) -> &BTreeSet<PublicKey> {
        &self.keys
    }
}

impl TryFrom<Written> for Config {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (written.key, written.keys) {
            (Some(key), keys) if keys.is_empty() => Ok(Self { keys: BTreeSet::from([key]) }),
            (None, keys) if !keys.is_empty() => Ok(Self { keys }),
            _ => Err("`signature` has either `key: cosign.pub` or `keys: [first.pub, second.pub]`"),
        }
    }
}

impl From<Config> for Written {
    fn from(Config { mut keys }: Config) -> Self {
        match keys.len() {
            1 => Self { key: keys.pop_first(), keys },
            _ => Self { key: None, keys },
        }
    }
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Finding {
    facts.each_image(|name, _| match facts.components.get(name) {
        Some(component) => signed(config, name, component),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

fn signed(config: &Config, name: &ComponentName, component: &ComponentFacts) -> Finding {
    let signatures = match &component.signatures {
        Some(Fact::Known(signatures)) => signatures,
        Some(Fact::Missing) => {
            return Finding::fail(format!("{name} is not signed"), format!("`cosign sign --key cosign.key IMAGE@{}`, as cosign 2 signs", component.digest));
        }
        Some(Fact::Unreadable(why)) => {
            return Finding::error(
                format!("the signatures of {name} cannot be read: {why}"),
                "check the registry and your credentials (`sealift look`), then run the command again",
            );
        }
        None => return Finding::error(format!("no signature of {name} was looked for"), "run the command again"),
    };
    // Keys may have changed since the facts were gathered, so a verified signature counts only by a key that is asked for.
    let trusted = |signature: &&ImageSignature| signature.signer.as_ref().is_some_and(|signer| config.keys.contains(&signer.key));
    let of_ours: Vec<&ImageSignature> = signatures.read.iter().filter(trusted).collect();
    if let Some(good) = of_ours.iter().find(|signature| signature.signs == Some(component.digest)) {
        let signer = good.signer.as_ref().map(ToString::to_string).unwrap_or_default();
        return Finding::pass(format!("{name}: signed, {signer}")).with([good.payload]);
    }
    if let Some(foreign) = of_ours.iter().find_map(|signature| signature.signs) {
        return Finding::error(
            format!("the signature beside {name} is foreign: its key is trusted, and it signs {foreign}, not {}", component.digest),
            "find out who put the signature of another image there, then sign this one",
        );
    }
    not_by_ours(name, signatures)
}

/// Why signatures of which none is right do not suffice.
fn not_by_ours(name: &ComponentName, signatures: &Signatures) -> Finding {
    let unread = signatures.unread.join(", ");
    let also = if unread.is_empty() { String::new() } else { format!("; a signature in a form that is not read yet is there too ({unread})") };
    match (signatures.read.first(), signatures.read.len()) {
        (Some(first), count) => {
            let why = first.why_not.as_deref().unwrap_or("no trusted key made it");
            let which = if count == 1 { "the signature".to_owned() } else { format!("none of {count} signatures") };
            let verdict = if count == 1 { "is not valid" } else { "is valid" };
            Finding::fail(
                format!("{which} of {name} {verdict}: {why}{also}"),
                "sign the image with a key that `signature` names, or let the policy name the key that signed it",
            )
        }
        (None, _) if unread.is_empty() => Finding::error(format!("what was read of the signatures of {name} is empty"), "run the command again"),
        (None, _) => Finding::error(
            format!("{name} has signatures in a form that this gate does not read yet: {unread}"),
            "sign it in the form of cosign 2 as well: `cosign sign --new-bundle-format=false --use-signing-config=false --key cosign.key IMAGE`",
        ),
    }
}
