//! SBOMs in CycloneDX 1.2 to 1.7, JSON (ECMA-424; CycloneDX/specification, `schema/bom-1.6.schema.json`).
//!
//! Several licences of one component all apply. Identifiers and expressions are joined with `AND`; a name that is no
//! identifier cannot stand in an expression, so the component stands under each such name besides. Licences that are
//! acknowledged as concluded count before the others (1.6). Files, the operating system and the lists that components
//! were found in need no licence, and are no packages unless they state one.

use std::collections::BTreeSet;

use sealift_domain::evidence::{Claim, Sbom};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    either::{FirstOr, IfObject, Shown},
    names,
    read::{List, Reason, Text, Time, each, items, moment},
    tally::{Tally, licence_name, package},
};

/// A document.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "bomFormat", borrow)]
    format: Text<'a>,
    #[serde(rename = "specVersion", borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    components: Option<Components>,
}

#[derive(Default, Deserialize)]
struct Metadata<'a> {
    timestamp: Option<Time>,
    tools: Option<Tools>,
    #[serde(borrow)]
    component: Option<Root<'a>>,
}

/// What the document is about.
#[derive(Deserialize)]
struct Root<'a> {
    #[serde(rename = "bom-ref", borrow)]
    reference: Option<Text<'a>>,
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    group: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    #[serde(borrow)]
    purl: Option<Text<'a>>,
    #[serde(borrow)]
    hashes: Option<List<Hash<'a>>>,
    #[serde(borrow)]
    properties: Option<List<Property<'a>>>,
    #[serde(borrow)]
    licenses: Option<List<Licence<'a>>>,
    components: Option<Components>,
}

#[derive(Deserialize)]
struct Hash<'a> {
    #[serde(borrow)]
    alg: Text<'a>,
    #[serde(borrow)]
    content: Text<'a>,
}

#[derive(Deserialize)]
struct Property<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Component<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    group: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    #[serde(borrow)]
    purl: Option<Text<'a>>,
    #[serde(borrow)]
    licenses: Option<List<Licence<'a>>>,
    components: Option<Components>,
}

/// One entry of `licenses`: an object with a licence, or an expression.
#[derive(Deserialize)]
struct Licence<'a> {
    #[serde(borrow)]
    license: Option<Named<'a>>,
    #[serde(borrow)]
    expression: Option<Text<'a>>,
    #[serde(borrow)]
    acknowledgement: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    acknowledgement: Option<Text<'a>>,
}

/// The components and those within them, counted.
#[derive(Default)]
struct Components(Tally);

/// What made the document: a list until 1.4, an object since 1.5.
#[derive(Default)]
struct Tools(Option<String>);

#[derive(Deserialize)]
struct Tool {
    name: Option<Shown>,
    version: Option<Shown>,
}

#[derive(Deserialize)]
struct ToolObject {
    components: Option<List<IfObject<Tool>>>,
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let first = match FirstOr::<Tool, ToolObject>::deserialize(deserializer)? {
            FirstOr::First(first) => first,
            FirstOr::Object(object) => items(object.components).into_iter().find_map(|tool| tool.0),
            FirstOr::Neither => None,
        };
        let text = |shown: Option<Shown>| shown.and_then(|shown| shown.0);
        Ok(Self(first.and_then(|tool| match (text(tool.name), text(tool.version)) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (name, _) => name,
        })))
    }
}

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut tally = Tally::default();
        each(deserializer, |component: Component<'de>| take(&mut tally, component))?;
        Ok(Self(tally))
    }
}

fn take(tally: &mut Tally, component: Component<'_>) -> Result<(), Reason> {
    let Component { kind, group, name, version, purl, licenses, components } = component;
    let version = version.as_deref().unwrap_or_default();
    let licences = licences(items(licenses));
    let other = match kind.as_deref() {
        Some("file" | "operating-system") => true,
        // A lock file or a binary that components were found in, as Trivy has it.
        Some("application") => version.is_empty() && purl.is_none(),
        _ => false,
    };
    if !licences.is_empty() || !other {
        tally.count()?;
        put(tally, &licences, &package(group.as_deref().unwrap_or_default(), &name, version)?)?;
    }
    match components {
        Some(components) => tally.merge(components.0),
        None => Ok(()),
    }
}

