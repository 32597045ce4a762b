//! The `http` check: an endpoint comes to answer as expected, and keeps doing so.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use sealift_domain::{check::HttpCheck, quantity::Period};
use sealift_engine::ports::{
    clock::Clock,
    probe::{CheckContext, CheckResult},
};

use crate::{
    client::{self, Connections},
    http_answer::{Bad, Expected},
    text::{human, shown_url},
};

/// The most time one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between requests at first, …
const FIRST_PAUSE: Period = Period::from_millis(100);
/// … for this long, after which each pause is half as long again as the one before, …
const EARLY: Period = Period::from_secs(2);
/// … up to this one.
const LONGEST_PAUSE: Period = Period::from_secs(1);

/// Runs the check to its end. Each request opens a new connection: a kept one could go on reaching the old release.
pub(crate) async fn run(check: &HttpCheck, context: &CheckContext, clock: &dyn Clock) -> CheckResult {
    let (passed, found, output) = match Polling::start(check, context, clock) {
        Ok(polling) => match polling.to_the_end(check).await {
            Ok(found) => (true, found, Vec::new()),
            Err(bad) => (false, bad.summary, bad.output),
        },
        Err(reason) => (false, reason, Vec::new()),
    };
    CheckResult { check: format!("http {}", shown_url(&check.http)), passed, found, output }
}

struct Polling<'a> {
    expected: Expected,
    client: Client,
    clock: &'a dyn Clock,
    started: Timestamp,
}

impl<'a> Polling<'a> {
    fn start(check: &HttpCheck, context: &CheckContext, clock: &'a dyn Clock) -> Result<Self, String> {
        let expected = Expected::of(check, context)?;
        let client = client::build(&expected.url, Connections::Fresh)?;
        Ok(Self { expected, client, clock, started: clock.now() })
    }

    async fn to_the_end(&self, check: &HttpCheck) -> Result<String, Bad> {
        let status = self.first_good(check.within).await?;
        let took = human(self.elapsed());
        if check.stable_for == Period::default() {
            return Ok(format!("{status} after {took}"));
        }
        self.stays_good(check.stable_for).await?;
        Ok(format!("{status} after {took}, stable for {}", human(check.stable_for)))
    }

    // Asks until an answer is good. Without one within the window, tells the last bad answer.
    async fn first_good(&self, within: Period) -> Result<u16, Bad> {
        let deadline = within.after(self.started);
        let mut last = Bad::unasked(format!("no request was made: `within` is {within}"));
        let mut asked = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = self.until(deadline);
            if left == Period::default() {
                last.summary = format!("{} for {}", last.summary, human(self.elapsed()));
                return Err(last);
            }
            match self.expected.ask(&self.client, left.as_duration().min(REQUEST_TIMEOUT)).await {
                Ok(status) => return Ok(status),
                // A request cut short by the window's end says less than the answer before it.
                Err(bad) if bad.timed_out && asked && left.as_duration() < REQUEST_TIMEOUT => {}
                Err(bad) => last = bad,
            }
            asked = true;
            self.clock.sleep(pause.min(self.until(deadline))).await;
            pause = next_pause(pause, self.elapsed());
        }
    }

    // Asks until the window has passed, the last time at its end; one bad answer fails.
    async fn stays_good(&self, window: Period) -> Result<(), Bad> {
        let start = self.clock.now();
        let end = window.after(start);
        let pause = Period::from_millis(window.as_millis() / 20).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            self.clock.sleep(pause.min(self.until(end))).await;
            let at = self.clock.now();
            if let Err(mut bad) = self.expected.ask(&self.client, REQUEST_TIMEOUT).await {
                let good_for = human(Period::between(start, at));
                bad.summary = format!("{}, after {good_for} of good answers", bad.summary);
                return Err(bad);
            }
            if at >= end {
                return Ok(());
            }
        }
    }

    fn elapsed(&self) -> Period {
        Period::between(self.started, self.clock.now())
    }

    fn until(&self, instant: Timestamp) -> Period {
        Period::between(self.clock.now(), instant)
    }
}

fn next_pause(pause: Period, elapsed: Period) -> Period {
    if elapsed < EARLY { pause } else { Period::from_millis(pause.as_millis() * 3 / 2).min(LONGEST_PAUSE) }
}
