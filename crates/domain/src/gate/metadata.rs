//! The image says where it comes from.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asks, Fact, Facts, Finding};
use crate::image::PlatformImage;

pub(super) const CODE: &str = "G010";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "Facts that the image must carry about its origin, present and well formed.";
pub(super) const REQUIRE: &str = "metadata: [source, revision, created, run_id]";

/// The facts that must be there.
pub(super) type Config = BTreeSet<Field>;

/// A fact about an image's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Label `org.opencontainers.image.source`: an `https://` URL.
    Source,
    /// Label `org.opencontainers.image.revision`: a full commit id, and the one of the build record.
    Revision,
    /// Label `org.opencontainers.image.created` or the configuration's `created`: an RFC 3339 instant, not in the future.
    Created,
    /// The run of the pipeline, in the build record or in label `dev.sealift.run-id`.
    RunId,
}

const LABELS: &str = "org.opencontainers.image.";
const RUN_ID_LABEL: &str = "dev.sealift.run-id";

pub(super) fn asks(_: &Config) -> Asks<'_> {
    Asks::nothing()
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Finding {
    let finding = facts.each_image(|name, image| {
        for platform in &image.platforms {
            for field in config {
                let build = facts.components.get(name).and_then(|c| match &c.build {
                    Fact::Known(build) => Some(&build.fact),
                    _ => None,
                });
                let run_id = build.and_then(|b| b.run_id.as_deref());
                let commit = build.and_then(|b| b.commit.as_deref());
                if let Err(reason) = check(*field, platform, commit, run_id, facts.now) {
                    return Finding::fail(format!("{name} for {}: {reason}", platform.platform), remedy(*field));
                }
            }
        }
        if image.platforms.is_empty() {
            return Finding::error(format!("the index of {name} has no platform"), "build the image for a platform");
        }
        Finding::pass(format!("{name}: {} facts", config.len()))
    });
    // The run may come from the build record, which is then part of the evidence.
    let receipts = facts.components.values().filter_map(|c| match &c.build {
        Fact::Known(build) => Some(build.receipt),
        _ => None,
    });
    finding.with(receipts)
}

fn check(
    field: Field,
    platform: &PlatformImage,
    commit: Option<&str>,
    run_id: Option<&str>,
    now: Timestamp,
) -> Result<(), String> {
    let label = |key: &str| platform.labels.get(key).map(String::as_str).filter(|text| !text.is_empty());
    match field {
        Field::Source => {
            let source = label(&format!("{LABELS}source")).ok_or("label org.opencontainers.image.source is missing")?;
            let host = source.strip_prefix("https://").and_then(|rest| rest.split('/').next());
            if host.is_none_or(str::is_empty) || source.contains(char::is_whitespace) {
                return Err(format!("source `{source}` is not an https URL"));
            }
        }
        Field::Revision => {
            let revision =
                label(&format!("{LABELS}revision")).ok_or("label org.opencontainers.image.revision is missing")?;
            if !is_commit(revision) {
                return Err(format!("revision `{revision}` is not a full commit id (40 or 64 hexadecimal digits)"));
            }
            if commit.is_some_and(|commit| commit != revision) {
                return Err(format!("revision `{revision}` is not the commit of the build record"));
            }
        }
        Field::Created => {
            let created = label(&format!("{LABELS}created"))
                .or(platform.created.as_deref())
                .ok_or("its creation time is missing")?;
            let at: Timestamp = created.parse().map_err(|_| format!("creation time `{created}` is not RFC 3339"))?;
            if at > now {
                return Err(format!("creation time {at} lies in the future"));
            }
        }
        Field::RunId => {
            if run_id.or(label(RUN_ID_LABEL)).is_none_or(|text| text.trim().is_empty()) {
                return Err("no pipeline run is on record".to_owned());
            }
        }
    }
    Ok(())
}

/// A git object id, SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn remedy(field: Field) -> &'static str {
    match field {
        Field::Source => "build with `--label org.opencontainers.image.source=https://…`",
        Field::Revision => "build with `--label org.opencontainers.image.revision=$(git rev-parse HEAD)`",
        Field::Created => "build with `--label org.opencontainers.image.created=$(date -u +%FT%TZ)`",
        Field::RunId => "record the build with its run: `sealift record build IMAGE --run-id ID`",
    }
}
