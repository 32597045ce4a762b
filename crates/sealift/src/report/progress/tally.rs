//! The sums of a running copy.

use jiff::Timestamp;
use sealift_domain::quantity::{ByteSize, Period};
use sealift_engine::ports::copy::CopyEvent;
use serde::Serialize;

/// What a copy has done so far. Several images are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Distinct blobs of the graph.
    pub(super) blobs: u64,
    /// Blobs that are complete, however they came.
    pub(super) blobs_done: u64,
    /// Bytes of all blobs.
    pub(super) bytes: u64,
    /// Bytes that were streamed, of complete and incomplete blobs, repeated ones included.
    pub(super) bytes_moved: u64,
    /// Bytes of blobs that need not be streamed: mounted, or there already.
    #[serde(skip)]
    saved: u64,
    /// When the first byte was streamed.
    #[serde(skip)]
    since: Option<Timestamp>,
}

/// Below this, in milliseconds, a rate says more about buffers than about the network.
const RATE_AFTER: u64 = 1000;

impl Tally {
    /// Adds an event. Whether it is worth a line: the graph is known, or a blob is complete.
    pub(super) fn add(&mut self, event: CopyEvent, now: Timestamp) -> bool {
        match event {
            CopyEvent::Found { blobs, bytes } => {
                self.blobs += blobs;
                self.bytes += bytes;
            }
            CopyEvent::Moved(bytes) => {
                self.bytes_moved += bytes;
                self.since.get_or_insert(now);
                return false;
            }
            CopyEvent::BlobCopied(_) => self.blobs_done += 1,
            CopyEvent::BlobMounted(size) | CopyEvent::BlobSkipped(size) => {
                self.blobs_done += 1;
                self.saved += size;
            }
        }
        true
    }

    /// Bytes that have to be streamed, as far as is known.
    fn wanted(&self) -> u64 {
        self.bytes.saturating_sub(self.saved)
    }

    /// The share of the bytes to stream that is there, in thousandths; `None` before any is.
    pub(super) fn share(&self) -> Option<u64> {
        if self.bytes_moved == 0 || self.wanted() == 0 {
            return None;
        }
        Some(self.bytes_moved.saturating_mul(1000).checked_div(self.wanted()).unwrap_or(1000).min(1000))
    }

    /// The parts of the story, the most telling first: blobs, bytes, rate, time left.
    pub(super) fn words(&self, now: Timestamp) -> Vec<String> {
        if self.blobs == 0 {
            return vec!["reading the image".to_owned()];
        }
        let mut words = vec![format!("{} of {} blobs", self.blobs_done, self.blobs)];
        let Some(since) = self.since else { return words };
        let moved = self.bytes_moved.min(self.wanted());
        let human = |bytes| ByteSize::from_bytes(bytes).human();
        words.push(format!("{} of {}", human(moved), human(self.wanted())));
        let passed = Period::between(since, now).as_millis();
        let rate = self.bytes_moved.saturating_mul(1000).checked_div(passed).unwrap_or(0);
        if passed >= RATE_AFTER && rate > 0 {
            words.push(format!("{}/s", human(rate)));
            let left = self.wanted().saturating_sub(moved).div_ceil(rate);
            if left > 0 {
                words.push(format!("{} left", super::row::clock(Period::from_secs(left))));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Period::from_secs(second).after("2026-11-21T01:57:28Z".parse().unwrap())
    }

    #[test]
    fn blobs_that_need_not_move_make_the_way_shorter() {
        let mut tally = Tally::default();
        assert_eq!(tally.words(at(0)), ["reading the image"]);
        assert!(tally.add(CopyEvent::Found { blobs: 3, bytes: 50_000_000 }, at(0)));
        assert!(tally.add(CopyEvent::BlobMounted(10_000_000), at(0)));
        assert_eq!((tally.share(), tally.words(at(0))), (None, vec!["1 of 3 blobs".to_owned()]));
        assert!(!tally.add(CopyEvent::Moved(10_000_000), at(1)));
        assert_eq!(tally.share(), Some(250));
        assert_eq!(tally.words(at(1)), ["1 of 3 blobs", "10.0 MB of 40.0 MB"], "no rate out of nothing");
        assert_eq!(tally.words(at(5)), ["1 of 3 blobs", "10.0 MB of 40.0 MB", "2.5 MB/s", "12 s left"]);
    }

    #[test]
    fn bytes_that_were_sent_twice_do_not_lead_past_the_end() {
        let mut tally = Tally::default();
        tally.add(CopyEvent::Found { blobs: 1, bytes: 1000 }, at(0));
        tally.add(CopyEvent::Moved(900), at(0));
        tally.add(CopyEvent::Moved(1000), at(2));
        assert_eq!(tally.share(), Some(1000));
        assert_eq!(tally.words(at(2)), ["0 of 1 blobs", "1.0 kB of 1.0 kB", "950 B/s"]);
    }
}
