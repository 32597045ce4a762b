//! The image is not larger than allowed.

use super::{Asks, Facts, Finding};
use crate::quantity::ByteSize;

pub(super) const CODE: &str = "G008";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "The largest compressed size that the image of one platform may have.";
pub(super) const REQUIRE: &str = "max_size: 1GB";

/// The limit, compressed and for each platform.
pub(super) type Config = ByteSize;

pub(super) fn asks(_: &Config) -> Asks<'_> {
    Asks::nothing()
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Finding {
    facts.each_image(|name, image| {
        let Some(largest) = image.platforms.iter().max_by_key(|p| p.compressed_bytes) else {
            return Finding::error(
                format!("the index of {name} has no platform to measure"),
                "build the image for a platform",
            );
        };
        let size = ByteSize::from_bytes(largest.compressed_bytes);
        if size > *config {
            return Finding::fail(
                format!("{name} for {} is {} compressed, {config} are allowed", largest.platform, size.human()),
                "make the image smaller (`docker history` shows where the bytes are), or raise `max_size`",
            );
        }
        Finding::pass(format!("{name}: {} of {config}", size.human()))
    })
}
