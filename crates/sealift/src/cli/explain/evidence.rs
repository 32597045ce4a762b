//! Evidence as people read it: what it is, by whom, how old, about what, and under which digest it is kept.

use jiff::Timestamp;
use sealift_domain::{
    evidence::{Claim, Evidence, Form, Origin, Signer},
    gate::{ComponentFacts, Fact, Facts},
    image::Image,
};
use serde_json::{Value, json};

use crate::report::{
    human,
    style::{Style, Tone},
    table::{Cell, Table},
};

/// The evidence about every component, as a table with the ages that it had at the instant of the judgement; nothing if no gate
/// asked for evidence.
pub(super) fn table(facts: &Facts, style: &Style) -> String {
    let mut table = Table::new(["EVIDENCE", "BY", "AGE", "ABOUT", "DIGEST"]);
    let mut rows = 0;
    for (name, component) in &facts.components {
        match &component.evidence {
            Some(Fact::Known(evidence)) => {
                for piece in evidence {
                    table.row(row(piece, component, facts.now));
                    rows += 1;
                }
            }
            Some(Fact::Missing) => {
                table.row([format!("none about {name}").into(), "".into(), "".into(), "".into(), "".into()]);
                rows += 1;
            }
            // Why it cannot be read is what the gates say.
            Some(Fact::Unreadable(_)) | None => {}
        }
    }
    if rows == 0 { String::new() } else { format!("\n{}", table.render(style)) }
}

fn row(piece: &Evidence, component: &ComponentFacts, now: Timestamp) -> [Cell; 5] {
    let age = made_at(piece).map_or_else(|| "undated".to_owned(), |at| human::age(at, now));
    [what(piece).into(), by(piece), age.into(), about(piece, component).into(), human::short(piece.digest).into()]
}

/// The same for programs.
pub(super) fn json(facts: &Facts) -> Value {
    let of = |(name, component): (_, &ComponentFacts)| {
        let evidence = match &component.evidence {
            Some(Fact::Known(evidence)) => evidence.as_slice(),
            _ => &[],
        };
        let piece = |piece: &Evidence| {
            json!({
                "kind": what(piece),
                "form": piece.form,
                "signers": piece.signers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "origin": piece.origin,
                "at": made_at(piece),
                "subjects": piece.subjects,
                "digest": piece.digest,
                "why_not": piece.why_not,
            })
        };
        let list: Vec<Value> = evidence.iter().map(piece).collect();
        (ToString::to_string(name), Value::from(list))
    };
    facts.components.iter().map(of).collect::<serde_json::Map<_, _>>().into()
}

/// What it is, in a few words.
fn what(piece: &Evidence) -> String {
    match &piece.claim {
        Claim::Signature => "signature".to_owned(),
        Claim::Provenance(provenance) => format!("provenance, {}", last_part(&provenance.format)),
        Claim::Sbom(sbom) => format!("SBOM, {}, {} packages", sbom.format, sbom.packages),
        Claim::Scan(scan) => match &scan.findings {
            Some(findings) => format!("scan, {}, findings: {}", program(&scan.scanner), findings.len()),
            None => format!("scan, {}, findings unknown", program(&scan.scanner)),
        },
        Claim::Vex(vex) => format!("VEX, statements: {}", vex.statements.len()),
        Claim::Tests(tests) => format!("tests, {}", if tests.passed { "passed" } else { "failed" }),
        Claim::Other { kind } => format!("not read: {}", last_part(kind)),
        Claim::Unreadable { kind } => format!("unreadable: {}", last_part(kind)),
    }
}

/// A scanner's name, without the forge and the organisation that its package URL begins with.
fn program(scanner: &str) -> &str {
    scanner.rsplit('/').next().unwrap_or(scanner)
}

/// The telling end of a long type.
fn last_part(kind: &str) -> &str {
    kind.rsplit_once("://").map_or(kind, |(_, rest)| rest)
}

fn by(piece: &Evidence) -> Cell {
    let signers: Vec<String> = piece.signers.iter().map(ToString::to_string).collect();
    if !signers.is_empty() {
        return signers.join(", ").into();
    }
    match (&piece.origin, piece.form) {
        (Origin::Recorded { .. }, _) => "handed in".into(),
        (Origin::Index(_), _) => "the index it is in".into(),
        (Origin::Attached, Form::Statement | Form::Document) => Cell::toned(Tone::Dim, "nobody"),
        (Origin::Attached, _) => Cell::toned(Tone::Dim, "nobody trusted"),
    }
}

/// When it was made, as well as that is known: by its own word, by the log that saw its signature, or when it was handed in.
fn made_at(piece: &Evidence) -> Option<Timestamp> {
    let said = match &piece.claim {
        Claim::Provenance(provenance) => provenance.finished_at,
        Claim::Sbom(sbom) => sbom.created,
        Claim::Scan(scan) => scan.scanned_at,
        Claim::Vex(vex) => vex.at,
        _ => None,
    };
    let signed = piece.signers.iter().find_map(|signer| match signer {
        Signer::Certificate(certificate) => certificate.signed_at,
        Signer::Key { .. } => None,
    });
    let handed_in = match piece.origin {
        Origin::Recorded { at, .. } => Some(at),
        _ => None,
    };
    said.or(signed).or(handed_in)
}

/// What it is about: the image, a platform of it, or something else.
fn about(piece: &Evidence, component: &ComponentFacts) -> String {
    let platforms = match &component.image {
        Fact::Known(Image { platforms, .. }) => platforms.as_slice(),
        _ => &[],
    };
    if piece.is_about(component.digest) {
        return "the image".to_owned();
    }
    let named: Vec<&str> = platforms
        .iter()
        .filter(|platform| piece.is_about(platform.digest))
        .map(|platform| platform.platform.as_str())
        .collect();
    match (named.is_empty(), piece.subjects.first()) {
        (false, _) => named.join(", "),
        (true, Some(other)) => format!("another: {}", human::short(*other)),
        (true, None) => "nothing".to_owned(),
    }
}
