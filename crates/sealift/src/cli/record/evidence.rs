//! `sealift record scan`, `sbom`, `test`, `provenance` and `vex`: files of tools, handed in.

use std::{io::Read, path::PathBuf};

use sealift_domain::{digest::Digest, event::EvidenceKind, evidence::Claim, reference::Reference};
use sealift_engine::hand_in::{self, HandedIn, MAX_BYTES};
use serde_json::json;

use crate::{
    cli::{Global, look},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    session::Session,
    shell::Shell,
};

/// What is handed in, and for what.
#[derive(clap::Args)]
pub struct Args {
    /// The image, by digest or by a tag, which is resolved once, here. It must be the one that the file speaks of.
    image: Reference,
    /// The file as the tool wrote it, or a signed statement or Sigstore bundle with it inside; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(
    args: Args,
    kind: EvidenceKind,
    global: &Global,
    shell: &Shell,
    session: &Session,
) -> Result<Exit, Diagnostic> {
    let bytes = read(shell, &args.file)?;
    let pinned = look::pin(session.world.registry.as_ref(), &args.image).await?.ok_or_else(|| {
        Diagnostic::new("E0301", format!("{} is not in its registry", args.image))
            .state("nothing was changed")
            .next("push it first, then hand in what is known of it")
    })?;
    let object = Digest::of(&bytes);
    let handed_in = hand_in::hand_in(&session.book, &session.world, &pinned, kind, bytes).await;
    let handed_in = handed_in.map_err(|error| {
        let diagnostic = failure::of_engine(error);
        let title = format!("{}: {}", args.file.display(), diagnostic.title);
        Diagnostic { title, ..diagnostic }
    })?;
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "image": pinned,
            "recorded": object,
            "subjects": handed_in.evidence.subjects,
            "signers": handed_in.evidence.signers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "known": handed_in.known,
        });
        shell.print(&format!("{value}\n"));
    } else {
        let word = if handed_in.known { "on record already" } else { "recorded" };
        shell.print(&format!("{word}: {} for {pinned}\n", in_words(&handed_in)));
    }
    Ok(Exit::Ok)
}

/// The bytes of a file, at most as many as are taken.
pub(super) fn read(shell: &Shell, file: &std::path::Path) -> Result<Vec<u8>, Diagnostic> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        let path = shell.resolve(file);
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| failure::file("read", file, &error))?;
    Ok(bytes)
}

fn in_words(handed_in: &HandedIn) -> String {
    let what = match &handed_in.evidence.claim {
        Claim::Scan(scan) => match &scan.findings {
            Some(findings) => format!("a scan by {} with {} findings", scan.scanner, findings.len()),
            None => format!("a scan by {} that does not say what it found", scan.scanner),
        },
        Claim::Sbom(sbom) => format!("an SBOM ({}) of {} packages", sbom.format, sbom.packages),
        Claim::Tests(tests) => format!("tests that {}", if tests.passed { "passed" } else { "failed" }),
        Claim::Provenance(_) => "provenance".to_owned(),
        Claim::Vex(vex) => format!("a VEX document of {} statements", vex.statements.len()),
        Claim::Signature | Claim::Other { .. } | Claim::Unreadable { .. } => "evidence".to_owned(),
    };
    let signers: Vec<String> = handed_in.evidence.signers.iter().map(ToString::to_string).collect();
    let clean: String = what.chars().filter(|c| !c.is_control()).collect();
    if signers.is_empty() { clean } else { format!("{clean}, signed by {}", signers.join(", ")) }
}
