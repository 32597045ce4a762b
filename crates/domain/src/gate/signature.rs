//! The image is signed by somebody who is trusted.

use super::{Asks, ComponentFacts, Fact, Facts, Finding, words::shown};
use crate::{
    evidence::{Claim, Evidence, Trust},
    name::ComponentName,
};

pub(super) const CODE: &str = "G011";
pub(super) const VERSION: u32 = 2;
pub(super) const SUMMARY: &str =
    "Who must have signed the image: a key, one of several keys, or an identity with its issuer.";
pub(super) const REQUIRE: &str = "signature: {key: cosign.pub}";

pub(super) type Config = Trust;

pub(super) fn asks(config: &Config) -> Asks<'_> {
    Asks::evidence([config])
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Finding {
    facts.each_image(|name, _| match facts.components.get(name) {
        Some(component) => signed(config, name, component),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

fn signed(config: &Config, name: &ComponentName, component: &ComponentFacts) -> Finding {
    let evidence = match component.read_evidence(name) {
        Ok(evidence) => evidence,
        Err(finding) => return finding,
    };
    // Whom the policy trusts may have changed since the facts were gathered, so a signer counts only if it is asked for here.
    let signatures: Vec<&Evidence> = evidence.iter().filter(|evidence| may_be_signature(&evidence.claim)).collect();
    let of_ours: Vec<&Evidence> = signatures.iter().filter(|s| s.signed_by(config).is_some()).copied().collect();
    if let Some(good) = of_ours.iter().find(|signature| signature.is_about(component.digest)) {
        let signer = good.signed_by(config).map(ToString::to_string).unwrap_or_default();
        return Finding::pass(format!("{name}: signed, {signer}")).with([good.digest]);
    }
    if let Some(foreign) = of_ours.iter().find_map(|signature| signature.subjects.first()) {
        return Finding::error(
            format!(
                "the signature beside {name} is foreign: its signer is trusted, and it signs {foreign}, not {}",
                component.digest
            ),
            "find out who put the signature of another image there, then sign this one",
        );
    }
    not_by_ours(config, name, component, &signatures, evidence)
}

/// Whether something is a signature, or should be one by its type: a payload of cosign's that says something else is not valid.
fn may_be_signature(claim: &Claim) -> bool {
    match claim {
        Claim::Signature => true,
        Claim::Unreadable { kind } => kind.contains("simplesigning"),
        _ => false,
    }
}

/// Why signatures of which none is right do not suffice.
fn not_by_ours(
    config: &Config,
    name: &ComponentName,
    component: &ComponentFacts,
    signatures: &[&Evidence],
    evidence: &[Evidence],
) -> Finding {
    let kinds = evidence.iter().filter_map(|evidence| match &evidence.claim {
        Claim::Other { kind } if is_signature(kind) => Some(kind.as_str()),
        _ => None,
    });
    let damaged = evidence.iter().find_map(|evidence| match &evidence.claim {
        Claim::Unreadable { kind } if is_signature(kind) => Some(evidence.why_not.as_deref().unwrap_or("it is damaged")),
        _ => None,
    });
    if let ([], Some(why)) = (signatures, damaged) {
        let reason = format!("what should be a signature of {name} cannot be read: {}", shown(why));
        return Finding::error(reason, remedy(config, component));
    }
    let unread = kinds.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
    match (signatures, unread.is_empty()) {
        ([], true) => Finding::fail(format!("{name} is not signed"), remedy(config, component)),
        ([], false) => Finding::error(
            format!("{name} has signatures in a form that this gate does not read: {unread}"),
            remedy(config, component),
        ),
        ([first, rest @ ..], no_more) => {
            let why = first.why_not.as_deref().unwrap_or("nobody whom the policy trusts made it");
            let also = if no_more {
                String::new()
            } else {
                format!("; a signature in a form that is not read is there too ({unread})")
            };
            let which = match rest.len() {
                0 => format!("the signature of {name} is not valid"),
                more => format!("none of {} signatures of {name} is valid", more + 1),
            };
            Finding::fail(
                format!("{which}: {why}{also}"),
                "have it signed by whom `signature` names, or let the policy name who signed it",
            )
        }
    }
}

fn is_signature(kind: &str) -> bool {
    kind.contains("signature") || kind.contains("sigstore.bundle")
}

fn remedy(config: &Config, component: &ComponentFacts) -> String {
    match config {
        Trust::Keys(_) => format!("`cosign sign --key cosign.key IMAGE@{}`", component.digest),
        Trust::Identity(identity) => {
            format!("`cosign sign IMAGE@{}` where {} runs", component.digest, identity.identity)
        }
    }
}

impl ComponentFacts {
    /// What was gathered of evidence, or the error that stands for it. Nothing at all is an empty list.
    pub(super) fn read_evidence(&self, name: &ComponentName) -> Result<&[Evidence], Finding> {
        match &self.evidence {
            Some(Fact::Known(evidence)) => Ok(evidence),
            Some(Fact::Missing) => Ok(&[]),
            Some(Fact::Unreadable(why)) => Err(Finding::error(
                format!("what is said of {name} cannot be read: {why}"),
                "check the registry and your credentials (`sealift look`), and what was handed in (`sealift audit verify`), then run the \
                 command again",
            )),
            None => Err(Finding::error(format!("no evidence about {name} was looked for"), "run the command again")),
        }
    }
}
