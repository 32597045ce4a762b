//! Which evidence counts: whose word it is, and which platforms it is about. The one place where that is decided.

use std::collections::BTreeSet;

use super::{
    ComponentFacts, Fact, Finding,
    words::{first_few, shown},
};
use crate::{
    digest::Digest,
    evidence::{Claim, Evidence, Origin, Provenance, Sbom, Scan, Signer, Trust, Vex},
    image::{Image, PlatformImage},
    name::ComponentName,
};

/// A kind of evidence that gates judge.
pub(super) struct Kind<T> {
    /// What it is called, in a sentence.
    pub(super) name: &'static str,
    /// The command that hands one in.
    hand_in: &'static str,
    /// What a claim says, if it is of this kind.
    read: fn(&Claim) -> Option<&T>,
    /// Words of which one is in the type of a document of this kind, in lower case.
    types: &'static [&'static str],
    /// Whether a signature over the whole index vouches for one that lies in it: a builder puts it there, a scanner does not.
    in_index: bool,
}

pub(super) const SBOM: Kind<Sbom> = Kind {
    name: "SBOM",
    hand_in: "`sealift record sbom IMAGE --file FILE`",
    read: |claim| if let Claim::Sbom(sbom) = claim { Some(sbom) } else { None },
    types: &["spdx", "cyclonedx", "sbom"],
    in_index: true,
};

pub(super) const PROVENANCE: Kind<Provenance> = Kind {
    name: "provenance",
    hand_in: "`sealift record provenance IMAGE --file FILE`",
    read: |claim| if let Claim::Provenance(provenance) = claim { Some(provenance) } else { None },
    types: &["provenance"],
    in_index: true,
};

pub(super) const SCAN: Kind<Scan> = Kind {
    name: "scan",
    hand_in: "`sealift record scan IMAGE --file FILE`",
    read: |claim| if let Claim::Scan(scan) = claim { Some(scan) } else { None },
    types: &["vuln", "trivy", "grype", "sarif", "scan"],
    in_index: false,
};

pub(super) const VEX: Kind<Vex> = Kind {
    name: "VEX document",
    hand_in: "`sealift record vex IMAGE --file FILE`",
    read: |claim| if let Claim::Vex(vex) = claim { Some(vex) } else { None },
    types: &["vex"],
    in_index: false,
};

/// The types of signatures and of what else is told apart by its type, so that it is not taken for a document of any kind.
const OTHER_TYPES: &[&str] = &["signature", "simplesigning", "test-result", "verification_summary"];

/// Why a piece of evidence counts.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// It is signed.
    Signed(&'a Signer),
    /// It lies in an index that is signed as a whole.
    InIndex(&'a Signer, Digest),
    /// It was handed in to the log.
    Recorded,
}

/// A piece of evidence that counts.
pub(super) struct Piece<'a, T> {
    pub(super) evidence: &'a Evidence,
    pub(super) claim: &'a T,
    pub(super) proof: Proof<'a>,
}

/// A platform, and what is about it.
pub(super) type OfPlatform<'p, 'a, T> = (&'a PlatformImage, Vec<&'p Piece<'a, T>>);

impl<T> Piece<'_, T> {
    /// The digests that a verdict rests on if it rests on this.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> + use<T> {
        let signature = if let Proof::InIndex(_, signature) = self.proof { Some(signature) } else { None };
        [self.evidence.digest].into_iter().chain(signature)
    }
}

impl std::fmt::Display for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed(signer) => write!(f, "signed by {}", shown(&signer.to_string())),
            Self::InIndex(signer, _) => write!(f, "in the index that {} signed", shown(&signer.to_string())),
            Self::Recorded => f.write_str("handed in to the log"),
        }
    }
}

/// The evidence of one kind about one component.
pub(super) struct Believed<'a, T> {
    kind: &'a Kind<T>,
    name: &'a ComponentName,
    image: &'a Image,
    /// What counts, in the order in which it was found.
    pieces: Vec<Piece<'a, T>>,
    /// What is of the kind and does not count.
    beside: Vec<&'a Evidence>,
}

