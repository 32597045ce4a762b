//! `sealift copy`

mod edges;

use std::path::PathBuf;

use sealift_domain::{
    digest::Digest,
    quantity::{ByteSize, Period},
    reference::Reference,
};
use sealift_engine::ports::{
    clock::Clock,
    copy::{Copied, CopyRequest},
    registry::{Registry, RegistryErrorKind},
};
use serde_json::{Value, json};

use super::{Ends, Global, look, registry_flags::RegistryFlags};
use crate::{
    config::Registries,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{human, progress, style::Tone},
    shell::Shell,
    system::SystemClock,
    wiring,
};

/// Copy an image between repositories, bytes unchanged; needs no configuration
///
/// Everything under the image comes along, and everything that refers to it: signatures, attestations, SBOMs. The tag is
/// written last and read back. A copy that was interrupted is simply run again: what had arrived is not moved twice.
///
/// With `--file`, many copies are one run: a list of edges says which digest which tags of which repository are to name. What is
/// so already is left alone.
#[derive(clap::Args)]
pub struct Args {
    /// What to copy, by tag or digest.
    #[arg(required_unless_present = "file")]
    source: Option<Reference>,
    /// Where to; with a tag, the tag is written last and read back.
    #[arg(required_unless_present = "file")]
    destination: Option<Reference>,
    /// A file of edges, `edges: [{from: REPOSITORY@DIGEST, to: REPOSITORY, tags: [TAG, {immutable: TAG}]}, …]`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "destination", "platform", "no_referrers"])]
    file: Option<PathBuf>,
    /// Only say which edges are not in place; nothing is written.
    #[arg(long, requires = "file")]
    dry_run: bool,
    /// Leave behind what refers to the image: signatures, attestations, SBOMs.
    #[arg(long)]
    no_referrers: bool,
    /// Of an index, only the image for this platform, for instance `linux/amd64`. The digest of the index, and what is signed
    /// with it, does not survive that.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<String>,
    #[command(flatten)]
    registries: RegistryFlags,
}

/// `os/architecture[/variant]`, as Go names them (OCI Image Specification 1.1, "Image Index").
fn platform(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    match (2..=3).contains(&parts.len()) && parts.iter().all(word) && parts[0] != "unknown" {
        true => Ok(text.to_owned()),
        false => Err("write system and architecture, for instance `linux/amd64` or `linux/arm/v7`".to_owned()),
    }
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    if args.dry_run && args.file.is_none() {
        return Err(vec![
            failure::usage("`--dry-run` is for a file of edges").next("`sealift copy --file edges.yaml --dry-run`"),
        ]);
    }
    tokio::select! {
        ended = work(args, global, shell) => ended,
        _ = tokio::signal::ctrl_c() => {
            shell.tell("\ninterrupted: no tag names what is not complete; run the same command again, and only what is missing moves\n");
            Ok(Exit::Cancelled)
        }
    }
}

async fn work(args: Args, global: &Global, shell: &Shell) -> Ends {
    let flags = args.registries.over(Registries::default(), shell).map_err(|d| vec![d])?;
    let registry = wiring::registry(shell, flags).map_err(|d| vec![d])?;
    match (&args.file, &args.source, &args.destination) {
        (Some(file), ..) => edges::run(file, args.dry_run, registry.as_ref(), global, shell).await,
        (None, Some(source), Some(destination)) => {
            let mut request = args.request(source, destination);
            if let Some(digest) = destination.digest {
                request.from.digest = Some(same(registry.as_ref(), source, digest).await.map_err(|d| vec![d])?);
            }
            copy(request, registry.as_ref(), global, shell).await.map_err(|d| vec![d])
        }
        _ => Err(vec![failure::usage("what is to be copied, and where to?")]),
    }
}

impl Args {
    fn request(&self, source: &Reference, destination: &Reference) -> CopyRequest {
        let mut request = CopyRequest::new(source.clone(), destination.repository.clone());
        request.tag = destination.tag.clone();
        request.referrers = !self.no_referrers;
        request.platform = self.platform.clone();
        request
    }
}

/// The digest that the destination names must be that of the source: a digest that a person gives is compared, never trusted.
async fn same(registry: &dyn Registry, source: &Reference, wanted: Digest) -> Result<Digest, Diagnostic> {
    match look::pin(registry, source).await? {
        Some(pinned) if pinned.digest == wanted => Ok(wanted),
        Some(pinned) => {
            Err(failure::usage(format!("{source} is {}, and the destination is to be {wanted}", pinned.digest)))
        }
        None => Err(Diagnostic::new("E0301", format!("{source} does not exist"))
            .state("nothing was changed")
            .next("check the name and the tag: `sealift look IMAGE`")),
    }
}

/// What to do next about a copy that failed.
fn advised(diagnostic: Diagnostic, kind: RegistryErrorKind) -> Diagnostic {
    match kind {
        RegistryErrorKind::Transient | RegistryErrorKind::Corrupt => {
            diagnostic.next("run the same command again: only what is missing moves")
        }
        RegistryErrorKind::TagTaken | RegistryErrorKind::Malformed => diagnostic
            .next("if it is about what refers to the image: add `--no-referrers`, and only the image is copied"),
        _ => diagnostic,
    }
}

async fn copy(
    request: CopyRequest,
    registry: &dyn Registry,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Diagnostic> {
    let began = SystemClock.now();
    let observer = progress::observer(shell, global);
    let copied = registry.copy(&request, &progress::CopyOnly(observer.as_ref())).await;
    observer.finish();
    let copied = copied.map_err(|error| {
        let diagnostic = failure::of_registry(&error)
            .state("no tag was written; blobs that arrived stay and are found by the next try");
        advised(diagnostic, error.kind)
    })?;
    let took = Period::between(began, SystemClock.now());
    if let Some(platform) = &request.platform {
        let style = shell.err(global.json(), global.color()).style();
        let warning = format!(
            "warning: only {platform} was copied, as {}. The digest of the index does not exist at {}, so nothing that is \
             signed, approved or pinned by that digest holds for it.",
            copied.digest, request.to
        );
        shell.tell(&format!("{}\n", style.paint(Tone::Warn, &warning)));
    }
    shell.print(&match global.json() {
        true => format!("{}\n", as_json(&copied, took)),
        false => as_text(&request, &copied, took),
    });
    Ok(Exit::Ok)
}

/// To the millisecond: what is beyond is noise.
fn seconds(took: Period) -> f64 {
    took.as_millis() as f64 / 1000.0
}

fn as_json(copied: &Copied, took: Period) -> Value {
    let tally = &copied.tally;
    json!({
        "schema_version": 1,
        "digest": copied.digest,
        "bytes": tally.bytes,
        "blobs": {"copied": tally.blobs_copied, "mounted": tally.blobs_mounted, "skipped": tally.blobs_skipped},
        "referrers": tally.referrers,
        "requests": tally.requests,
        "seconds": seconds(took),
    })
}

fn as_text(request: &CopyRequest, copied: &Copied, took: Period) -> String {
    let tally = &copied.tally;
    let referrers = match tally.referrers {
        0 => String::new(),
        n => format!("; {} along", human::count(n, "referrer")),
    };
    format!(
        "{}\n{} copied, {} mounted, {} there already{referrers}; {} in {}\n",
        request.to.at(copied.digest),
        human::count(tally.blobs_copied, "blob"),
        tally.blobs_mounted,
        tally.blobs_skipped,
        ByteSize::from_bytes(tally.bytes).human(),
        human::duration(took),
    )
}
