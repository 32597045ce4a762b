//! One promotion: how it went, what became of it, and what comes next.

use sealift_domain::{
    digest::Digest,
    failure::{Code, Failure},
    ledger::Ledger,
    policy::{Excluded, Person},
    promotion::{Attested, Cause, Ended, Promotion, PromotionEvent, PromotionId, Stage, Status, Wait},
};
use sealift_engine::{comment, judge, places, view};
use serde_json::json;

use super::{
    super::{Ends, Global},
    costs, rebuild_json, wait_in_words,
};
use crate::{
    diagnostic::{
        Diagnostic,
        catalogue::{self, Exit, code},
    },
    failure,
    report::{
        human,
        style::{Style, Tone},
        text,
    },
    session::Session,
    shell::{Shell, style},
};

/// How much of a kept response or log is shown, in lines.
const KEPT_LINES: usize = 5;

/// The command that goes on with a promotion.
pub(super) fn again(promotion: &Promotion) -> String {
    match promotion.kind {
        sealift_domain::promotion::Kind::Promote => format!("`sealift promote --to {}`", promotion.to),
        sealift_domain::promotion::Kind::Rollback => format!("`sealift rollback --in {}`", promotion.to),
    }
}

pub(super) async fn show(
    shell: &Shell,
    global: &Global,
    session: &Session,
    id: PromotionId,
) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    let promotion = sealift_engine::decide::promotion(&ledger, id).map_err(failure::of_engine)?;
    if global.json() {
        shell.print(&format!("{}\n", promotion_json(&ledger, promotion)));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    shell.print(&heading(&ledger, promotion, &style));
    let mut before = promotion.requested_at;
    for moment in &promotion.timeline {
        let took = human::duration(sealift_domain::quantity::Period::between(before, moment.at));
        shell.print(&format!(
            "  {}  {:<13} {}\n",
            moment.at.strftime("%F %T"),
            moment.what,
            style.paint(Tone::Dim, &took)
        ));
        before = moment.at;
    }
    for (label, words) in costs(&ledger, &promotion.to, Some(promotion)) {
        shell.print(&format!("{}\n", text::hang(&format!("  {label:<9}"), &style.clean(&words), style.width)));
    }
    shell.print(&story(session, &ledger, promotion, &style).await);
    Ok(Exit::Ok)
}

fn heading(ledger: &Ledger, promotion: &Promotion, style: &Style) -> String {
    let from = promotion.from.as_ref().map(|from| format!("{from} → ")).unwrap_or_default();
    let text =
        format!("promotion {}  {}  {from}{}", promotion.id, places::called(ledger, &promotion.release), promotion.to);
    format!("{}\n", style.paint(Tone::Strong, &style.clean(&text)))
}

fn promotion_json(ledger: &Ledger, promotion: &Promotion) -> serde_json::Value {
    let mut value = serde_json::to_value(view::audit_record(ledger, promotion)).unwrap_or_default();
    value["schema_version"] = json!(1);
    value["state"] = json!(promotion.status());
    value["exit_code"] = json!(exit(promotion).code());
    value["stage"] = json!(promotion.stage);
    value["timeline"] = json!(promotion.timeline);
    value["verification"] = json!(promotion.verification);
    value["restored"] = json!(promotion.restored);
    value["database"] = json!({
        "schema": promotion.schema,
        "migrated": promotion.migrated,
        "after_migration": promotion.undo.as_ref().and_then(|undo| undo.database.as_ref()),
    });
    value["cost"] = json!(promotion.cost);
    value["rebuild"] = rebuild_json(ledger, &promotion.to);
    if let Ok(Some(words)) = comment::wanted(ledger, promotion) {
        value["comment"] = json!(words);
    }
    if promotion.attested.is_some() {
        value["admission_counts"] = json!(promotion.admission_counts());
    }
    if !promotion.unmoved_tags.is_empty() {
        value["unmoved_tags"] = json!(promotion.unmoved_tags);
    }
    value
}

