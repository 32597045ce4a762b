//! The phases that people see: several steps of a promotion are one phase, and what went well takes one line or none.

use jiff::Timestamp;
use sealift_domain::{
    gate::Judged,
    promotion::{Kind, Step},
    quantity::Period,
};
use sealift_engine::{
    ports::{copy::CopyEvent, probe::CheckResult},
    progress::Progress,
};

use super::{
    row::{Live, Row, clock},
    tally::Tally,
};
use crate::report::{human, style::Mark};

/// Something that is drawn once and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// What it is all about.
    Header {
        /// The application and its releases: `hello 1.8.1 → 1.8.2`.
        change: String,
        /// Where, and which promotion.
        rest: Vec<String>,
    },
    /// A phase that is over.
    Row(Row),
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Phases {
    running: Option<Running>,
    tally: Tally,
    /// Gates that do not pass yet, but will.
    held: Option<Row>,
    tags: Vec<String>,
    back: Back,
}

/// The phase that runs.
#[derive(Debug)]
struct Running {
    name: &'static str,
    since: Timestamp,
    usually: Option<Period>,
    /// What its steps took that are done.
    took: Period,
    /// The newest note.
    words: Option<String>,
    /// When what it waits for is there.
    until: Option<Timestamp>,
    checks: u64,
}

/// The way back, told in one line when it has ended.
#[derive(Debug, Default)]
struct Back {
    words: String,
    took: Period,
}

/// What takes less, in milliseconds, is shown without its time.
const NO_TIME: u64 = 50;

/// The phase of a step.
fn phase(step: Step) -> &'static str {
    match step {
        Step::Copy => "copy",
        Step::Admit | Step::AttestVerified => "attest",
        Step::WithdrawAdmission => "withdraw",
        Step::TagImmutable | Step::MoveTags => "tags",
        Step::RecordUndo => "undo",
        Step::Migrate => "migrate",
        Step::Prepare | Step::Switch => "deploy",
        Step::Verify => "verify",
        Step::Retire => "retire",
        Step::Discard => "discard",
        Step::Restore | Step::ConfirmRestored | Step::RestoreTags => "rollback",
    }
}

impl Phases {
    /// Takes in an event and returns what is now settled.
    pub(super) fn on(&mut self, progress: &Progress, now: Timestamp) -> Vec<Settled> {
        let rows = match progress {
            Progress::Began { .. } => {
                self.run("gates", None, now);
                return header(progress).into_iter().collect();
            }
            Progress::Gates { gates, took } => self.gates(gates, *took, now),
            Progress::Consent { by, .. } => {
                let names: Vec<&str> = by.iter().map(|person| person.as_str()).collect();
                vec![row(Mark::Ok, "approval", names.join(", "), None)]
            }
            Progress::Unproven { consent } => vec![row(Mark::Bad, "approval", consent.join("; "), None)],
            Progress::TakenIn { statements } => {
                let each = |words: &String| row(Mark::None, "handed in", words.clone(), None);
                statements.iter().map(each).collect()
            }
            Progress::Waiting { reason, until } => self.waiting(reason, *until, now),
            Progress::StepBegan { step, usually } => self.began(*step, *usually, now),
            Progress::Note { text, .. } => self.note(text),
            Progress::Copy { event } => self.copy(*event, now),
            Progress::Check { result } => self.check(result),
            Progress::Trying { what } => {
                self.tally = Tally::default();
                self.run("rehearse", None, now).words = Some(what.clone());
                Vec::new()
            }
            Progress::Tried { found, took } => {
                self.running = None;
                vec![row(Mark::Ok, "rehearse", found.clone(), time_of(*took))]
            }
            Progress::Retry { step, attempt, why } => self.retry(*step, *attempt, why),
            Progress::StepDone { step, found, took } => self.done(*step, found, *took),
            Progress::StepFailed { step, why, took, .. } => self.failed(*step, why, *took),
            Progress::Rested { .. } => self.finish(),
        };
        rows.into_iter().map(Settled::Row).collect()
    }

    /// The line of the phase that runs.
    pub(super) fn live(&self, now: Timestamp) -> Option<Live> {
        let running = self.running.as_ref()?;
        let left = running.until.map(|until| Period::between(now, until).as_millis().div_ceil(1000));
        let left = left.map(|seconds| format!("{} left", clock(Period::from_secs(seconds))));
        let copying = running.name == "copy";
        let tally = if copying && running.words.is_none() { self.tally.words(now) } else { Vec::new() };
        Some(Live {
            name: running.name.to_owned(),
            share: if copying { self.tally.share() } else { None },
            words: left.into_iter().chain(running.words.clone()).chain(tally).collect(),
            elapsed: Period::between(running.since, now),
            usually: running.usually,
        })
    }

    /// Nothing runs any more. What is not settled yet and should stay.
    pub(super) fn finish(&mut self) -> Vec<Row> {
        self.running = None;
        self.held.take().into_iter().collect()
    }