/// Whose word counts: of `by` where the policy says so, and otherwise of whoever may write the log.
fn proof<'a>(by: Option<&Trust>, in_index: Option<(&'a Signer, Digest)>, evidence: &'a Evidence) -> Option<Proof<'a>> {
    let Some(by) = by else {
        return matches!(evidence.origin, Origin::Recorded { .. }).then_some(Proof::Recorded);
    };
    match (evidence.signed_by(by), &evidence.origin, in_index) {
        (Some(signer), _, _) => Some(Proof::Signed(signer)),
        (None, Origin::Index(_), Some((signer, signature))) => Some(Proof::InIndex(signer, signature)),
        _ => None,
    }
}

/// Sorts out of everything that was found what is of `kind` and counts.
///
/// # Errors
/// The finding that stands for it: nothing was gathered, or what counts cannot be read. What does not count is never looked
/// at so closely, so that nobody can block a release by putting rubbish beside it.
pub(super) fn believed<'a, T>(
    kind: &'a Kind<T>,
    by: Option<&Trust>,
    name: &'a ComponentName,
    component: &'a ComponentFacts,
    image: &'a Image,
) -> Result<Believed<'a, T>, Finding> {
    let found = component.read_evidence(name)?;
    let signature = by.and_then(|by| whole_signature(by, component.digest, found)).filter(|_| kind.in_index);
    let mut believed = Believed { kind, name, image, pieces: Vec::new(), beside: Vec::new() };
    for evidence in found {
        let proof = proof(by, signature, evidence);
        match ((kind.read)(&evidence.claim), &evidence.claim, proof) {
            (Some(claim), _, Some(proof)) => believed.pieces.push(Piece { evidence, claim, proof }),
            (None, Claim::Unreadable { kind: of }, Some(_)) if kind.may_be(of) && may_be_about(image, evidence) => {
                return Err(unreadable(kind, name, evidence));
            }
            (Some(_), _, None) => believed.beside.push(evidence),
            (None, Claim::Unreadable { kind: of }, None) if kind.is_type(of) => believed.beside.push(evidence),
            _ => {}
        }
    }
    Ok(believed)
}

/// A signature over the whole image by one whom `by` accepts.
fn whole_signature<'a>(by: &Trust, top: Digest, found: &'a [Evidence]) -> Option<(&'a Signer, Digest)> {
    let signatures = found.iter().filter(|e| e.claim == Claim::Signature && e.is_about(top));
    signatures.filter_map(|e| Some((e.signed_by(by)?, e.digest))).next()
}

/// Whether it may be about the image: it says so, or does not say what it is about.
fn may_be_about(image: &Image, evidence: &Evidence) -> bool {
    let mut digests = image.platforms.iter().map(|platform| platform.digest).chain([image.digest]);
    evidence.subjects.is_empty() || digests.any(|digest| evidence.is_about(digest))
}

fn unreadable<T>(kind: &Kind<T>, name: &ComponentName, evidence: &Evidence) -> Finding {
    let why = evidence.why_not.as_deref().unwrap_or("it is not known why");
    Finding::error(
        format!("the {} of {name} is believed and cannot be read: {}", kind.name, shown(why)),
        "make it again in a form that is read, and take the unreadable one away",
    )
}

impl<T> Kind<T> {
    fn is_type(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        self.types.iter().any(|word| text.contains(word))
    }

    /// Whether something unreadable of this type may be of this kind. What says nothing of its kind may be of any.
    fn may_be(&self, text: &str) -> bool {
        let told = [SBOM.types, PROVENANCE.types, SCAN.types, VEX.types, OTHER_TYPES];
        let lower = text.to_ascii_lowercase();
        self.is_type(text) || !told.iter().any(|words| words.iter().any(|word| lower.contains(word)))
    }
}

impl<'a, T> Believed<'a, T> {
    /// What counts, whatever it is about.
    pub(super) fn pieces(&self) -> &[Piece<'a, T>] {
        &self.pieces
    }

    /// How many of the kind are there that do not count.
    pub(super) fn beside(&self) -> usize {
        self.beside.len()
    }

