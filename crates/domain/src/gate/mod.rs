//! Gates: named requirements that a release must meet to enter an environment.
//!
//! A gate is one file with a `judge` function, a folder of fixtures (`fixtures/<gate>/{pass,fail,error}.json`, and
//! `pass-2.json` …), one section in `docs/gates.md`, and one line in the registration below. A test fails when any of
//! these is missing.
//! Gates are pure: they judge [`Facts`] that were gathered before, and they fail closed.

mod asks;
mod believed;
mod facts;
mod registry;
mod repository;
mod verdict;
mod words;

pub use asks::Asks;
pub use facts::{ComponentFacts, DatabaseFacts, Fact, Facts, LiveFacts, Path, SourceFacts, TargetFacts};
pub use registry::{GateInfo, Required};
pub use verdict::{Finding, Judged, Verdict};

registry::gates! {
    // Always required, in the order in which they are reported.
    always {
        same_digest,
        by_hand,
        order,
        verified,
        hold,
        freeze,
        schema,
    }
    // Required where the configuration says so, under the gate's own name.
    by_choice {
        soak,
        max_size,
        layers,
        metadata,
        signature,
        sbom,
        provenance,
        licenses,
        vulnerabilities,
        source_reachable,
        when,
    }
}
