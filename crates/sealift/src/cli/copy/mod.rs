//! `sealift copy`

mod edges;

use std::path::PathBuf;

use sealift_domain::{
    quantity::{ByteSize, Period},
    reference::Reference,
};
use sealift_engine::ports::{
    clock::Clock,
    copy::{Copied, CopyRequest},
    registry::Registry,
};
use serde_json::{Value, json};

use super::{Ends, Global, registry_flags::RegistryFlags};
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
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    #[command(flatten)]
    registries: RegistryFlags,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let flags = args.registries.over(Registries::default(), shell).map_err(|d| vec![d])?;
    let registry = wiring::registry(shell, flags).map_err(|d| vec![d])?;
    match (&args.file, &args.source, &args.destination) {
        (Some(file), ..) => edges::run(file, args.dry_run, registry.as_ref(), global, shell).await,
        (None, Some(source), Some(destination)) => {
            let request = args.request(source, destination).map_err(|d| vec![d])?;
            copy(request, registry.as_ref(), global, shell).await.map_err(|d| vec![d])
        }
        _ => Err(vec![failure::usage("what is to be copied, and where to?")]),
    }
}

impl Args {
    fn request(&self, source: &Reference, destination: &Reference) -> Result<CopyRequest, Diagnostic> {
        if let (Some(theirs), Some(ours)) = (destination.digest, source.digest)
            && theirs != ours
        {
            return Err(failure::usage(format!("the source is {ours}, and the destination is to be {theirs}")));
        }
        let mut request = CopyRequest::new(source.clone(), destination.repository.clone());
        request.from.digest = source.digest.or(destination.digest);
        request.tag = destination.tag.clone();
        request.referrers = !self.no_referrers;
        request.platform = self.platform.clone();
        Ok(request)
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
        failure::of_registry(&error)
            .state("no tag was written; blobs that arrived stay and are found by the next try")
            .next("run the same command again: only what is missing moves")
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

fn as_json(copied: &Copied, took: Period) -> Value {
    let tally = &copied.tally;
    json!({
        "schema_version": 1,
        "digest": copied.digest,
        "bytes": tally.bytes,
        "blobs": {"copied": tally.blobs_copied, "mounted": tally.blobs_mounted, "skipped": tally.blobs_skipped},
        "referrers": tally.referrers,
        "requests": tally.requests,
        "seconds": took.as_duration().as_secs_f64(),
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
