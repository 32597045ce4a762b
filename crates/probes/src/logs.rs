//! The `logs` check: what the release itself has, or has not, logged.

use sealift_domain::{
    check::{LogPatterns, LogsCheck},
    quantity::Period,
};
use sealift_engine::ports::{
    clock::Clock,
    probe::{CheckContext, CheckResult, LogSource},
};

use crate::{
    placeholders,
    text::{OUTPUT_LIMIT, excerpt, human},
};

/// The pause between two looks at the log.
const PAUSE: Period = Period::from_secs(1);

/// Watches the log to the end of the window.
///
/// A pattern is plain text, case-sensitive, with alternatives separated by `|`; it is looked for in each line. A line
/// that must not appear fails the check at once. A line that must appear ends it at once, unless others must not. A
/// log that cannot be read at the end of the window fails the check, for nothing was proven.
pub(crate) async fn run(
    check: &LogsCheck,
    context: &CheckContext,
    logs: &dyn LogSource,
    clock: &dyn Clock,
) -> CheckResult {
    let seen = match Patterns::of(&check.logs, context) {
        Ok(patterns) => watch(&patterns, check.logs.watch, logs, clock).await,
        Err(reason) => Seen::failed(reason),
    };
    CheckResult { check: label(&check.logs), passed: seen.passed, found: seen.found, output: seen.output }
}

struct Patterns {
    none: Vec<String>,
    some: Vec<String>,
}

struct Seen {
    passed: bool,
    found: String,
    output: Vec<u8>,
}

impl Seen {
    fn failed(found: String) -> Self {
        Self { passed: false, found, output: Vec::new() }
    }

    fn passed(found: String) -> Self {
        Self { passed: true, ..Self::failed(found) }
    }

    fn with_log(self, log: &[u8]) -> Self {
        Self { output: log[log.len().saturating_sub(OUTPUT_LIMIT)..].to_vec(), ..self }
    }
}

impl Patterns {
    fn of(patterns: &LogPatterns, context: &CheckContext) -> Result<Self, String> {
        let read = |text: &Option<String>| match text {
            Some(text) => alternatives(text, context),
            None => Ok(Vec::new()),
        };
        let patterns = Self { none: read(&patterns.none)?, some: read(&patterns.some)? };
        if patterns.none.is_empty() && patterns.some.is_empty() {
            return Err("`logs` looks for nothing: give it `none` or `some`".to_owned());
        }
        Ok(patterns)
    }
}

// Split before filling, so that a value can never add an alternative.
fn alternatives(text: &str, context: &CheckContext) -> Result<Vec<String>, String> {
    let filled = text.split('|').map(|part| placeholders::fill(part.trim(), &context.values));
    let filled = filled.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if filled.iter().any(String::is_empty) {
        return Err(format!("the pattern `{text}` has an empty alternative, which every line would match"));
    }
    Ok(filled)
}

async fn watch(patterns: &Patterns, window: Period, logs: &dyn LogSource, clock: &dyn Clock) -> Seen {
    let end = window.after(clock.now());
    loop {
        let at = clock.now();
        let read = logs.read().await;
        if let Ok(log) = &read
            && let Some(seen) = decided_early(patterns, log)
        {
            return seen;
        }
        if at >= end {
            return read.map_or_else(
                |reason| Seen::failed(format!("the log could not be read: {}", excerpt(reason.as_bytes()))),
                |log| decided_at_end(patterns, &log, window),
            );
        }
        clock.sleep(PAUSE.min(Period::between(at, end))).await;
    }
}

fn decided_early(patterns: &Patterns, log: &[u8]) -> Option<Seen> {
    if let Some((pattern, line)) = find(log, &patterns.none) {
        return Some(Seen::failed(format!("`{pattern}` in: {line}")).with_log(log));
    }
    let wanted = find(log, &patterns.some).filter(|_| patterns.none.is_empty());
    wanted.map(|(pattern, line)| Seen::passed(format!("`{pattern}` in: {line}")))
}

fn decided_at_end(patterns: &Patterns, log: &[u8], window: Period) -> Seen {
    let absent = |texts: &[String]| format!("no {} in {}", quoted(texts), human(window));
    match find(log, &patterns.some) {
        Some((pattern, line)) => Seen::passed(format!("`{pattern}` in: {line}; {}", absent(&patterns.none))),
        None if patterns.some.is_empty() => Seen::passed(absent(&patterns.none)),
        None => Seen::failed(absent(&patterns.some)).with_log(log),
    }
}

// The first line with one of the texts, and which it is.
fn find<'a>(log: &[u8], texts: &'a [String]) -> Option<(&'a str, String)> {
    if texts.is_empty() {
        return None;
    }
    log.split(|b| *b == b'\n').find_map(|line| {
        let line_text = String::from_utf8_lossy(line);
        let found = texts.iter().find(|text| line_text.contains(text.as_str()))?;
        Some((found.as_str(), excerpt(line)))
    })
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(" or ")
}

fn label(patterns: &LogPatterns) -> String {
    let part = |name, text: &Option<String>| text.as_ref().map(|text| format!("{name} `{text}`"));
    let parts: Vec<_> = [part("none", &patterns.none), part("some", &patterns.some)].into_iter().flatten().collect();
    format!("logs {}", parts.join(", ")).trim_end().to_owned()
}