fn put(tally: &mut Tally, licences: &BTreeSet<String>, package: &str) -> Result<(), Reason> {
    if licences.is_empty() {
        return tally.put("", package.to_owned());
    }
    licences.iter().try_for_each(|licence| tally.put(licence, package.to_owned()))
}

/// Under which licences a component stands: one expression, and each name that is no part of one. An entry that says
/// nothing leaves its mark as the empty text. No entry: none.
fn licences(entries: Vec<Licence<'_>>) -> BTreeSet<String> {
    let concluded = |entry: &Licence<'_>| {
        let within = entry.license.as_ref().and_then(|licence| licence.acknowledgement.as_deref());
        within.or(entry.acknowledgement.as_deref()) == Some("concluded")
    };
    let only_concluded = entries.iter().any(concluded);
    let (mut expressions, mut found) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries.iter().filter(|entry| !only_concluded || concluded(entry)) {
        let named = entry.license.as_ref();
        let expression = entry.expression.as_ref().or(named.and_then(|licence| licence.id.as_ref()));
        match (expression, named.and_then(|licence| licence.name.as_ref())) {
            (Some(expression), _) if !expression.trim().is_empty() => {
                expressions.insert(expression.trim());
            }
            (_, Some(name)) => {
                found.insert(licence_name(name));
            }
            _ => {
                found.insert(String::new());
            }
        }
    }
    let parts = expressions.len();
    let part = |text: &&str| match parts > 1 && text.contains(' ') {
        true => format!("({text})"),
        false => (*text).to_owned(),
    };
    if parts > 0 {
        found.insert(expressions.iter().map(part).collect::<Vec<_>>().join(" AND "));
    }
    found
}

impl Document<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        if &*self.format != "CycloneDX" {
            return Err("its format is not CycloneDX");
        }
        if !matches!(&*self.version, "1.2" | "1.3" | "1.4" | "1.5" | "1.6" | "1.7") {
            return Err("only CycloneDX 1.2 to 1.7 is read");
        }
        let Metadata { timestamp, tools, component } = self.metadata.unwrap_or_default();
        let mut tally = self.components.ok_or("it does not say which components there are")?.0;
        let mut read = Read::default();
        if let Some(root) = component {
            root.take(&mut tally, &mut read)?;
        }
        read.claim = Claim::Sbom(Sbom {
            format: format!("CycloneDX {}", &*self.version),
            tool: tools.and_then(|tools| tools.0),
            created: moment(timestamp),
            packages: tally.packages,
            licences: tally.licences,
        });
        Ok(read)
    }
}

impl Root<'_> {
    fn take(self, tally: &mut Tally, read: &mut Read) -> Result<(), Reason> {
        let texts = [self.reference.as_deref(), self.version.as_deref(), self.purl.as_deref()];
        if self.kind.as_deref() == Some("container") {
            read.subjects.extend(texts.into_iter().flatten().filter_map(names::digest));
            let hashes = items(self.hashes).into_iter().filter(|hash| &*hash.alg == "SHA-256");
            read.subjects.extend(hashes.filter_map(|hash| names::sha256(&hash.content)));
            for property in items(self.properties) {
                let (Some(name), Some(value)) = (property.name, property.value) else { continue };
                match &*name {
                    "aquasecurity:trivy:RepoDigest" => read.subjects.extend(names::digest(&value)),
                    "aquasecurity:trivy:ImageID" => read.configs.extend(names::digest(&value)),
                    _ => {}
                }
            }
        }
        // What the document is about is no part of it; but a licence that it states is not passed over.
        let licences = licences(items(self.licenses));
        if let (false, Some(name)) = (licences.is_empty(), &self.name) {
            let (group, version) = (self.group.as_deref().unwrap_or_default(), self.version.as_deref());
            tally.count()?;
            put(tally, &licences, &package(group, name, version.unwrap_or_default())?)?;
        }
        match self.components {
            Some(components) => tally.merge(components.0),
            None => Ok(()),
        }
    }
}
