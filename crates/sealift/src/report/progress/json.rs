//! The view for programs: one object a line. The fields of an event are those of [`Progress`]; a copy is told in sums,
//! at most one line for each blob.

use std::sync::{Arc, Mutex, PoisonError};

use sealift_domain::promotion::{PromotionId, Step};
use sealift_engine::{
    ports::clock::Clock,
    progress::{Observer, Progress},
};
use serde::Serialize;

use super::{Watching, tally::Tally, write};
use crate::shell::Stream;

/// Grows when a field changes its meaning or goes away.
const SCHEMA_VERSION: u8 = 1;

/// The view.
pub(super) struct Json {
    stream: Stream,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    promotion: Option<PromotionId>,
    tally: Tally,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u8,
    /// RFC 3339, UTC.
    time: String,
    /// Of every event of a promotion; where the event names it, it is not said twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion: Option<PromotionId>,
    #[serde(flatten)]
    event: &'a Progress,
    #[serde(flatten)]
    tally: Option<Tally>,
}

impl Json {
    pub(super) fn new(stream: Stream, clock: Arc<dyn Clock>) -> Self {
        Self { stream, clock, state: Mutex::default() }
    }
}

impl Observer for Json {
    fn on(&self, progress: &Progress) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = None;
        match progress {
            Progress::Began { promotion, .. } => state.promotion = Some(*promotion),
            Progress::StepBegan { step: Step::Copy, .. } | Progress::Retry { step: Step::Copy, .. } => {
                state.tally = Tally::default();
            }
            Progress::Copy { event } => {
                if !state.tally.add(*event, now) {
                    return;
                }
                tally = Some(state.tally);
            }
            _ => {}
        }
        let named = matches!(progress, Progress::Began { .. } | Progress::Rested { .. });
        let promotion = state.promotion.filter(|_| !named);
        let time = now.strftime("%FT%T%.3fZ").to_string();
        let line = Line { schema_version: SCHEMA_VERSION, time, promotion, event: progress, tally };
        if let Ok(line) = serde_json::to_string(&line) {
            write(&self.stream, &format!("{line}\n"));
        }
    }
}

impl Watching for Json {
    fn finish(&self) {}
}