    /// What is about the image as a whole, by its top-level digest.
    pub(super) fn of_whole(&self) -> Vec<&Piece<'a, T>> {
        self.pieces.iter().filter(|piece| piece.evidence.is_about(self.image.digest)).collect()
    }

    /// What is about one platform. Where there is one platform only, the image as a whole is it.
    pub(super) fn of(&self, platform: &PlatformImage) -> Vec<&Piece<'a, T>> {
        let only = self.image.platforms.len() == 1;
        let about = |e: &Evidence| e.is_about_platform(platform) || (only && e.is_about(self.image.digest));
        self.pieces.iter().filter(|piece| about(piece.evidence)).collect()
    }

    /// What is about each platform: at least one for every one of them.
    ///
    /// # Errors
    /// The finding that says what is missing, or that all there is belongs to another image. `by` and `remedy` are for its words.
    pub(super) fn of_each_platform(
        &self,
        by: Option<&Trust>,
        remedy: &str,
    ) -> Result<Vec<OfPlatform<'_, 'a, T>>, Finding> {
        if self.image.platforms.is_empty() {
            let reason = format!("the index of {} has no platform", self.name);
            return Err(Finding::error(reason, "build the image for a platform"));
        }
        if self.pieces.is_empty() {
            return Err(self.nothing(by, remedy));
        }
        let each: Vec<_> = self.image.platforms.iter().map(|platform| (platform, self.of(platform))).collect();
        let bare: Vec<_> = each.iter().filter(|(_, pieces)| pieces.is_empty()).collect();
        match bare.as_slice() {
            [] => Ok(each),
            bare if bare.len() == each.len() && self.of_whole().is_empty() => Err(self.foreign()),
            bare => {
                let which = first_few(bare.iter().map(|(platform, _)| shown(&platform.platform)));
                let whole =
                    if self.of_whole().is_empty() { "" } else { "; one about the index covers no platform of several" };
                Err(Finding::fail(format!("{} has no {} for {which}{whole}", self.name, self.kind.name), remedy))
            }
        }
    }

    /// That there is none that counts, and what lies there that might be taken for one.
    pub(super) fn nothing(&self, by: Option<&Trust>, remedy: &str) -> Finding {
        let whose = match by {
            Some(by) => format!("by {by}"),
            None => "that was handed in to the log, and no `by` says whose signature counts".to_owned(),
        };
        let what = match by {
            None => "only attached",
            Some(_) if self.beside.iter().all(|e| e.signers.is_empty() && e.why_not.is_none()) => "unsigned",
            Some(_) => "by nobody who is trusted for it",
        };
        let beside = match self.beside.as_slice() {
            [] => String::new(),
            [one] => {
                let why = one.why_not.as_deref().map(|why| format!(" ({})", shown(why))).unwrap_or_default();
                format!("; one that is {what}{why} lies beside it and proves nothing")
            }
            many => format!("; {} that are {what} lie beside it and prove nothing", many.len()),
        };
        let hand_in = format!(
            "hand one in to the log, {}, or let `by` say whose signature under an attached one counts",
            self.kind.hand_in
        );
        let remedy = if by.is_some() { remedy } else { &hand_in };
        Finding::fail(format!("{} has no {} {whose}{beside}", self.name, self.kind.name), remedy)
    }

    /// That what counts is about something else.
    pub(super) fn foreign(&self) -> Finding {
        let about = self.pieces.iter().find_map(|piece| piece.evidence.subjects.first());
        let about = about.map_or_else(|| "nothing that it names".to_owned(), ToString::to_string);
        Finding::error(
            format!(
                "the {} beside {} is foreign: it is about {about}, not {}",
                self.kind.name, self.name, self.image.digest
            ),
            "find out who put the evidence of another image there, then make it for this one",
        )
    }
}

/// A finding for every image, on the digests that it rests on, each once.
pub(super) fn resting_on(finding: Finding, digests: impl IntoIterator<Item = Digest>) -> Finding {
    finding.with(digests.into_iter().collect::<BTreeSet<_>>())
}

impl ComponentFacts {
    /// The commit that the build record names, if it names one.
    ///
    /// # Errors
    /// The finding that stands for a record that cannot be read.
    pub(super) fn recorded_commit(&self, name: &ComponentName) -> Result<Option<&str>, Finding> {
        match &self.build {
            Fact::Known(build) => Ok(build.fact.commit.as_deref()),
            Fact::Missing => Ok(None),
            Fact::Unreadable(why) => Err(Finding::error(
                format!("the build record of {name} is unreadable: {why}"),
                "run `sealift audit verify`",
            )),
        }
    }

    /// The body of the log that carries the build record, if there is one.
    pub(super) fn build_receipt(&self) -> Option<Digest> {
        if let Fact::Known(build) = &self.build { Some(build.receipt) } else { None }
    }
}
