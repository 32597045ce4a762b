//! What a person is about to sign, in words: everything that it is bound to, and what it would change.

use sealift_domain::{
    approval::{ApprovalStatement, Decision},
    digest::Digest,
    gate::{Judged, Verdict},
    ledger::Ledger,
    promotion::{Kind, Promotion, Requester},
};
use sealift_engine::{database, judge, places, ports::clock::Clock};

use super::super::policy;
use crate::{
    report::{
        human,
        style::{Style, Tone},
        text,
    },
    session::Session,
    system::SystemClock,
};

/// How many lines of a changed definition are shown.
const DEFINITION_LINES: usize = 20;
/// Larger definitions are not compared line by line.
const DEFINITION_BYTES: usize = 256 << 10;

pub(super) type Line = (&'static str, String);

/// What a release would be started from, and what the live one was started from, as far as both are at hand.
#[derive(Default)]
pub(super) struct Definitions {
    /// The digest of what it would be started from; `None` where nothing says.
    pub(super) candidate: Option<Digest>,
    /// Its bytes.
    pub(super) after: Option<Vec<u8>>,
    /// The bytes of what the live one was started from.
    pub(super) before: Option<Vec<u8>>,
}

impl Definitions {
    /// From the configuration and the log.
    pub(super) async fn of(session: &Session, ledger: &Ledger, promotion: &Promotion) -> Self {
        let live = ledger.environments.get(&promotion.to).and_then(|record| record.live.as_ref()?.definition);
        let before = match live {
            Some(live) => session.book.object(live).await.ok().flatten(),
            None => None,
        };
        let after = session.world.drivers.get(&promotion.to).and_then(|driver| driver.definition().ok());
        Self { candidate: judge::definition(&session.world, promotion).ok().flatten(), after, before }
    }
}

/// What is signed. Of what came in a file, `told` is what nothing binds.
pub(super) fn what_is_signed(
    ledger: &Ledger,
    statement: &ApprovalStatement,
    definitions: &Definitions,
    told: &[Line],
    style: &Style,
) -> String {
    let mut lines: Vec<Line> = vec![("promotion", format!("{} of {}", statement.promotion, statement.app))];
    if let Some(promotion) = ledger.promotions.get(&statement.promotion) {
        lines.extend(change(ledger, statement, promotion));
        lines.push(("asked by", asked(promotion)));
        if statement.decision != Decision::Revoke {
            lines.extend(gates(promotion));
            lines.push(("evidence", statement.evidence_digest.to_string()));
            lines.push(("policy", statement.policy_digest.to_string()));
            lines.extend(definition(ledger, promotion, definitions));
            lines.extend(way_back(ledger, promotion));
        }
    }
    lines.extend(statement.reason.iter().map(|reason| ("because", reason.clone())));
    lines.extend(told.iter().cloned());
    lines.push(("signs", signs(statement)));
    // The reason and the names of releases come from others: nothing in them may hide what is signed.
    let line = |(label, words): Line| {
        let label = format!("{label:<10}  ");
        let label = style.paint(Tone::Dim, &label);
        format!("{}\n", text::hang(&label, &style.clean(&words), style.width))
    };
    lines.into_iter().map(line).collect()
}

/// From what to what, by version, commit and digest.
fn change(ledger: &Ledger, statement: &ApprovalStatement, promotion: &Promotion) -> Vec<Line> {
    let live = ledger.environments.get(&statement.to).and_then(|record| record.live.as_ref());
    let called = live.map_or_else(|| "nothing".to_owned(), |live| places::called(ledger, &live.release));
    let from = statement.from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
    let release = places::called(ledger, &promotion.release);
    let mut lines = vec![("change", format!("{called} → {release} in {}{from}", statement.to))];
    let commit = |digest: Digest| {
        let commit = ledger.builds.get(&digest).and_then(|build| build.fact.commit.clone());
        commit.map_or_else(|| "an unknown commit".to_owned(), |commit| commit.chars().take(12).collect())
    };
    for (component, image) in &statement.release {
        lines.push(("image", image.to_string()));
        let before = live.and_then(|live| live.release.digest(component));
        let words = match before {
            Some(before) if before == image.digest => "the same image as is live".to_owned(),
            Some(before) => format!("{} → {}", commit(before), commit(image.digest)),
            None => commit(image.digest),
        };
        lines.push(("commit", words));
    }
    lines
}

fn asked(promotion: &Promotion) -> String {
    let who = match &promotion.requester {
        Requester::Person { id, .. } => format!("{id} (signed)"),
        Requester::Workload(run) => {
            let by = run.actor.as_ref().map_or_else(|| "nobody known".to_owned(), ToString::to_string);
            format!("{}, started by {by} ({})", run.subject, run.issuer)
        }
        Requester::Unknown => "somebody who did not prove who they are".to_owned(),
    };
    let when = human::age(promotion.requested_at, SystemClock.now());
    let why = promotion.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{who}, {when}{why}")
}

/// Every gate with its verdict and what it rests on.
fn gates(promotion: &Promotion) -> Vec<Line> {
    let passed = promotion.judged.iter().filter(|judged| judged.passed()).count();
    let mut lines = vec![("gates", format!("{passed} of {} passed", promotion.judged.len()))];
    let one = |judged: &Judged| {
        let word = match judged.finding.verdict {
            _ if judged.waived => "WAIVED",
            Verdict::Pass { .. } => "pass",
            Verdict::Fail { .. } => "FAIL",
            Verdict::Error { .. } => "ERROR",
        };
        let evidence: Vec<String> = judged.finding.evidence.iter().map(|digest| digest.short()).collect();
        let evidence = if evidence.is_empty() { String::new() } else { format!(" [{}]", evidence.join(" ")) };
        ("", format!("{word}  {}: {}{evidence}", judged.gate, judged.words()))
    };
    lines.extend(promotion.judged.iter().map(one));
    lines
}

/// How what the release would be started from differs from what the live one was started from.
fn definition(ledger: &Ledger, promotion: &Promotion, definitions: &Definitions) -> Vec<Line> {
    if promotion.kind == Kind::Rollback {
        return vec![("definition", "the one that it was live with before".to_owned())];
    }
    let live = ledger.environments.get(&promotion.to).and_then(|record| record.live.as_ref()?.definition);
    let Some(digest) = definitions.candidate else { return Vec::new() };
    // What is signed is what was judged. Another file on this machine must not be shown in its place.
    if promotion.evidence != Some(judge::evidence_digest(&promotion.judged, Some(digest))) {
        let words = "it was judged with ANOTHER than sealift.yaml has here, so what would be started is not shown";
        return vec![("definition", words.to_owned())];
    }
    let Some(live) = live else { return vec![("definition", format!("{digest}, the first one"))] };
    if live == digest {
        return vec![("definition", format!("{}, as is live", digest.short()))];
    }
    let mut lines = vec![("definition", format!("CHANGED: {} → {}", live.short(), digest.short()))];
    let (before, after) = match (&definitions.before, &definitions.after) {
        (Some(before), Some(after)) => (before, after),
        (None, _) => {
            lines.push(("", "what it was before is not at hand, or was erased, so it cannot be compared".to_owned()));
            return lines;
        }
        (_, None) => {
            lines.push(("", "what it would be is not at hand, so it cannot be shown".to_owned()));
            return lines;
        }
    };
    let differences = differences(before, after);
    let more = differences.len().saturating_sub(DEFINITION_LINES);
    lines.extend(differences.into_iter().take(DEFINITION_LINES).map(|line| ("", line)));
    if more > 0 {
        lines.push(("", format!("and {more} lines more")));
    }
    lines
}

/// JSON by its values, everything else by its lines.
fn differences(before: &[u8], after: &[u8]) -> Vec<String> {
    if before.len().max(after.len()) > DEFINITION_BYTES {
        return vec!["it is too large to be compared here".to_owned()];
    }
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    if let (Some(before), Some(after)) = (json(before), json(after)) {
        return policy::differing(&before, &after);
    }
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let removed = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let added = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    let mut lines: Vec<String> = removed.map(|line| format!("- {line}")).collect();
    lines.extend(added.map(|line| format!("+ {line}")));
    if lines.is_empty() {
        lines.push("the same lines in another order or number".to_owned());
    }
    lines
}

/// What becomes of the database, and how it could be gone back.
fn way_back(ledger: &Ledger, promotion: &Promotion) -> Vec<Line> {
    if promotion.kind == Kind::Rollback {
        return Vec::new();
    }
    // The migration is what no approver can take back.
    let outlook = database::outlook(ledger, &promotion.to, promotion.schema);
    let mut lines: Vec<Line> = outlook.into_iter().map(|outlook| ("database", outlook.to_string())).collect();
    let Ok(rules) = places::environment(ledger, &promotion.to) else { return lines };
    if rules.migrate.is_some() {
        lines.push(("migration", "a command runs once from the candidate before the switch".to_owned()));
    }
    let live = ledger.environments.get(&promotion.to).and_then(|record| record.live.as_ref());
    let words = match (live, rules.rollback.automatic) {
        (None, _) => "nothing is live, so there is nothing to go back to".to_owned(),
        (Some(live), true) => format!("{}, by itself if the verification fails", places::called(ledger, &live.release)),
        (Some(live), false) => format!("{}, by hand only", places::called(ledger, &live.release)),
    };
    lines.push(("way back", words));
    lines
}

fn signs(statement: &ApprovalStatement) -> String {
    let until = human::until(statement.expires_at, statement.issued_at);
    let by = &statement.approver;
    match statement.decision {
        Decision::Approve if statement.expedited => {
            let waived: Vec<&str> = statement.waived.iter().map(String::as_str).collect();
            let waived =
                if waived.is_empty() { "no gate waived".to_owned() } else { format!("WAIVING {}", waived.join(", ")) };
            format!("EXPEDITED approval by {by}, {waived}, which counts until {until}")
        }
        Decision::Approve => format!("approval by {by}, which counts until {until}"),
        Decision::Reject => format!("rejection by {by}, which counts until {until}"),
        Decision::Revoke => format!("that {by} no longer approves"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_compared_by_value_or_by_line() {
        let json = differences(br#"{"env": {"A": "1"}, "ports": [1]}"#, br#"{"ports": [1], "env": {"A": "2"}}"#);
        assert_eq!(json, ["~ env.A: \"1\" → \"2\""]);
        assert_eq!(differences(b"a: 1\nb: 2\n", b"a: 1\nb: 3\nc: 4\n"), ["- b: 2", "+ b: 3", "+ c: 4"]);
        assert_eq!(differences(b"a\nb", b"b\na"), ["the same lines in another order or number"]);
        assert_eq!(differences(&vec![b'x'; DEFINITION_BYTES + 1], b""), ["it is too large to be compared here"]);
    }
}
