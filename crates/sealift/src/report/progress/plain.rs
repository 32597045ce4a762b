//! The view for a pipe and for the log of a pipeline: one line for each change, with its time, and a heartbeat, because
//! silence ends jobs and dots are noise. No cursor codes and no colour.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sealift_domain::{
    promotion::{Kind, PromotionId, Step},
    quantity::{ByteSize, Period},
};
use sealift_engine::{
    ports::{clock::Clock, copy::CopyEvent},
    progress::{Observer, Progress},
};

use super::{Ticks, Watching, tally::Tally, write};
use crate::{
    report::{human, style::Style},
    shell::Stream,
};

/// After this long without a line, one says that the work goes on.
const HEARTBEAT: Period = Period::from_secs(60);

/// The view.
pub(super) struct Plain {
    stream: Stream,
    style: Style,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    promotion: Option<PromotionId>,
    /// What is done now, and since when.
    doing: Option<(&'static str, Timestamp)>,
    /// When the last line was written.
    last: Option<Timestamp>,
    tally: Tally,
}

impl Plain {
    pub(super) fn new(stream: Stream, style: Style, clock: Arc<dyn Clock>) -> Self {
        Self { stream, style, clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, state: &mut State, words: &str, now: Timestamp) {
        state.last = Some(now);
        let promotion = state.promotion.map(|id| format!("promotion {id} ")).unwrap_or_default();
        let time = now.strftime("%FT%TZ");
        write(&self.stream, &format!("{time} {promotion}{}\n", self.style.clean(words)));
    }
}

impl Observer for Plain {
    fn on(&self, progress: &Progress) {
        let now = self.clock.now();
        let mut state = self.state();
        for words in state.take_in(progress, now) {
            self.line(&mut state, &words, now);
        }
    }
}

impl Watching for Plain {
    fn finish(&self) {
        self.state().doing = None;
    }
}

impl Ticks for Plain {
    fn tick(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        let Some((doing, since)) = state.doing else { return };
        let last = state.last.map_or(since, |last| last.max(since));
        if Period::between(last, now) < HEARTBEAT {
            return;
        }
        let seconds = Period::between(since, now).as_millis() / 1000;
        let mut words = vec![format!("still {doing}"), format!("{seconds} s")];
        if doing == Step::Copy.as_str() {
            words.extend(state.tally.words(now));
        }
        self.line(&mut state, &words.join(", "), now);
    }
}

impl State {
    /// Takes in an event and returns the lines that it is worth.
    fn take_in(&mut self, progress: &Progress, now: Timestamp) -> Vec<String> {
        self.follow(progress, now);
        match progress {
            Progress::Began { app, kind, live, release, to, resumed, .. } => {
                let from = live.as_ref().filter(|live| *live != release);
                let from = from.map(|live| format!("{live} → ")).unwrap_or_default();
                let back = if *kind == Kind::Rollback { ", a rollback" } else { "" };
                let resumed = if *resumed { ", goes on after an interruption" } else { "" };
                vec![format!("{app} {from}{release} in {to}{back}{resumed}")]
            }
            Progress::Gates { gates, took } => {
                let passed = gates.iter().filter(|judged| judged.passed()).count();
                let summary = format!("gates: {passed} of {} passed ({})", gates.len(), human::exact(*took));
                let refused = gates.iter().filter(|judged| !judged.passed());
                let refused = refused.map(|judged| {
                    let waived = if judged.waived { " (waived)" } else { "" };
                    format!("gate {}: {}{waived}", judged.gate, judged.words())
                });
                std::iter::once(summary).chain(refused).collect()
            }
            Progress::Consent { by, .. } => {
                let names: Vec<&str> = by.iter().map(|person| person.as_str()).collect();
                vec![format!("approval: {}", names.join(", "))]
            }
            Progress::Unproven { consent } => {
                consent.iter().map(|words| format!("approval does not count: {words}")).collect()
            }
            Progress::TakenIn { statements } => statements.iter().map(|words| format!("handed in: {words}")).collect(),
            Progress::Waiting { reason, until } => {
                vec![format!("waiting for {reason}, until {}", until.strftime("%FT%TZ"))]
            }
            Progress::StepBegan { .. } => Vec::new(),
            Progress::Note { step, text } => vec![format!("{step}: {text}")],
            Progress::Copy { event: CopyEvent::Found { blobs, bytes } } => {
                vec![format!("copy: {} of {}", human::count(*blobs, "blob"), ByteSize::from_bytes(*bytes).human())]
            }
            Progress::Copy { .. } => Vec::new(),
            // The end of the step says so, and why.
            Progress::Check { result } if !result.passed && self.doing.is_some() => Vec::new(),
            Progress::Check { result } => {
                let verdict = if result.passed { "holds" } else { "fails" };
                vec![format!("check {verdict}: {}: {}", result.check, result.found)]
            }
            Progress::Trying { what } => vec![format!("rehearsing: {what}")],
            Progress::Tried { found, took } => vec![format!("rehearsed: {found} ({})", human::exact(*took))],
            Progress::Retry { step, attempt, why } => {
                vec![format!("{step}: try {attempt} failed, trying again: {why}")]
            }
            Progress::StepDone { step, found, took } => vec![format!("{step}: {found} ({})", human::exact(*took))],
            Progress::StepFailed { step, code, why, took } => {
                vec![format!("{step} failed [{code}]: {why} ({})", human::exact(*took))]
            }
            Progress::Rested { status, .. } => vec![status.as_str().to_lowercase()],
        }
    }

    /// Follows what is being done.
    fn follow(&mut self, progress: &Progress, now: Timestamp) {
        match progress {
            Progress::Began { promotion, .. } => {
                self.promotion = Some(*promotion);
                self.doing = Some(("judging gates", now));
            }
            Progress::Gates { gates, .. } if gates.iter().any(|judged| !judged.admits()) => {
                self.doing = Some(("waiting", now));
            }
            Progress::StepBegan { step, .. } => {
                self.doing = Some((step.as_str(), now));
                if *step == Step::Copy {
                    self.tally = Tally::default();
                }
            }
            Progress::Trying { .. } => {
                self.doing = Some(("rehearsing", now));
                self.tally = Tally::default();
            }
            Progress::Retry { .. } => self.tally = Tally::default(),
            Progress::Copy { event } => {
                self.doing.get_or_insert((Step::Copy.as_str(), now));
                self.tally.add(*event, now);
            }
            Progress::Waiting { .. } | Progress::Rested { .. } => self.doing = None,
            _ => {}
        }
    }
}