/// Shows how a promotion stands at the end of a run, and how the command ends.
pub(in crate::cli) async fn conclude(shell: &Shell, global: &Global, session: &Session, id: PromotionId) -> Ends {
    let ledger = session.ledger().await.map_err(|d| vec![d])?;
    let promotion = sealift_engine::decide::promotion(&ledger, id).map_err(|e| vec![failure::of_engine(e)])?;
    if global.json() {
        shell.print(&format!("{}\n", promotion_json(&ledger, promotion)));
    } else if let Some(refused) = refusal(session, promotion) {
        return Err(refused);
    } else {
        let style = style(shell, global.color());
        shell.print(&story(session, &ledger, promotion, &style).await);
    }
    Ok(exit(promotion))
}

/// A refusal by gates reads like a compiler's errors: one for each gate.
fn refusal(session: &Session, promotion: &Promotion) -> Option<Vec<Diagnostic>> {
    let Stage::Ended(Ended::Failed { failure, .. }) = &promotion.stage else { return None };
    if !is_gate(&failure.code) {
        return None;
    }
    let refused = promotion.judged.iter().filter(|judged| !judged.admits());
    let mut refused: Vec<Diagnostic> =
        refused.map(|judged| super::super::check::refused(session, &promotion.to, judged)).collect();
    if refused.is_empty() {
        // A log of another version may keep less of the judgement; its failure still says why.
        let diagnostic = Diagnostic::new(code::E0404, failure.message.clone())
            .state(format!("nothing was changed in {}", promotion.to))
            .next(format!("`sealift explain {}`", failure.code));
        refused.push(diagnostic);
    }
    Some(refused)
}

fn is_gate(code: &Code) -> bool {
    code.as_str().starts_with('G')
}

/// The exit code that tells how a promotion stands.
pub(in crate::cli) fn exit(promotion: &Promotion) -> Exit {
    match &promotion.stage {
        Stage::Ended(Ended::Completed { .. }) => Exit::Ok,
        Stage::Ended(Ended::Failed { failure, .. }) if is_gate(&failure.code) => Exit::GateRefused,
        Stage::Ended(Ended::Failed { failure, .. }) => match catalogue::exit(failure.code.as_str()) {
            told @ (Exit::Authentication | Exit::Busy) => told,
            _ => Exit::Failed,
        },
        Stage::Ended(Ended::RolledBack { .. }) => Exit::RolledBack,
        Stage::Ended(Ended::Stuck { .. }) => Exit::Stuck,
        Stage::Ended(Ended::Cancelled { .. }) => Exit::Cancelled,
        Stage::Judging | Stage::Waiting(_) => Exit::Waiting,
        Stage::Forward { .. } | Stage::Back { .. } => Exit::Internal,
    }
}

/// The verdict of a promotion, what was kept of it, and what to do next.
pub(in crate::cli) async fn story(session: &Session, ledger: &Ledger, promotion: &Promotion, style: &Style) -> String {
    let release = places::called(ledger, &promotion.release);
    let to = &promotion.to;
    let runs = ledger.environments.get(to).and_then(|record| record.live.as_ref());
    let runs = runs.map_or_else(|| "nothing".to_owned(), |live| places::called(ledger, &live.release));
    let (tone, line) = match &promotion.stage {
        Stage::Ended(Ended::Completed { .. }) => (Tone::Ok, format!("COMPLETED: {to} runs {release}")),
        Stage::Ended(Ended::Failed { .. }) => {
            (Tone::Bad, format!("FAILED: nothing live was changed; {to} runs {runs}"))
        }
        Stage::Ended(Ended::RolledBack { .. }) => (Tone::Bad, format!("FAILED, ROLLED BACK: {to} runs {runs}")),
        Stage::Ended(Ended::Stuck { .. }) => {
            (Tone::Bad, format!("STUCK: a person is needed in {to}; by the record it runs {runs}"))
        }
        Stage::Ended(Ended::Cancelled { reason, .. }) => (Tone::Warn, format!("CANCELLED: {reason}; {to} runs {runs}")),
        Stage::Waiting(wait) => {
            (Tone::Warn, format!("PENDING: promotion {} waits for {}", promotion.id, wait_in_words(wait)))
        }
        Stage::Judging => (Tone::Warn, format!("PENDING: promotion {} is to be judged", promotion.id)),
        Stage::Forward { step, .. } | Stage::Back { step, .. } => {
            (Tone::Warn, format!("IN PROGRESS: promotion {} at {step}", promotion.id))
        }
    };
    let line = code_of(promotion).map_or_else(|| line.clone(), |code| format!("{line} [{code}]"));
    let mut story = String::new();
    for line in text::wrap(&style.clean(&line), style.width) {
        story.push_str(&format!("{}\n", style.paint(tone, &line)));
    }
    if let Some(words) = view::unmoved_in_words(ledger, promotion) {
        story.push_str(&format!("{}\n", text::hang("  tags: ", &style.clean(&words), style.width)));
    }
    if let Some(words) = promotion.attested.as_ref().and_then(|attested| attestation_in_words(promotion, attested)) {
        story.push_str(&format!("{}\n", text::hang("  attested: ", &style.clean(&words), style.width)));
    }
    if let Some(who) = approvers(ledger, promotion) {
        story.push_str(&format!("{}\n", text::hang("  who: ", &style.clean(&who), style.width)));
    }
    for (label, failure) in failures(promotion) {
        let why = style.clean(&format!("{} [{}]", failure.message, failure.code));
        story.push_str(&format!("{}\n", text::hang(&format!("  {label}: "), &why, style.width)));
        for digest in &failure.evidence {
            story.push_str(&kept(session, *digest, style).await);
        }
    }
    if let Some(left) = promotion.left_database() {
        let line = text::hang("  DATABASE: ", &style.clean(&left), style.width);
        story.push_str(&format!("{}\n", style.paint(Tone::Bad, &line)));
    }
    for next in next_commands(ledger, promotion) {
        story.push_str(&format!("next: {}\n", style.paint(Tone::Command, &style.clean(&next))));
    }
    story
}

