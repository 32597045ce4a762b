//! What manifests and configurations say, as far as running an image needs it.
//!
//! OCI Image Specification 1.1, "Image Manifest", "Image Index" and "Image Configuration"; Docker's "Image Manifest V 2,
//! Schema 2" has the same fields under its own media types.

use std::collections::BTreeMap;

use sealift_domain::digest::Digest;
use serde::{Deserialize, Serialize};

use super::layer::Compression;

/// The most layers of an image. Union file systems stop at 127; other formats allow more, nobody uses them.
const MAX_LAYERS: usize = 512;

/// A manifest or an index, told apart by what is in it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// The images of one name, each for a platform.
#[derive(Deserialize)]
pub(super) struct Index {
    manifests: Vec<IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    digest: Digest,
    platform: Option<Platform>,
}

/// A platform as an index or an image configuration names it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

/// One image: its configuration and its layers.
#[derive(Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A blob by media type, digest and size in bytes.
#[derive(Deserialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType")]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// The configuration of an image.
#[derive(Serialize, Deserialize)]
pub(super) struct Configuration {
    #[serde(flatten)]
    pub(super) platform: Platform,
    #[serde(default)]
    pub(super) config: Option<Execution>,
    pub(super) rootfs: RootFs,
}

/// How the image wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Execution {
    /// `NAME=value` pairs.
    #[serde(default)]
    pub(crate) env: Option<Vec<String>>,
    /// Program and first arguments.
    #[serde(default)]
    pub(crate) entrypoint: Option<Vec<String>>,
    /// Further arguments, or the program if there is no entrypoint.
    #[serde(default)]
    pub(crate) cmd: Option<Vec<String>>,
    /// The working directory in the image.
    #[serde(default)]
    pub(crate) working_dir: Option<String>,
    /// What its builder said of it.
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RootFs {
    pub(super) diff_ids: Vec<Digest>,
}

impl Platform {
    /// The platform of this machine, in the words of the Go tool chain (`GOOS`, `GOARCH`) that the format uses.
    pub(super) fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self { os: std::env::consts::OS.to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    fn runs_on(&self, machine: &Self) -> bool {
        self.os == machine.os && self.architecture == machine.architecture
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl Index {
    /// The image for `machine`. Among several, the one with the least demanding variant: none, then the first in order.
    pub(super) fn pick(&self, machine: &Platform) -> Result<Digest, String> {
        let platform = |entry: &IndexEntry| entry.platform.clone().unwrap_or_default();
        let fitting = self.manifests.iter().filter(|entry| platform(entry).runs_on(machine));
        let best = fitting.min_by_key(|entry| platform(entry).variant);
        best.map(|entry| entry.digest).ok_or_else(|| {
            let offered: Vec<String> = self.manifests.iter().map(|entry| platform(entry).to_string()).collect();
            format!("the image is for {}, this machine is {machine}", offered.join(", "))
        })
    }
}

impl Manifest {
    /// The sum of the layers as they are stored, in bytes.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }

    /// The layers with their compression. Anything that is not a layer to run is refused.
    pub(super) fn runnable_layers<'a>(&'a self) -> Result<Vec<(&'a Descriptor, Compression)>, String> {
        if self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            return Err(format!("the image has {} layers: 1 to {MAX_LAYERS} can be run", self.layers.len()));
        }
        let known = |layer: &'a Descriptor| match Compression::of(&layer.media_type) {
            Some(compression) => Ok((layer, compression)),
            None => {
                let Descriptor { media_type, digest, .. } = layer;
                Err(format!("layer {} has the media type `{media_type}`, which cannot be run", digest.short()))
            }
        };
        self.layers.iter().map(known).collect()
    }
}

impl Configuration {
    /// Refuses an image for another platform, and one whose layers and configuration do not belong together.
    pub(super) fn check(&self, machine: &Platform, layers: usize) -> Result<(), String> {
        if !self.platform.runs_on(machine) {
            return Err(format!("the image is for {}, this machine is {machine}", self.platform));
        }
        match self.rootfs.diff_ids.len() {
            n if n == layers => Ok(()),
            n => Err(format!("the manifest lists {layers} layers, the configuration {n}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> Index {
        let entry = |(os, architecture, variant): &(&str, &str, Option<&str>)| {
            let platform = Platform {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: variant.map(str::to_owned),
            };
            IndexEntry { digest: Digest::of(platform.to_string().as_bytes()), platform: Some(platform) }
        };
        Index { manifests: platforms.iter().map(entry).collect() }
    }

    #[test]
    fn the_image_of_this_machine_is_picked() {
        let arm = Platform { os: "linux".into(), architecture: "arm64".into(), variant: None };
        let all = [("unknown", "unknown", None), ("linux", "amd64", None), ("linux", "arm64", Some("v8"))];
        assert_eq!(index(&all).pick(&arm), Ok(Digest::of(b"linux/arm64/v8")));
        let two = [("linux", "arm64", Some("v9")), ("linux", "arm64", None)];
        assert_eq!(index(&two).pick(&arm), Ok(Digest::of(b"linux/arm64")));
        let error = index(&all[..2]).pick(&arm).unwrap_err();
        assert_eq!(error, "the image is for unknown/unknown, linux/amd64, this machine is linux/arm64");
    }

    #[test]
    fn documents_are_told_apart() {
        let digest = Digest::of(b"");
        let index = format!(r#"{{"manifests":[{{"digest":"{digest}","size":1}}]}}"#);
        assert!(matches!(serde_json::from_str(&index).unwrap(), Document::Index(_)));
        let blob = format!(r#"{{"mediaType":"x","digest":"{digest}","size":1}}"#);
        let manifest = format!(r#"{{"config":{blob},"layers":[{blob}]}}"#);
        let Document::Manifest(manifest) = serde_json::from_str(&manifest).unwrap() else { panic!("no manifest") };
        assert!(manifest.runnable_layers().err().unwrap().contains("media type `x`"));
        assert!(serde_json::from_str::<Document>("{}").is_err());
    }
}