    fn run(&mut self, name: &'static str, usually: Option<Period>, now: Timestamp) -> &mut Running {
        let took = Period::default();
        self.running.insert(Running { name, since: now, usually, took, words: None, until: None, checks: 0 })
    }

    fn gates(&mut self, gates: &[Judged], took: Period, now: Timestamp) -> Vec<Row> {
        self.running = None;
        self.held = None;
        let failing: Vec<&Judged> = gates.iter().filter(|judged| !judged.admits()).collect();
        let passed = gates.iter().filter(|judged| judged.passed()).count();
        let waived: Vec<&str> =
            gates.iter().filter(|judged| judged.waived).map(|judged| judged.gate.as_str()).collect();
        let waived = if waived.is_empty() { String::new() } else { format!(", waived: {}", waived.join(", ")) };
        let summary = format!("{passed} of {} passed{waived}", gates.len());
        let time = time_of(took);
        if failing.is_empty() {
            return vec![row(Mark::Ok, "gates", summary, time)];
        }
        let reasons: Vec<String> =
            failing.iter().map(|judged| format!("{}: {}", judged.gate, judged.words())).collect();
        if let Some(clears) = failing.iter().map(|judged| judged.clears_at()).collect::<Option<Vec<_>>>() {
            // It may be judged anew before anyone needs to know.
            self.held = Some(row(Mark::Waiting, "gates", summary, time));
            let waiting = self.run("waiting", None, now);
            waiting.words = Some(reasons.join("; "));
            waiting.until = clears.into_iter().max();
            return Vec::new();
        }
        let reasons = reasons.into_iter().map(|text| Row { text, ..Row::default() });
        std::iter::once(row(Mark::Bad, "gates", summary, time)).chain(reasons).collect()
    }

    fn waiting(&mut self, reason: &str, until: Timestamp, now: Timestamp) -> Vec<Row> {
        let mut rows = self.finish();
        let left = Period::between(now, until);
        let aside = if left.as_millis() < 1000 { None } else { Some(format!("{} left", human::roughly(left))) };
        rows.push(Row { aside, ..row(Mark::Waiting, "waiting", format!("for {reason}"), None) });
        rows
    }

    fn began(&mut self, step: Step, usually: Option<Period>, now: Timestamp) -> Vec<Row> {
        if step == Step::Copy {
            self.tally = Tally::default();
        }
        let name = phase(step);
        match &mut self.running {
            Some(running) if running.name == name => {
                let both = running.usually.unwrap_or_default().as_millis() + usually.unwrap_or_default().as_millis();
                running.usually = (both > 0).then(|| Period::from_millis(both));
            }
            _ => {
                self.run(name, usually, now);
            }
        }
        Vec::new()
    }

    fn note(&mut self, text: &str) -> Vec<Row> {
        if let Some(running) = &mut self.running {
            running.words = Some(text.to_owned());
        }
        Vec::new()
    }

    fn copy(&mut self, event: CopyEvent, now: Timestamp) -> Vec<Row> {
        // A copy that belongs to no promotion begins with its first event.
        if self.running.is_none() {
            self.run("copy", None, now);
        }
        self.note_is_over();
        self.tally.add(event, now);
        Vec::new()
    }

    fn note_is_over(&mut self) {
        if let Some(running) = &mut self.running {
            running.words = None;
        }
    }

    fn check(&mut self, result: &CheckResult) -> Vec<Row> {
        let CheckResult { check, passed, found, .. } = result;
        let Some(running) = &mut self.running else {
            let mark = if *passed { Mark::Ok } else { Mark::Bad };
            return vec![row(mark, "check", format!("{check}: {found}"), None)];
        };
        running.checks += u64::from(*passed);
        running.words = Some(match (passed, running.checks) {
            (false, _) => format!("{check}: {found}"),
            (true, 1) => "1 check holds".to_owned(),
            (true, checks) => format!("{checks} checks hold"),
        });
        Vec::new()
    }

    fn retry(&mut self, step: Step, attempt: u32, why: &str) -> Vec<Row> {
        self.tally = Tally::default();
        vec![row(Mark::Warn, phase(step), format!("try {attempt} failed, trying again: {why}"), None)]
    }