/// Who may give the consent that a promotion waits for, in words.
fn approvers(ledger: &Ledger, promotion: &Promotion) -> Option<String> {
    let Stage::Waiting(Wait::Approval { .. }) = &promotion.stage else { return None };
    let rule = judge::rule(ledger, promotion).ok()??;
    let roles = rule.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let asked = promotion.requester.person().filter(|_| rule.not.contains(&Excluded::Requester));
    let has_role = |person: &Person| person.roles.iter().any(|role| rule.roles.contains(role));
    let people = places::policy(ledger).ok()?.people.iter();
    let people = people.filter(|(id, person)| has_role(person) && Some(*id) != asked);
    let people = people.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ");
    let people = if people.is_empty() { "nobody in the policy".to_owned() } else { people };
    let not = rule.not.iter().map(|excluded| match excluded {
        Excluded::Requester => "who asked for it",
        Excluded::Author => "who wrote it",
        Excluded::Committer => "who committed it",
        Excluded::Actor => "who had it built",
    });
    let not = not.collect::<Vec<_>>().join(" or ");
    Some(if not.is_empty() { format!("{people} ({roles})") } else { format!("{people} ({roles}, not {not})") })
}

/// The code that explains a promotion which waits or ended without a failure.
fn code_of(promotion: &Promotion) -> Option<&'static str> {
    match &promotion.stage {
        Stage::Waiting(Wait::Approval { .. }) => Some(code::E0416),
        Stage::Waiting(Wait::Condition { .. }) => Some(code::E0417),
        Stage::Ended(Ended::Cancelled { superseded_by: Some(_), .. }) => Some(code::E0415),
        Stage::Ended(Ended::Cancelled { .. }) => {
            let lapsed = promotion.timeline.last().is_some_and(|moment| moment.what == PromotionEvent::Lapsed.name());
            Some(if lapsed { code::E0413 } else { code::E0414 })
        }
        _ => None,
    }
}

/// What a promotion attested, and what a registry still has although it does not count.
fn attestation_in_words(promotion: &Promotion, attested: &Attested) -> Option<String> {
    let left: Vec<String> = attested.left.iter().map(|(component, why)| format!("{component}: {why}")).collect();
    match (promotion.admission_counts(), attested.verified.is_empty()) {
        _ if !left.is_empty() => Some(format!(
            "withdrawn, and still in the registry ({}); `attest verify` with `--log` refuses it, a host that asks nothing but \
             the registry does not",
            left.join("; ")
        )),
        (true, true) => Some("admitted".to_owned()),
        (true, false) => Some("admitted and verified".to_owned()),
        (false, _) => None,
    }
}

