//! SBOMs in SPDX 2.2 and 2.3, JSON (SPDX Specification 2.3, clauses 6, 7 and 11; `schemas/spdx-schema.json`).
//!
//! The image that the document describes is its subject. Trivy names the index where that is what was asked for, though
//! it looked at one platform; the image's configuration says at which.
//!
//! A package counts with its concluded licence, or else with its declared one. What stands for the image itself, for
//! its operating system or for the list that packages were found in needs no licence, and is no package unless it
//! states one: nothing that states a licence is passed over.

use std::{borrow::Cow, collections::BTreeSet};

use sealift_domain::{
    digest::Digest,
    evidence::{Claim, Sbom},
};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    either::{Shown, TextOr},
    names,
    read::{Kept, List, Reason, Text, Time, each, items, moment},
    tally::{Tally, package},
};

/// A document.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "spdxVersion")]
    version: Kept,
    #[serde(rename = "SPDXID", borrow)]
    id: Option<Text<'a>>,
    #[serde(rename = "creationInfo")]
    creation: Option<Creation>,
    #[serde(rename = "documentDescribes", borrow)]
    describes: Option<List<Text<'a>>>,
    #[serde(borrow)]
    packages: Option<Packages<'a>>,
    #[serde(borrow)]
    relationships: Option<Relationships<'a>>,
}

#[derive(Deserialize)]
struct Creation {
    created: Option<Time>,
    creators: Option<List<Shown>>,
}

/// What is left of the packages once they are read.
#[derive(Default)]
struct Packages<'a> {
    tally: Tally,
    /// Those of which no licence is said.
    silent: Vec<Silent<'a>>,
    /// Those that name an image.
    images: Vec<Image<'a>>,
}

struct Silent<'a> {
    id: Cow<'a, str>,
    package: String,
    /// It is no package by what it says of itself.
    other: bool,
}

struct Image<'a> {
    id: Cow<'a, str>,
    container: bool,
    digests: BTreeSet<Digest>,
    config: Option<Digest>,
}

/// What the document is said to describe.
#[derive(Default)]
struct Relationships<'a>(Vec<Described<'a>>);

struct Described<'a> {
    by: Cow<'a, str>,
    what: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(rename = "SPDXID", borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(rename = "versionInfo", borrow)]
    version: Option<Text<'a>>,
    #[serde(rename = "licenseConcluded", borrow)]
    concluded: Option<Text<'a>>,
    #[serde(rename = "licenseDeclared", borrow)]
    declared: Option<Text<'a>>,
    #[serde(rename = "primaryPackagePurpose", borrow)]
    purpose: Option<Text<'a>>,
    #[serde(rename = "externalRefs")]
    references: Option<References>,
    checksums: Option<Checksums>,
    annotations: Option<ImageId>,
    #[serde(rename = "attributionTexts")]
    attributions: Option<ImageId>,
}

/// The package URLs among a package's references: whether there is one, and the image that one of type `oci` names.
#[derive(Default)]
struct References {
    purl: bool,
    image: Option<Digest>,
}

#[derive(Default)]
struct Checksums(Option<Digest>);

/// The digest of the image's configuration, as Trivy writes it among annotations, or attributions before 0.58.
#[derive(Default)]
struct ImageId(Option<Digest>);

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    comment: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(rename = "referenceLocator", borrow)]
    locator: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Checksum<'a> {
    #[serde(borrow)]
    algorithm: Option<Text<'a>>,
    #[serde(rename = "checksumValue", borrow)]
    value: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Relationship<'a> {
    #[serde(rename = "spdxElementId", borrow)]
    from: Option<Text<'a>>,
    #[serde(rename = "relationshipType", borrow)]
    kind: Option<Text<'a>>,
    #[serde(rename = "relatedSpdxElement", borrow)]
    to: Option<Text<'a>>,
}

