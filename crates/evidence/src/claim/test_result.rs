//! How tests went: `https://in-toto.io/attestation/test-result/v0.1` (in-toto/attestation,
//! `spec/predicates/test-result.md`).

use sealift_domain::evidence::{Claim, TestResult};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    read::{Kept, List, Reason, Text, each, items, said},
};

/// The predicate.
#[derive(Deserialize)]
pub(super) struct Predicate<'a> {
    #[serde(borrow)]
    result: Text<'a>,
    url: Option<Kept>,
    #[serde(rename = "passedTests")]
    passed: Option<Count>,
    #[serde(rename = "warnedTests")]
    warned: Option<Count>,
    #[serde(rename = "failedTests")]
    failed: Option<List<Kept>>,
}

/// How many names a list has.
#[derive(Default)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut count = 0;
        each(deserializer, |_: Text<'de>| {
            count += 1;
            Ok(())
        })?;
        Ok(Self(count))
    }
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
        let passed = self.passed.unwrap_or_default().0 + self.warned.unwrap_or_default().0;
        let claim = Claim::Tests(TestResult {
            passed: said_passed && failed.is_empty(),
            tests_passed: passed,
            failed,
            url: said(self.url),
        });
        Ok(Read { claim, ..Read::default() })
    }
}