fn failures(promotion: &Promotion) -> Vec<(&'static str, &Failure)> {
    match &promotion.stage {
        Stage::Ended(Ended::Failed { failure, leftover }) => {
            [("why", failure)].into_iter().chain(leftover.as_ref().map(|left| ("left over", left))).collect()
        }
        Stage::Ended(Ended::RolledBack { failure }) => vec![("why", failure)],
        Stage::Ended(Ended::Stuck { failure, blocked }) => vec![("why", failure), ("way back", blocked)],
        Stage::Ended(Ended::Completed { leftover: Some(left) }) => vec![("left over", left)],
        Stage::Back { cause: Cause::Failed { failure, .. }, .. } => vec![("why", failure)],
        Stage::Back { cause: Cause::Blocked { failure, blocked }, .. } => vec![("why", failure), ("way back", blocked)],
        _ => Vec::new(),
    }
}

/// How to approve by a comment, where that is accepted.
pub(super) fn by_comment(ledger: &Ledger, promotion: &Promotion) -> Option<String> {
    let words = comment::wanted(ledger, promotion).ok()??;
    Some(format!("write `{words}` on a line of a comment on GitHub, which rests on GitHub's word alone"))
}

/// The end of something that was kept: what the release said.
async fn kept(session: &Session, digest: Digest, style: &Style) -> String {
    let Ok(Some(bytes)) = session.book.object(digest).await else {
        return format!("  kept as {digest}, and erased since\n");
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(KEPT_LINES);
    let shown = lines.get(from..).unwrap_or_default();
    shown.iter().map(|line| format!("    {} {}\n", style.paint(Tone::Dim, "|"), style.clean(line))).collect()
}

fn next_commands(ledger: &Ledger, promotion: &Promotion) -> Vec<String> {
    let again = again(promotion).replace('`', "");
    match &promotion.stage {
        Stage::Waiting(Wait::Approval { .. }) => {
            let mut next = vec![format!("sealift approve {}", promotion.id)];
            next.extend(by_comment(ledger, promotion));
            next.push(again);
            next
        }
        Stage::Waiting(_) | Stage::Judging | Stage::Forward { .. } | Stage::Back { .. } => vec![again],
        Stage::Ended(Ended::Completed { .. } | Ended::Cancelled { .. }) => Vec::new(),
        Stage::Ended(Ended::Failed { failure, .. }) => {
            let mut next = vec![format!("sealift explain {}", promotion.id)];
            // What was in the way goes by itself or is brought back; the release is as good as before.
            match failure.code.as_str() {
                code::E0508 => next.push(format!("{again}   # once the host answers")),
                code::E0509 => next.push(format!("{again}   # once the other deployer is done")),
                _ => {}
            }
            next
        }
        Stage::Ended(Ended::RolledBack { .. }) => vec![format!("sealift explain {}", promotion.id)],
        Stage::Ended(Ended::Stuck { blocked, .. }) => {
            // What does not work on the database is not gone back to: its own page says how to choose.
            let way = match blocked.code.as_str() {
                code::E0420 => format!("sealift explain {}", code::E0420),
                _ => format!("sealift rollback --in {}", promotion.to),
            };
            let mut next = vec![format!("sealift explain {}", promotion.id), way];
            let scope = sealift_domain::freeze::HoldScope::Environment(promotion.to.clone());
            if ledger.holds.contains_key(&scope) {
                next.push(format!("sealift hold release {} --reason \"…\"   # once it is in order", promotion.to));
            }
            next
        }
    }
}

/// What a run says that was interrupted from the keyboard.
pub(in crate::cli) async fn interrupted(session: &Session, id: PromotionId) -> Diagnostic {
    let ledger = session.ledger().await.ok();
    let promotion = ledger.as_ref().and_then(|ledger| ledger.promotions.get(&id));
    let (state, next) = match promotion {
        Some(promotion) => (
            match promotion.status() {
                Status::InProgress => "it is in the middle of a step, which the next run goes on with".to_owned(),
                status => format!("it is {status}"),
            },
            again(promotion),
        ),
        None => ("its log cannot be read".to_owned(), "`sealift audit verify`".to_owned()),
    };
    Diagnostic::new("E0418", format!("interrupted: promotion {id} is not over")).state(state).next(next)
}
