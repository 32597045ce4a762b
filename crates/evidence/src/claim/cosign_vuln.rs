//! Scans as cosign attests them: `https://cosign.sigstore.dev/attestation/vuln/v1` (sigstore/cosign,
//! `specs/COSIGN_VULN_ATTESTATION_SPEC.md`).
//!
//! `scanner.result` is the report as the scanner wrote it. What it says of itself counts where the frame is silent, and
//! of two dates the older one: a frame must not make an old report young. A report in a form that is not known leaves the findings unknown.

use jiff::Timestamp;
use sealift_domain::evidence::{Claim, Scan};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Read,
    kind::Kind,
    read::{Kept, Reason, Time, moment, said},
};

/// The predicate.
#[derive(Deserialize)]
pub(super) struct Predicate<'a> {
    #[serde(borrow)]
    scanner: Scanner<'a>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Scanner<'a> {
    uri: Option<Kept>,
    version: Option<Kept>,
    db: Option<Database>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// The database of a scanner, here and in in-toto's predicate.
#[derive(Deserialize)]
pub(super) struct Database {
    #[serde(rename = "lastUpdate")]
    pub(super) last_update: Option<Time>,
}

/// When a scanner ran, here and in in-toto's predicate.
#[derive(Deserialize)]
pub(super) struct Metadata {
    #[serde(rename = "scanStartedOn")]
    pub(super) started: Option<Time>,
    #[serde(rename = "scanFinishedOn")]
    pub(super) finished: Option<Time>,
}

/// The scan that a frame tells of.
pub(super) fn scan(uri: Option<Kept>, version: Option<Kept>, db: Option<Database>, metadata: Option<Metadata>) -> Scan {
    let times = metadata.map(|metadata| (moment(metadata.finished), moment(metadata.started)));
    Scan {
        scanner: match (said(uri), said(version)) {
            (Some(uri), Some(version)) => format!("{uri} {version}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => String::new(),
        },
        scanned_at: times.and_then(|(finished, started)| finished.or(started)),
        database_at: db.and_then(|db| moment(db.last_update)),
        findings: None,
    }
}

/// The older of two dates, or the only one.
fn older(frame: Option<Timestamp>, report: Option<Timestamp>) -> Option<Timestamp> {
    [frame, report].into_iter().flatten().min()
}

impl Predicate<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let Scanner { uri, version, db, result } = self.scanner;
        let mut scan = scan(uri, version, db, self.metadata);
        let Some(result) = result.map(RawValue::get) else {
            return Ok(Read { claim: Claim::Scan(scan), ..Read::default() });
        };
        // Whoever has a report as text may have put it in as one.
        let text = if result.starts_with('"') { serde_json::from_str::<String>(result).ok() } else { None };
        let report = text.as_deref().unwrap_or(result);
        let read = match Kind::of_report(report) {
            Some(kind) => kind.read(report).map_err(|_| "the report in `scanner.result` cannot be read")?,
            None => Read::default(),
        };
        if let Claim::Scan(inner) = read.claim {
            if scan.scanner.is_empty() {
                scan.scanner = inner.scanner;
            }
            scan.scanned_at = older(scan.scanned_at, inner.scanned_at);
            scan.database_at = older(scan.database_at, inner.database_at);
            scan.findings = inner.findings;
        }
        let why_not = match scan.findings {
            None => Some("the report in `scanner.result` does not say what was found, or has a form that is not read"),
            Some(_) => None,
        };
        Ok(Read { claim: Claim::Scan(scan), why_not, ..read })
    }
}
