//! There is a bill of materials for every platform.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    Asks, ComponentFacts, Facts, Finding, Required,
    believed::{Piece, SBOM, believed, resting_on},
    words::{count, first_few, shown},
};
use crate::{
    evidence::{Sbom, Trust},
    image::Image,
    name::ComponentName,
};

pub(super) const CODE: &str = "G013";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "A bill of materials for every platform, signed by whom `by` names or else handed in to the log, and not empty.";
pub(super) const REQUIRE: &str = "sbom: required";

/// Whose SBOM counts, and in which format: `required`, or a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(into = "Written")]
#[schemars(with = "Written", rename = "SbomGate")]
pub struct Config(Settings);

/// The settings of the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SbomSettings")]
pub(super) struct Settings {
    /// Whose signature counts. Without it, only what was handed in to the log does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Trust>,
    /// The formats that count. Without them every format that is read does.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    formats: BTreeSet<Format>,
}

/// A format of bills of materials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// SPDX (ISO/IEC 5962).
    Spdx,
    /// CycloneDX (ECMA-424).
    Cyclonedx,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    Word(Required),
    Settings(Settings),
}

impl From<Config> for Written {
    fn from(Config(settings): Config) -> Self {
        if settings == Settings::default() { Self::Word(Required::Required) } else { Self::Settings(settings) }
    }
}

/// By hand, so that a mistake in the mapping is named and not only that neither form fits.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`required`, or a mapping with `by` and `formats`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Config, E> {
                if text == "required" {
                    Ok(Config::default())
                } else {
                    Err(E::custom("`sbom` is `required`, or a mapping with `by` and `formats`"))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
                Settings::deserialize(MapAccessDeserializer::new(map)).map(Config)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl Format {
    fn is_of(self, sbom: &Sbom) -> bool {
        let name = match self {
            Self::Spdx => "spdx",
            Self::Cyclonedx => "cyclonedx",
        };
        sbom.format.to_ascii_lowercase().starts_with(name)
    }
}

/// What to do where there is none.
pub(super) const REMEDY: &str = "make one for each platform and attest it: `syft REPOSITORY@PLATFORM-DIGEST -o spdx-json > sbom.json`, then \
     `cosign attest --type spdxjson --predicate sbom.json --key cosign.key REPOSITORY@PLATFORM-DIGEST`";

pub(super) fn asks(Config(config): &Config) -> Asks<'_> {
    Asks::evidence(&config.by)
}

pub(super) fn judge(Config(config): &Config, facts: &Facts) -> Finding {
    if let Some(admitted) = facts.was_admitted() {
        return admitted;
    }
    facts.each_image(|name, image| match facts.components.get(name) {
        Some(component) => listed(config, name, component, image).unwrap_or_else(|finding| finding),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

fn listed(
    config: &Settings,
    name: &ComponentName,
    component: &ComponentFacts,
    image: &Image,
) -> Result<Finding, Finding> {
    let believed = believed(&SBOM, config.by.as_ref(), name, component, image)?;
    let mut packages = 0;
    let mut digests = Vec::new();
    let mut whose = BTreeSet::new();
    for (platform, pieces) in believed.of_each_platform(config.by.as_ref(), REMEDY)? {
        let right: Vec<&Piece<'_, Sbom>> = pieces.iter().filter(|piece| config.counts(piece.claim)).copied().collect();
        if right.is_empty() {
            let formats = first_few(pieces.iter().map(|piece| shown(&piece.claim.format)));
            let reason =
                format!("the SBOM of {name} for {} is in a format that does not count: {formats}", platform.platform);
            return Err(Finding::fail(reason, REMEDY));
        }
        // Several documents complete each other; the largest says best how much there is.
        let most = right.iter().map(|piece| piece.claim.packages).max().unwrap_or(0);
        if most == 0 {
            let reason = format!("the SBOM of {name} for {} is empty", platform.platform);
            return Err(Finding::fail(
                reason,
                "let the tool that makes it look into the image and not into an empty folder",
            ));
        }
        packages += most;
        whose.extend(right.iter().map(|piece| piece.proof.to_string()));
        digests.extend(right.iter().flat_map(|piece| piece.digests()));
    }
    let found =
        format!("{name}: {packages} packages on {}, {}", count(image.platforms.len(), "platform"), first_few(whose));
    Ok(resting_on(Finding::pass(found), digests))
}

impl Settings {
    fn counts(&self, sbom: &Sbom) -> bool {
        self.formats.is_empty() || self.formats.iter().any(|format| format.is_of(sbom))
    }
}
