//! Which of several scans counts, and whether it is young enough.

use jiff::{SignedDuration, Timestamp};

use super::{REMEDY, Written};
use crate::{
    evidence::Scan,
    gate::{Finding, believed::Piece},
    quantity::Period,
};

/// How far clocks may be apart.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Whether `at` is so far after `now` that a clock is wrong.
pub(in crate::gate) fn is_in_the_future(at: Timestamp, now: Timestamp) -> bool {
    now.checked_add(SKEW).is_ok_and(|latest| at > latest)
}

/// The newest scan of a platform, `of`. Of several of the same instant, and of several without a date where none has one, all
/// count: nobody knows which is newer, and a finding of any is a finding. One without a date never replaces one that has a date.
///
/// # Errors
/// The finding that stands for a scan that is too old, has no date where one is needed, or a date in the future. Waiting
/// mends none of them.
pub(super) fn newest<'p, 'a>(
    config: &Written,
    now: Timestamp,
    of: &str,
    pieces: &[&'p Piece<'a, Scan>],
) -> Result<Vec<&'p Piece<'a, Scan>>, Finding> {
    let newest = pieces.iter().filter_map(|piece| piece.claim.scanned_at).max();
    if let Some(future) = newest.filter(|at| is_in_the_future(*at, now)) {
        let remedy = "set the clocks right, of this machine or of the scanner's, then scan again";
        return Err(Finding::error(format!("the scan of {of} is dated {future}, after now: a clock is wrong"), remedy));
    }
    let scans: Vec<_> = pieces.iter().filter(|piece| piece.claim.scanned_at == newest).copied().collect();
    for scan in &scans {
        let of_it = format!("the scan of {of}");
        young_enough(&of_it, scan.claim.scanned_at, config.max_age, now)?;
        let of_it = format!("the database of the scan of {of}");
        young_enough(&of_it, scan.claim.database_at, config.database_max_age, now)?;
    }
    Ok(scans)
}

fn young_enough(what: &str, at: Option<Timestamp>, limit: Option<Period>, now: Timestamp) -> Result<(), Finding> {
    let Some(limit) = limit else { return Ok(()) };
    match at {
        None => Err(Finding::error(format!("{what} has no date, and may not be older than {limit}"), REMEDY)),
        Some(at) if is_in_the_future(at, now) => {
            let remedy = "set the clocks right, of this machine or of the scanner's, then scan again";
            Err(Finding::error(format!("{what} is dated {at}, after now: a clock is wrong"), remedy))
        }
        Some(at) if Period::between(at, now) > limit => {
            Err(Finding::fail(format!("{what} is of {at}, and may not be older than {limit}"), REMEDY))
        }
        Some(_) => Ok(()),
    }
}
