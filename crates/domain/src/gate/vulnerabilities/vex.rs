//! What VEX documents waive (OpenVEX 0.2.0): only those by a signer that the policy names for it, and nobody who also scans.

use jiff::Timestamp;

use super::{Written, newest::is_in_the_future};
use crate::{
    digest::Digest,
    evidence::{Claim, Evidence, Finding as Vulnerability, Trust, Vex, VexStatement, VexStatus},
    gate::{
        ComponentFacts, Finding,
        believed::{Believed, VEX, believed},
    },
    image::{Image, PlatformImage},
    name::ComponentName,
};

/// The statements that count.
pub(super) struct Waivers<'a> {
    statements: Vec<Statement<'a>>,
    beside: usize,
}

struct Statement<'a> {
    evidence: &'a Evidence,
    says: &'a VexStatement,
    /// When it was said. One without a date, or with one in the future, waives nothing and revokes everything.
    at: Option<Timestamp>,
}

impl<'a> Waivers<'a> {
    /// # Errors
    /// The finding that stands for a document that counts and cannot be read: it might revoke.
    pub(super) fn read(
        config: &'a Written,
        now: Timestamp,
        name: &'a ComponentName,
        component: &'a ComponentFacts,
        image: &'a Image,
    ) -> Result<Self, Finding> {
        let Some(vex) = &config.vex else {
            let found = component.read_evidence(name)?;
            let beside = found.iter().filter(|evidence| matches!(evidence.claim, Claim::Vex(_))).count();
            return Ok(Self { statements: Vec::new(), beside });
        };
        let documents: Believed<'a, Vex> = believed(&VEX, Some(&vex.by), name, component, image)?;
        let mut waivers = Self { statements: Vec::new(), beside: documents.beside() };
        for piece in documents.pieces() {
            let may_waive = is_somebody_else(piece.evidence, &vex.by, config.by.as_ref());
            waivers.beside += usize::from(!may_waive);
            let read = piece.claim.statements.iter().map(|says| {
                let at = says.at.or(piece.claim.at).filter(|at| !is_in_the_future(*at, now));
                Statement { evidence: piece.evidence, says, at }
            });
            // Who scans may well say that something matters after all.
            waivers.statements.extend(read.filter(|statement| may_waive || !statement.waives()));
        }
        Ok(waivers)
    }

    /// How many documents there are that do not count.
    pub(super) fn beside(&self) -> usize {
        self.beside
    }

    /// Whether `finding` does not matter in this image: the documents that say so. The newest statement about it counts; of
    /// several of one instant, the one that waives least, and one without a date is newer than every other.
    pub(super) fn waive(
        &self,
        finding: &Vulnerability,
        image: &Image,
        platform: &PlatformImage,
    ) -> Option<Vec<Digest>> {
        let about: Vec<&Statement<'_>> =
            self.statements.iter().filter(|statement| statement.is_about(finding, image, platform)).collect();
        let undated = about.iter().any(|statement| statement.at.is_none() && !statement.waives());
        let newest = about.iter().filter_map(|statement| statement.at).max()?;
        let last: Vec<_> = about.iter().filter(|statement| statement.at == Some(newest)).collect();
        let waived = !undated && last.iter().all(|statement| statement.waives());
        waived.then(|| last.iter().map(|statement| statement.evidence.digest).collect())
    }
}

/// Whether one of the signers may say what does not matter, and none is one whose scans are believed.
fn is_somebody_else(evidence: &Evidence, vex: &Trust, by: Option<&Trust>) -> bool {
    evidence.signed_by(vex).is_some() && by.is_none_or(|by| evidence.signed_by(by).is_none())
}

impl Statement<'_> {
    /// OpenVEX wants a justification or an impact statement with `not_affected`; without either, it is a bare word.
    fn waives(&self) -> bool {
        match self.says.status {
            VexStatus::Fixed => true,
            VexStatus::NotAffected => self.says.justification.is_some(),
            VexStatus::Affected | VexStatus::UnderInvestigation => false,
        }
    }

    /// Whether it is about the finding in this image. What waives must fit exactly; what revokes, nearly.
    fn is_about(&self, finding: &Vulnerability, image: &Image, platform: &PlatformImage) -> bool {
        let lenient = !self.waives();
        let same = |one: &str, other: &str| one == other || (lenient && one.eq_ignore_ascii_case(other));
        let named = |id: &String| self.says.vulnerabilities.iter().any(|said| same(said, id));
        if !named(&finding.id) && !finding.aliases.iter().any(named) {
            return false;
        }
        let here = |digest| digest == image.digest || digest == platform.digest;
        let parts = &self.says.subcomponents;
        let in_part = parts.is_empty() || parts.iter().any(|part| is_package(part, finding, lenient));
        if !in_part {
            return false;
        }
        if lenient && self.says.products.iter().any(|product| digest_of(product).is_some_and(here)) {
            return true;
        }
        // What is about other images says nothing of this one, whatever packages it names.
        let subjects = &self.evidence.subjects;
        if !subjects.is_empty() && !subjects.iter().any(|subject| here(*subject)) {
            return false;
        }
        if self.says.products.is_empty() {
            return !subjects.is_empty();
        }
        self.says.products.iter().any(|product| match digest_of(product) {
            Some(digest) => here(digest),
            None => is_package(product, finding, lenient),
        })
    }
}

/// The digest that a product is: written out, or as the version of `pkg:oci/name@sha256%3A…` (purl-spec, type `oci`).
fn digest_of(product: &str) -> Option<Digest> {
    let Some(purl) = product.strip_prefix("pkg:oci/") else { return product.parse().ok() };
    let version = purl.split(['?', '#']).next()?.rsplit_once('@')?.1;
    version.replace("%3A", ":").replace("%3a", ":").parse().ok()
}

/// Whether a package URL is that of the finding's package, in its version. Qualifiers narrow a statement that waives; of one
/// that revokes (`lenient`) they are not looked at.
fn is_package(product: &str, finding: &Vulnerability, lenient: bool) -> bool {
    let Some(purl) = finding.purl.as_deref().filter(|_| product.starts_with("pkg:")) else { return false };
    let parts = |purl: &'_ str| -> (String, Option<String>) {
        let purl = purl.split('#').next().unwrap_or_default();
        match purl.split_once('?') {
            Some((name, qualifiers)) => (name.to_owned(), Some(qualifiers.to_owned())),
            None => (purl.to_owned(), None),
        }
    };
    let ((wanted, wanted_qualifiers), (found, found_qualifiers)) = (parts(product), parts(purl));
    // A version follows the last `@`; without one a statement would be about every version there will ever be.
    let versioned = wanted.rsplit('/').next().is_some_and(|name| name.contains('@'));
    let qualified = lenient || wanted_qualifiers.is_none() || wanted_qualifiers == found_qualifiers;
    versioned && wanted == found && qualified
}
