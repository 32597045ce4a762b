//! OpenVEX 0.0.1 to 0.2.0 (openvex/spec, `OPENVEX-SPEC.md`).
//!
//! A product of which nothing is said by which it could be known would read as the document's subject, and such a
//! subcomponent as the whole product: both make the document unreadable. So does a time that is none, because of
//! several statements the newest counts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealift_domain::evidence::{Claim, Vex, VexStatement, VexStatus};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    either::TextOr,
    names,
    read::{Kept, List, MAX_FINDINGS, Reason, Text, each, items, said},
};

/// A document.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "@context", borrow)]
    context: Text<'a>,
    author: Option<Kept>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    last_updated: Option<Text<'a>>,
    statements: Option<Statements>,
}

struct Statements(Vec<VexStatement>);

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow)]
    vulnerability: TextOr<'a, Vulnerability>,
    #[serde(borrow)]
    products: Option<List<TextOr<'a, Product<'a>>>>,
    /// Until 0.0.2; later they stand in the product.
    #[serde(borrow)]
    subcomponents: Option<List<TextOr<'a, Part<'a>>>>,
    #[serde(borrow)]
    status: Text<'a>,
    justification: Option<Kept>,
    #[serde(borrow)]
    impact_statement: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    last_updated: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(rename = "@id")]
    id: Option<Kept>,
    name: Option<Kept>,
    aliases: Option<List<Kept>>,
}

#[derive(Deserialize)]
struct Product<'a> {
    #[serde(rename = "@id")]
    id: Option<Kept>,
    identifiers: Option<Identifiers>,
    #[serde(borrow)]
    hashes: Option<Hashes<'a>>,
    #[serde(borrow)]
    subcomponents: Option<List<TextOr<'a, Part<'a>>>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "@id")]
    id: Option<Kept>,
    identifiers: Option<Identifiers>,
    #[serde(borrow)]
    hashes: Option<Hashes<'a>>,
}

#[derive(Deserialize)]
struct Identifiers {
    purl: Option<Kept>,
    cpe22: Option<Kept>,
    cpe23: Option<Kept>,
}

#[derive(Deserialize)]
struct Hashes<'a> {
    #[serde(rename = "sha-256", borrow)]
    sha256: Option<Text<'a>>,
}

impl<'de> Deserialize<'de> for Statements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        each(deserializer, |statement: Statement<'de>| statement.add_to(&mut found))?;
        Ok(Self(found))
    }
}

impl Statement<'_> {
    /// Adds what it says: one statement, or one for each product where they are limited to parts, so that no product
    /// is held to another's parts.
    fn add_to(self, found: &mut Vec<VexStatement>) -> Result<(), Reason> {
        let status = match &*self.status {
            "not_affected" => VexStatus::NotAffected,
            "affected" => VexStatus::Affected,
            "fixed" => VexStatus::Fixed,
            "under_investigation" => VexStatus::UnderInvestigation,
            _ => return Err("a statement has a status that OpenVEX does not know"),
        };
        let mut whole = VexStatement {
            vulnerabilities: vulnerabilities(self.vulnerability)?,
            products: BTreeSet::new(),
            subcomponents: parts(self.subcomponents)?,
            status,
            justification: match (said(self.justification), self.impact_statement) {
                (None, Some(impact)) => Some(impact.keep()?).filter(|impact| !impact.is_empty()),
                (justification, _) => justification,
            },
            at: time(self.last_updated)?.or(time(self.timestamp)?),
        };
        let mut products = items(self.products).into_iter().map(product).collect::<Result<Vec<_>, _>>()?;
        if products.iter().all(|(_, parts)| parts.is_empty()) {
            whole.products = products.into_iter().flat_map(|(names, _)| names).collect();
            return push(found, whole);
        }
        let last = products.pop();
        for (products, parts) in products {
            push(found, limited(whole.clone(), products, parts))?;
        }
        last.map_or(Ok(()), |(products, parts)| push(found, limited(whole, products, parts)))
    }
}

