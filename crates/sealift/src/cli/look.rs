//! `sealift look`

use std::collections::BTreeMap;

use sealift_domain::{
    digest::Digest,
    image::Image,
    quantity::ByteSize,
    reference::{Pinned, Reference},
};
use sealift_engine::ports::registry::Registry;
use serde_json::json;

use super::{Ends, Global, registry_flags::RegistryFlags};
use crate::{
    config::Registries,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{
        style::{Mark, Tone},
        table::{Cell, Table},
    },
    session,
    shell::{Shell, style},
    wiring,
};

/// Compare images, for instance what staging and production run; needs no configuration and no key
///
/// Without references, the images that the configuration names are compared.
#[derive(clap::Args)]
pub struct Args {
    /// Images with a tag or a digest, for instance `ghcr.io/acme/web:staging ghcr.io/acme/web:main`.
    references: Vec<Reference>,
    #[command(flatten)]
    registries: RegistryFlags,
}

/// Labels that say where an image comes from.
const ORIGIN: [(&str, &str); 3] = [
    ("source", "org.opencontainers.image.source"),
    ("revision", "org.opencontainers.image.revision"),
    ("created", "org.opencontainers.image.created"),
];

struct Seen {
    reference: Reference,
    image: Option<Image>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let given = (args.references, Registries::default());
    let (references, registries) = if given.0.is_empty() { configured(shell, global)? } else { given };
    let registries = args.registries.over(registries, shell).map_err(one)?;
    let registry = wiring::registry(shell, registries).map_err(one)?;
    let mut seen = Vec::new();
    for reference in references {
        let image = read(registry.as_ref(), &reference).await.map_err(one)?;
        seen.push(Seen { reference, image });
    }
    let same =
        seen.windows(2).all(|pair| digest(&pair[0]) == digest(&pair[1])) && seen.iter().all(|s| s.image.is_some());
    if global.json() {
        let images: Vec<_> =
            seen.iter().map(|s| json!({"reference": s.reference.to_string(), "image": s.image})).collect();
        shell.print(&format!("{}\n", json!({"schema_version": 1, "same": same, "images": images})));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    shell.print(&table(&seen).render(&style));
    if seen.len() > 1 {
        let (tone, line) = match (same, why(&seen)) {
            (true, _) => (Tone::Ok, "the same bytes: what was tested is what is there".to_owned()),
            (false, why) => (Tone::Warn, format!("not the same: {why}")),
        };
        shell.print(&format!("{}\n", style.paint(tone, &line)));
    }
    Ok(Exit::Ok)
}

/// The tags that the configuration gives, one image an environment.
fn configured(shell: &Shell, global: &Global) -> Result<(Vec<Reference>, Registries), Vec<Diagnostic>> {
    let config = session::configuration(shell, global)?;
    let mut references = Vec::new();
    for name in config.policy.in_order() {
        let Some(environment) = config.policy.environments.get(name) else { continue };
        let moving = environment.tags.iter().find(|tag| !tag.is_immutable() && !tag.template().contains('{'));
        let tag = moving.and_then(|tag| tag.template().parse().ok());
        for repository in environment.components.values() {
            references.push(Reference { repository: repository.clone(), tag: tag.clone(), digest: None });
        }
    }
    references.retain(|reference| reference.tag.is_some());
    if references.is_empty() {
        return Err(vec![
            failure::usage("the configuration names no tag to look at")
                .next("name the images: `sealift look ghcr.io/acme/web:staging ghcr.io/acme/web:main`"),
        ]);
    }
    Ok((references, config.registries))
}

async fn read(registry: &dyn Registry, reference: &Reference) -> Result<Option<Image>, Diagnostic> {
    let Some(pinned) = pin(registry, reference).await? else { return Ok(None) };
    registry.inspect(&pinned).await.map(Some).map_err(|error| failure::of_registry(&error))
}

/// The digest that a reference names now; `None` if its tag does not exist.
pub(super) async fn pin(registry: &dyn Registry, reference: &Reference) -> Result<Option<Pinned>, Diagnostic> {
    if let Some(pinned) = reference.pinned() {
        return Ok(Some(pinned));
    }
    let tag = match &reference.tag {
        Some(tag) => tag.clone(),
        None => "latest".parse().map_err(|_| failure::usage("no tag"))?,
    };
    let digest = registry.resolve(&reference.repository, &tag).await.map_err(|error| failure::of_registry(&error))?;
    Ok(digest.map(|digest| reference.repository.at(digest)))
}

fn digest(seen: &Seen) -> Option<Digest> {
    seen.image.as_ref().map(|image| image.digest)
}

fn labels(image: &Image) -> BTreeMap<&str, &str> {
    let first = image.platforms.first();
    first.into_iter().flat_map(|p| &p.labels).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn table(seen: &[Seen]) -> Table {
    let mut table = Table::new(["IMAGE", "DIGEST", "SIZE", "PLATFORMS", "REVISION", "LAYERS"]);
    for seen in seen {
        let name = Cell::new(seen.reference.to_string());
        let Some(image) = &seen.image else {
            table.row([name, Cell::word(Mark::Bad, Tone::Bad, "not there")]);
            continue;
        };
        let largest = image.platforms.iter().map(|p| p.compressed_bytes).max().unwrap_or(0);
        let missing: usize = image.platforms.iter().map(|p| p.missing.len()).sum();
        let layers = match missing {
            0 => Cell::word(Mark::Ok, Tone::Ok, "all there"),
            n => Cell::word(Mark::Bad, Tone::Bad, format!("{n} missing")),
        };
        let revision = labels(image).get(ORIGIN[1].1).map_or("-", |text| text);
        table.row([
            name,
            image.digest.short().into(),
            ByteSize::from_bytes(largest).human().into(),
            image.platforms.len().to_string().into(),
            revision.chars().take(12).collect::<String>().into(),
            layers,
        ]);
    }
    table
}

/// In what the first two that differ do so.
fn why(seen: &[Seen]) -> String {
    for pair in seen.windows(2) {
        let (first, second) = (&pair[0], &pair[1]);
        let (Some(a), Some(b)) = (&first.image, &second.image) else {
            return "one of them is not there".to_owned();
        };
        if a.digest == b.digest {
            continue;
        }
        let (before, after) = (labels(a), labels(b));
        for (word, label) in ORIGIN {
            if before.get(label) != after.get(label) {
                let show = |value: Option<&&str>| value.map_or("nothing", |text| text).to_owned();
                let (a, b) = (show(before.get(label)), show(after.get(label)));
                return format!("{} has {word} {a}, {} has {b}", first.reference, second.reference);
            }
        }
        return format!(
            "{} and {} say the same of their source and are different builds of it",
            first.reference, second.reference
        );
    }
    "one of them is not there".to_owned()
}