    fn done(&mut self, step: Step, found: &str, took: Period) -> Vec<Row> {
        let took = self.phase_took(took);
        let time = time_of(took);
        let simple = |text: &str| vec![row(Mark::Ok, phase(step), text.to_owned(), time.clone())];
        let rows = match step {
            Step::Copy | Step::Switch | Step::Admit | Step::AttestVerified => simple(found),
            Step::Migrate if found == "none to run" => Vec::new(),
            Step::Migrate => simple(found),
            Step::RecordUndo | Step::Retire => Vec::new(),
            Step::TagImmutable => {
                self.note_tags(found);
                Vec::new()
            }
            Step::MoveTags => {
                self.note_tags(found);
                let tags = std::mem::take(&mut self.tags).join(", ");
                if tags.is_empty() { Vec::new() } else { simple(&tags) }
            }
            Step::Verify => {
                let (text, aside) = without_requests(found);
                vec![Row { aside, ..row(Mark::Ok, "verify", text, time) }]
            }
            Step::Discard => vec![row(Mark::Back, "discard", found.to_owned(), time)],
            // Between the release before and its tags: the line about those is still to come.
            Step::WithdrawAdmission => {
                let line = row(Mark::Back, "withdraw", found.to_owned(), time);
                self.goes_on(took);
                return vec![line];
            }
            Step::Prepare | Step::Restore => return self.goes_on(took),
            Step::ConfirmRestored => {
                found.clone_into(&mut self.back.words);
                return self.goes_on(took);
            }
            Step::RestoreTags => {
                self.back.took = took;
                vec![self.restored(found)]
            }
        };
        self.running = None;
        rows
    }

    /// What the phase has taken, a step of it that took `took` included.
    fn phase_took(&self, took: Period) -> Period {
        let before = self.running.as_ref().map_or(0, |running| running.took.as_millis());
        Period::from_millis(before + took.as_millis())
    }

    /// The phase has another step.
    fn goes_on(&mut self, took: Period) -> Vec<Row> {
        if let Some(running) = &mut self.running {
            running.took = took;
            running.words = None;
            running.checks = 0;
        }
        Vec::new()
    }

    /// Names of tags hold no space; "none to write" does.
    fn note_tags(&mut self, found: &str) {
        let tags = found.split(", ").filter(|tag| !tag.is_empty() && !tag.contains(' '));
        // The moving tags come last and are the ones that people know.
        self.tags.splice(..0, tags.map(str::to_owned));
    }

    fn restored(&mut self, tags: &str) -> Row {
        let Back { words, took } = std::mem::take(&mut self.back);
        let (text, aside) = without_requests(&words);
        // After an interruption, the rest of the story is in the log.
        let text = if text.is_empty() { "what ran before runs again".to_owned() } else { text };
        let text = if tags.contains("moved back") { format!("{text}, {tags}") } else { text };
        Row { aside, ..row(Mark::Back, "rollback", text, time_of(took)) }
    }

    fn failed(&mut self, step: Step, why: &str, took: Period) -> Vec<Row> {
        let time = time_of(self.phase_took(took));
        self.running = None;
        // What cannot be cleared away changes nothing about what is live.
        let mark =
            if matches!(step, Step::Retire | Step::Discard | Step::WithdrawAdmission) { Mark::Warn } else { Mark::Bad };
        vec![row(mark, phase(step), why.to_owned(), time)]
    }
}

/// How long something took, unless that was no time at all.
fn time_of(took: Period) -> Option<String> {
    (took.as_millis() >= NO_TIME).then(|| human::duration(took))
}

fn row(mark: Mark, name: &str, text: String, time: Option<String>) -> Row {
    Row { mark: Some(mark), name: name.to_owned(), text, time, aside: None }
}

fn header(progress: &Progress) -> Option<Settled> {
    let Progress::Began { promotion, app, kind, live, release, to, resumed } = progress else { return None };
    let from = live.as_ref().filter(|live| *live != release).map(|live| format!("{live} → ")).unwrap_or_default();
    let kind = match kind {
        Kind::Promote => "promotion",
        Kind::Rollback => "rollback",
    };
    let resumed = resumed.then(|| "goes on after an interruption".to_owned());
    let rest = [to.to_string(), format!("{kind} {promotion}")].into_iter().chain(resumed).collect();
    Some(Settled::Header { change: format!("{app} {from}{release}"), rest })
}

/// Parts `2 checks hold, 0 of 2114 requests failed` into checks and requests, the numbers of which are grouped.
fn without_requests(found: &str) -> (String, Option<String>) {
    match found.rsplit_once(", ") {
        Some((text, requests)) if requests.ends_with(" requests failed") => {
            (text.to_owned(), Some(requests.split(' ').map(grouped).collect::<Vec<_>>().join(" ")))
        }
        _ => (found.to_owned(), None),
    }
}

/// A number with commas between its thousands; anything else as it is.
fn grouped(word: &str) -> String {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.to_owned();
    }
    let mut text = String::new();
    for (at, digit) in word.chars().enumerate() {
        if at > 0 && (word.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_in_numbers_only() {
        let cases = [("0", "0"), ("999", "999"), ("2114", "2,114"), ("1234567", "1,234,567"), ("v2114", "v2114")];
        for (word, text) in cases {
            assert_eq!(grouped(word), text);
        }
        assert_eq!(without_requests("no check is configured"), ("no check is configured".to_owned(), None));
        let (text, requests) = without_requests("1.8.1 restored, 2 checks hold, 0 of 2114 requests failed");
        assert_eq!(text, "1.8.1 restored, 2 checks hold");
        assert_eq!(requests.as_deref(), Some("0 of 2,114 requests failed"));
    }
}