fn limited(whole: VexStatement, products: BTreeSet<String>, mut parts: BTreeSet<String>) -> VexStatement {
    let mut subcomponents = whole.subcomponents;
    subcomponents.append(&mut parts);
    VexStatement { products, subcomponents, ..whole }
}

fn push(found: &mut Vec<VexStatement>, statement: VexStatement) -> Result<(), Reason> {
    if found.len() == MAX_FINDINGS {
        return Err("it has more than 100000 statements");
    }
    found.push(statement);
    Ok(())
}

fn vulnerabilities(read: TextOr<'_, Vulnerability>) -> Result<BTreeSet<String>, Reason> {
    let names: BTreeSet<_> = match read {
        TextOr::Text(name) => BTreeSet::from([name.keep()?]),
        TextOr::Object(object) => {
            // The identifier is an address, of use only where there is no name.
            let name = said(object.name).or(said(object.id));
            items(object.aliases).into_iter().map(|alias| alias.0).chain(name).collect()
        }
    };
    if names.iter().all(String::is_empty) {
        return Err("a statement does not say which vulnerability it is about");
    }
    Ok(names)
}

/// By what a product can be known, and the parts of it that are meant.
fn product(read: TextOr<'_, Product<'_>>) -> Result<(BTreeSet<String>, BTreeSet<String>), Reason> {
    match read {
        TextOr::Text(name) => Ok((named(Some(Kept(name.keep()?)), None, None)?, BTreeSet::new())),
        TextOr::Object(Product { id, identifiers, hashes, subcomponents }) => {
            Ok((named(id, identifiers, hashes)?, parts(subcomponents)?))
        }
    }
}

fn parts(read: Option<List<TextOr<'_, Part<'_>>>>) -> Result<BTreeSet<String>, Reason> {
    let mut names = BTreeSet::new();
    for part in items(read) {
        names.append(&mut match part {
            TextOr::Text(name) => named(Some(Kept(name.keep()?)), None, None)?,
            TextOr::Object(Part { id, identifiers, hashes }) => named(id, identifiers, hashes)?,
        });
    }
    Ok(names)
}

fn named(
    id: Option<Kept>,
    identifiers: Option<Identifiers>,
    hashes: Option<Hashes<'_>>,
) -> Result<BTreeSet<String>, Reason> {
    let mut names: BTreeSet<_> = said(id).into_iter().collect();
    if let Some(Identifiers { purl, cpe22, cpe23 }) = identifiers {
        names.extend([purl, cpe22, cpe23].into_iter().filter_map(said));
    }
    if let Some(digits) = hashes.and_then(|hashes| hashes.sha256) {
        let digest = names::sha256(&digits).ok_or("a hash of a product is no SHA-256")?;
        names.insert(digest.to_string());
    }
    if names.is_empty() { Err("a product or a part of one has nothing by which it is known") } else { Ok(names) }
}

fn time(text: Option<Text<'_>>) -> Result<Option<Timestamp>, Reason> {
    text.map(|text| text.parse().map_err(|_| "a time in it is no time")).transpose()
}

impl Document<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let version = self.context.strip_prefix("https://openvex.dev/ns").ok_or("its context is not OpenVEX")?;
        if !matches!(version, "" | "/v0.0.1" | "/v0.0.2" | "/v0.2.0") {
            return Err("only OpenVEX 0.0.1 to 0.2.0 is read");
        }
        let statements = self.statements.ok_or("it has no statements")?.0;
        let products = statements.iter().flat_map(|statement| &statement.products);
        let subjects = products.filter_map(|name| names::digest(name)).collect();
        let claim = Claim::Vex(Vex {
            author: self.author.unwrap_or_default().0,
            at: time(self.last_updated)?.or(time(self.timestamp)?),
            statements,
        });
        Ok(Read { claim, subjects, ..Read::default() })
    }
}