impl<'de> Deserialize<'de> for References {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Self::default();
        each(deserializer, |reference: Reference<'de>| {
            if let Some(locator) = reference.locator.filter(|locator| locator.starts_with("pkg:")) {
                found.purl = true;
                found.image = found.image.or_else(|| names::digest(&locator));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl<'de> Deserialize<'de> for Checksums {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = None;
        each(deserializer, |checksum: Checksum<'de>| {
            if checksum.algorithm.is_some_and(|algorithm| &*algorithm == "SHA256") {
                found = checksum.value.and_then(|value| names::sha256(&value));
            }
            Ok(())
        })?;
        Ok(Self(found))
    }
}

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = None;
        each(deserializer, |text: TextOr<'de, Annotation<'de>>| {
            let text = match text {
                TextOr::Text(text) => Some(text),
                TextOr::Object(annotation) => annotation.comment,
            };
            found = found.or(text.and_then(|text| names::digest(text.strip_prefix("ImageID: ")?)));
            Ok(())
        })?;
        Ok(Self(found))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Packages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut packages = Packages::default();
        each(deserializer, |package: Package<'de>| packages.take(package))?;
        Ok(packages)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Relationships<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut described = Vec::new();
        each(deserializer, |relationship: Relationship<'de>| {
            let (Some(from), Some(kind), Some(to)) = (relationship.from, relationship.kind, relationship.to) else {
                return Ok(());
            };
            match &*kind {
                "DESCRIBES" => described.push(Described { by: from.0, what: to.0 }),
                "DESCRIBED_BY" => described.push(Described { by: to.0, what: from.0 }),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self(described))
    }
}

impl<'a> Packages<'a> {
    fn take(&mut self, read: Package<'a>) -> Result<(), Reason> {
        self.tally.count()?;
        let licence = licence(read.concluded.as_deref(), read.declared.as_deref());
        let version = read.version.as_deref().unwrap_or_default();
        let container = read.purpose.as_deref() == Some("CONTAINER");
        let references = read.references.unwrap_or_default();
        let id = read.id.unwrap_or_default().0;

        let mut digests: BTreeSet<_> = references.image.into_iter().chain(version.parse().ok()).collect();
        digests.extend(read.checksums.unwrap_or_default().0.filter(|_| container));
        let config = [read.annotations, read.attributions].into_iter().flatten().find_map(|id| id.0);
        if !digests.is_empty() || config.is_some() {
            self.images.push(Image { id: id.clone(), container, digests, config });
        }

        let package = package("", &read.name, version)?;
        if !licence.is_empty() {
            return self.tally.put(licence, package);
        }
        let other = match read.purpose.as_deref() {
            // Trivy writes the second, the specification the third.
            Some("CONTAINER" | "OPERATING-SYSTEM" | "OPERATING_SYSTEM") => true,
            // A lock file or a binary that packages were found in, as Trivy has it.
            Some("APPLICATION") => version.is_empty() && !references.purl,
            _ => false,
        };
        self.silent.push(Silent { id, package, other });
        Ok(())
    }
}

/// What is said of a licence. `NONE` says that there is none, and nobody is asked further.
fn licence<'t>(concluded: Option<&'t str>, declared: Option<&'t str>) -> &'t str {
    let said = |text: Option<&'t str>| text.map(str::trim).filter(|text| !matches!(*text, "" | "NOASSERTION"));
    let licence = said(concluded).or_else(|| said(declared)).unwrap_or_default();
    if licence == "NONE" { "" } else { licence }
}

impl Document<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let format = match self.version.0.as_str() {
            "SPDX-2.2" => "SPDX 2.2",
            "SPDX-2.3" => "SPDX 2.3",
            _ => return Err("only SPDX 2.2 and 2.3 are read"),
        };
        let own = self.id.unwrap_or(Text(Cow::Borrowed("SPDXRef-DOCUMENT"))).0;
        let mut described: BTreeSet<_> = items(self.describes).into_iter().map(|id| id.0).collect();
        let relationships = self.relationships.unwrap_or_default().0;
        described.extend(relationships.into_iter().filter(|described| described.by == own).map(|one| one.what));

        let Packages { mut tally, silent, images } = self.packages.ok_or("it does not say which packages there are")?;
        // Some tools say of every package that the document describes it: then none of them is the root of the rest.
        let root = if described.len() == 1 { described.first() } else { None };
        for Silent { id, package, other } in silent {
            if other || root == Some(&id) {
                tally.packages -= 1;
            } else {
                tally.put("", package)?;
            }
        }
        let is_subject = |image: &Image<'_>| match described.is_empty() {
            true => image.container,
            false => described.contains(&image.id),
        };
        let mut said = Read::default();
        for image in images.into_iter().filter(is_subject) {
            said.subjects.extend(image.digests);
            said.configs.extend(image.config);
        }

        let creation = self.creation.unwrap_or(Creation { created: None, creators: None });
        let tool = items(creation.creators).into_iter().find_map(|who| Some(who.0?.strip_prefix("Tool: ")?.to_owned()));
        said.claim = Claim::Sbom(Sbom {
            format: format.to_owned(),
            tool,
            created: moment(creation.created),
            packages: tally.packages,
            licences: tally.licences,
        });
        Ok(said)
    }
}
