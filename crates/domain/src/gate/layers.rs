//! Every layer is there.

use super::{Asks, Facts, Finding, Required};

pub(super) const CODE: &str = "G009";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "The registry has the configuration and every layer of every platform, in the stated size.";
pub(super) const REQUIRE: &str = "layers: required";

pub(super) type Config = Required;

pub(super) fn asks(_: &Config) -> Asks<'_> {
    Asks::nothing()
}

pub(super) fn judge(_: &Config, facts: &Facts) -> Finding {
    facts.each_image(|name, image| {
        let layers: usize = image.platforms.iter().map(|p| p.layers).sum();
        if image.platforms.is_empty() {
            return Finding::error(format!("the index of {name} has no platform"), "build the image for a platform");
        }
        for platform in &image.platforms {
            if let Some(first) = platform.missing.first() {
                return Finding::fail(
                    format!(
                        "{} blobs of {name} for {} are missing or damaged, first {first}",
                        platform.missing.len(),
                        platform.platform
                    ),
                    "push the image again; if the registry was cleaned up, build a new release",
                );
            }
        }
        Finding::pass(format!("{name}: {layers} layers on {} platforms", image.platforms.len()))
    })
}
