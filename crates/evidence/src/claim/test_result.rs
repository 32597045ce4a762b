//! How tests went: `https://in-toto.io/attestation/test-result/v0.1` (in-toto/attestation,
//! `spec/predicates/test-result.md`).

use sealift_domain::evidence::{Claim, TestResult};
use serde::Deserialize;

use super::{
    Read,
    read::{Kept, List, Reason, Text, items, said},
};

/// The predicate.
#[derive(Deserialize)]
pub(super) struct Predicate<'a> {
    #[serde(borrow)]
    result: Text<'a>,
    url: Option<Kept>,
    #[serde(rename = "passedTests")]
    passed: Option<List<Kept>>,
    #[serde(rename = "warnedTests")]
    warned: Option<List<Kept>>,
    #[serde(rename = "failedTests")]
    failed: Option<List<Kept>>,
}

impl Predicate<'_> {
    /// What it says. Tests that passed with warnings passed; whoever lists a failed test has not passed, whatever else
    /// the result says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let said_passed = match &*self.result {
            "PASSED" | "WARNED" => true,
            "FAILED" => false,
            _ => return Err("its result is none of PASSED, WARNED and FAILED"),
        };
        let failed: Vec<_> = items(self.failed).into_iter().map(|name| name.0).collect();
        let passed = items(self.passed).len() + items(self.warned).len();
        let claim = Claim::Tests(TestResult {
            passed: said_passed && failed.is_empty(),
            tests_passed: u64::try_from(passed).unwrap_or(u64::MAX),
            failed,
            url: said(self.url),
        });
        Ok(Read { claim, ..Read::default() })
    }
}
