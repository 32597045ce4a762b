//! `sealift copy`

use sealift_domain::{
    quantity::{ByteSize, Period},
    reference::Reference,
};
use sealift_engine::ports::{clock::Clock, registry::TagMode};
use serde_json::json;

use super::{Ends, Global, look, registry_flags::RegistryFlags};
use crate::{
    config::Registries,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{human, progress},
    shell::Shell,
    system::SystemClock,
    wiring,
};

/// Copy an image between repositories, bytes unchanged; needs no configuration
#[derive(clap::Args)]
pub struct Args {
    /// What to copy, by tag or digest.
    source: Reference,
    /// Where to; with a tag, the tag is written last and read back.
    destination: Reference,
    #[command(flatten)]
    registries: RegistryFlags,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    copy(args, global, shell).await.map_err(|d| vec![d])
}

async fn copy(args: Args, global: &Global, shell: &Shell) -> Result<Exit, Diagnostic> {
    let registry = wiring::registry(shell, args.registries.over(Registries::default(), shell)?)?;
    let began = SystemClock.now();
    let Some(source) = look::pin(registry.as_ref(), &args.source).await? else {
        return Err(Diagnostic::new("E0301", format!("{} does not exist", args.source))
            .state("nothing was changed")
            .next("check the name and the tag: `sealift look IMAGE`"));
    };
    if args.destination.digest.is_some_and(|digest| digest != source.digest) {
        return Err(failure::usage(format!("{} is {}, not what the destination names", args.source, source.digest)));
    }
    let observer = progress::observer(shell, global);
    let copied = registry.copy(&source, &args.destination.repository, &progress::CopyOnly(observer.as_ref())).await;
    observer.finish();
    let copied = copied.map_err(|error| {
        failure::of_registry(&error).state("no tag was written; blobs that arrived stay and are found by the next try")
    })?;
    let image = args.destination.repository.at(source.digest);
    if let Some(tag) = &args.destination.tag {
        let tagged = registry.tag(&image, tag, TagMode::Moving).await;
        tagged.map_err(|error| {
            failure::of_registry(&error).state("the image is there by digest; the tag was not written")
        })?;
    }
    let took = Period::between(began, SystemClock.now());
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "digest": source.digest,
            "bytes": copied.bytes,
            "blobs": {"copied": copied.blobs_copied, "mounted": copied.blobs_mounted, "skipped": copied.blobs_skipped},
            "requests": copied.requests,
            "seconds": took.as_duration().as_secs_f64(),
        });
        shell.print(&format!("{value}\n"));
    } else {
        let moved = ByteSize::from_bytes(copied.bytes).human();
        shell.print(&format!(
            "{image}\n{} copied, {} mounted, {} there already; {moved} in {}\n",
            human::count(copied.blobs_copied, "blob"),
            copied.blobs_mounted,
            copied.blobs_skipped,
            human::duration(took),
        ));
    }
    Ok(Exit::Ok)
}
