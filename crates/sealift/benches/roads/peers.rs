//! The same work by `skopeo`, where it is installed: the usual tool for images in registries, without gates, log or
//! deployment. Compared are whole processes that end with the same image in the same place.

use sealift_domain::digest::Digest;
use sealift_registry::image::{Builder, Built, Layer};

use crate::{
    Failed,
    figures::{Figures, Table},
    place::Place,
    process::{Run, SEALIFT},
};

/// Layers of the image that is copied in full.
const LAYERS: u64 = 4;

/// The size of each, in bytes.
const LAYER: usize = 4 << 20;

/// What is compared: our series, the peer's, and a remark.
pub(crate) const PAIRS: [(&str, &str, &str); 3] = [
    (crate::rounds::CHECK, INSPECT, "`check` also folds the log and judges every gate"),
    (COPY_NOTHING, PEER_NOTHING, "both look whether every blob is there"),
    (COPY_ALL, PEER_ALL, "4 layers of 4 MiB"),
];

/// The remark of a table that stands alone.
pub(crate) const ABSENT: &str = "`skopeo` was not installed, so nothing is compared.";

const INSPECT: &str = "`skopeo inspect`";
const COPY_NOTHING: &str = "`copy` of an image that is there already";
const PEER_NOTHING: &str = "`skopeo copy` of an image that is there already";
const COPY_ALL: &str = "`copy` of 16 MiB";
const PEER_ALL: &str = "`skopeo copy` of 16 MiB";

/// One round of the peers; round 0 is not timed.
pub(crate) async fn play(place: &Place, round: u32, figures: &mut Figures) -> Result<(), Failed> {
    if !installed() {
        return Ok(());
    }
    let hello = format!("{}/hello:1.0.0", place.staging.address());
    let there = format!("{}/hello:there", place.production.address());
    let peer = Peer { place, round };
    peer.inspect(figures, &hello).await?;
    peer.both(figures, (COPY_NOTHING, PEER_NOTHING), &hello, [&there, &there]).await?;

    let large = large(round);
    place.staging.push("large", &large, Some("now"));
    let from = format!("{}/large:now", place.staging.address());
    let fresh = ["ours", "theirs"].map(|whose| format!("{whose}-{round}"));
    let [ours, theirs] = fresh.clone().map(|name| format!("{}/{name}:now", place.production.address()));
    peer.both(figures, (COPY_ALL, PEER_ALL), &from, [&ours, &theirs]).await?;
    // Not needed any more, and it is held in memory.
    for bytes in &large.blobs {
        let digest = Digest::of(bytes);
        place.staging.remove_blob("large", digest);
        for repository in &fresh {
            if !place.production.remove_blob(repository, digest) {
                return Err(format!("a copy into {repository} is not complete").into());
            }
        }
    }
    Ok(())
}

/// Whether the peer can be run.
fn installed() -> bool {
    std::process::Command::new("skopeo").arg("--version").output().is_ok_and(|output| output.status.success())
}

struct Peer<'a> {
    place: &'a Place,
    round: u32,
}

impl Peer<'_> {
    async fn inspect(&self, figures: &mut Figures, image: &str) -> Result<(), Failed> {
        let image = format!("docker://{image}");
        self.timed(figures, Table::Peer, INSPECT, "skopeo", &["inspect", "--no-tags", "--tls-verify=false", &image])
            .await
    }

    /// The same copy by both; which goes first changes from round to round.
    async fn both(
        &self,
        figures: &mut Figures,
        (ours, theirs): (&str, &str),
        from: &str,
        [to_ours, to_theirs]: [&str; 2],
    ) -> Result<(), Failed> {
        let (source, target) = (format!("docker://{from}"), format!("docker://{to_theirs}"));
        let skopeo = [
            "copy",
            "--quiet",
            "--insecure-policy",
            "--preserve-digests",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &source,
            &target,
        ];
        let sealift = ["copy", from, to_ours];
        if self.round.is_multiple_of(2) {
            self.timed(figures, Table::Whole, ours, SEALIFT, &sealift).await?;
            self.timed(figures, Table::Peer, theirs, "skopeo", &skopeo).await
        } else {
            self.timed(figures, Table::Peer, theirs, "skopeo", &skopeo).await?;
            self.timed(figures, Table::Whole, ours, SEALIFT, &sealift).await
        }
    }

    async fn timed(
        &self,
        figures: &mut Figures,
        table: Table,
        name: &str,
        program: &str,
        arguments: &[&str],
    ) -> Result<(), Failed> {
        let watched = self.round == 0;
        let run = Run { program, arguments, directory: &self.place.directory, expected: 0, watched };
        let ran = run.measure(self.place).await?;
        let series = figures.series(table, name);
        series.requests = Some(ran.requests);
        match self.round {
            0 => series.memory = ran.memory,
            _ => series.times.push(ran.wall),
        }
        Ok(())
    }
}

/// An image whose layers nobody has seen, and that do not compress.
fn large(round: u32) -> Built {
    let layer = |n: u64| {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(round) * LAYERS + n + 1);
        let words = std::iter::repeat_with(|| {
            // xorshift64 (Marsaglia 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Layer::tar(words.take(LAYER / 8).flatten().collect::<Vec<u8>>())
    };
    (0..LAYERS).map(layer).fold(Builder::new().platform("linux", "amd64", None), Builder::layer).build()
}
