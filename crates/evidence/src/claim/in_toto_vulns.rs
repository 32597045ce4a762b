//! Scans as in-toto attests them: `https://in-toto.io/attestation/vulns/v0.1` and v0.2 (in-toto/attestation,
//! `spec/predicates/vuln.md` and `vulns_02.md`).
//!
//! An empty `result` says that nothing was found; none says nothing. The format has no place for the package, so a
//! finding is of an unnamed one. Of several severities the worst counts.

use sealift_domain::evidence::{Claim, Finding, Severity};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    cosign_vuln::{Database, Metadata, scan},
    read::{Kept, List, MAX_FINDINGS, Reason, TOO_MANY_FINDINGS, Text, each, items},
    severity,
};

/// The predicate.
#[derive(Deserialize)]
pub(super) struct Predicate {
    scanner: Scanner,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Scanner {
    uri: Option<Kept>,
    version: Option<Kept>,
    db: Option<Database>,
    result: Option<Results>,
}

struct Results(Vec<Finding>);

/// One vulnerability; the fields of v0.1 name one level more than its example shows.
#[derive(Deserialize)]
struct Entry<'a> {
    id: Option<Kept>,
    #[serde(borrow)]
    severity: Option<List<Rating<'a>>>,
    #[serde(borrow)]
    vulnerability: Option<Vulnerability<'a>>,
}

#[derive(Deserialize)]
struct Vulnerability<'a> {
    id: Kept,
    #[serde(borrow)]
    severity: Option<List<Rating<'a>>>,
}

#[derive(Deserialize)]
struct Rating<'a> {
    #[serde(borrow)]
    score: Text<'a>,
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        each(deserializer, |entry: Entry<'de>| {
            if found.len() == MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
            found.push(entry.finding()?);
            Ok(())
        })?;
        Ok(Self(found))
    }
}

impl Entry<'_> {
    fn finding(self) -> Result<Finding, Reason> {
        let (id, ratings) = match (self.id, self.vulnerability) {
            (Some(id), None) => (id, self.severity),
            (None, Some(inner)) => (inner.id, inner.severity),
            _ => return Err("an entry of `scanner.result` does not say which vulnerability it is"),
        };
        Ok(Finding {
            id: id.0,
            aliases: Default::default(),
            severity: worst(items(ratings))?,
            package: String::new(),
            version: String::new(),
            purl: None,
            fixed_in: None,
        })
    }
}

/// The worst severity that is known; unknown if none is.
fn worst(ratings: Vec<Rating<'_>>) -> Result<Severity, Reason> {
    let read = ratings.iter().map(|rating| severity::of_text(&rating.score));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    Ok(read.into_iter().filter(|severity| *severity != Severity::Unknown).max().unwrap_or_default())
}

impl Predicate {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let Scanner { uri, version, db, result } = self.scanner;
        let mut scan = scan(uri, version, db, self.metadata);
        scan.findings = result.map(|result| result.0);
        Ok(Read { claim: Claim::Scan(scan), ..Read::default() })
    }
}
