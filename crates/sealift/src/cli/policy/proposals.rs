//! Proposed policies: put on record, signed one by one, refused.

use std::path::PathBuf;

use sealift_domain::{
    approval::{Act, POLICY_NAMESPACE},
    ledger::{Ledger, Proposal},
    policy::Policy,
};
use sealift_engine::{
    init, places,
    ports::clock::Clock,
    proposal::{self, Signing},
};
use serde_json::json;

use super::super::Global;
use crate::{
    diagnostic::Diagnostic,
    failure, identity,
    report::human,
    session::Session,
    shell::{Shell, style},
    system::{SystemClock, SystemEntropy},
};

/// Puts sealift.yaml on record as a proposal.
pub(super) async fn propose(
    shell: &Shell,
    global: &Global,
    session: &Session,
    differs: &[String],
    (reason, key): (&str, Option<PathBuf>),
) -> Result<(), Diagnostic> {
    if differs.is_empty() {
        return Err(failure::usage("sealift.yaml is the accepted policy already: there is nothing to propose"));
    }
    let ledger = session.ledger().await?;
    let accepted = places::policy(&ledger).map_err(failure::of_engine)?;
    let identity = identity::require(shell, accepted, key.as_deref())?;
    let policy = session.config.policy.clone();
    let act = Act::ProposePolicy { replaces: accepted.digest(), policy: policy.digest() };
    let signed = identity.act(&ledger, act, reason)?;
    let contacts = super::super::init::contacts(&session.config, &SystemEntropy);
    let signatures = session.world.signatures.as_ref();
    let id = proposal::propose(&session.book, signatures, (policy, contacts), &signed)
        .await
        .map_err(failure::of_policy_change)?;
    let ledger = session.ledger().await?;
    let proposal = proposal::find(&ledger, id, SystemClock.now()).map_err(failure::of_engine)?;
    let wants = proposal::wants(&ledger, proposal);
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "proposal": id,
            "policy": proposal.policy.digest(),
            "differences": differs,
            "expires_at": proposal.expires_at,
            "wants": wants,
        });
        shell.print(&format!("{value}\n"));
        return Ok(());
    }
    let style = style(shell, global.color());
    shell.print(&style_lines(&style, differs));
    let until = human::until(proposal.expires_at, SystemClock.now());
    shell.print(&format!("proposal {id} is on record until {until}\n"));
    let (new, old) = (proposal.policy.digest(), accepted.digest());
    shell.print(&format!("each approver signs {new}\nin place of          {old}\n"));
    if let Some(wants) = wants {
        shell.print(&format!("{}\n", style.clean(&wants)));
    }
    shell.print(&format!("next: sealift policy accept {id} --identity FILE   # each approver, on their own machine\n"));
    Ok(())
}

/// Signs a proposal, after showing what it changes.
pub(super) async fn sign(
    shell: &Shell,
    global: &Global,
    session: &Session,
    id: u64,
    keys: Vec<PathBuf>,
) -> Result<(), Diagnostic> {
    let ledger = session.ledger().await?;
    let accepted = places::policy(&ledger).map_err(failure::of_engine)?;
    let open = proposal::find(&ledger, id, SystemClock.now()).map_err(failure::of_engine)?;
    if !global.json() {
        shell.tell(&shown(shell, global, &ledger, accepted, open));
    }
    let message = init::acceptance(&ledger, &open.policy, &open.contacts).map_err(failure::of_engine)?;
    let keys = if keys.is_empty() { vec![None] } else { keys.into_iter().map(Some).collect() };
    let mut outcome = Signing::Wanted(String::new());
    for key in keys {
        let identity = identity::require(shell, accepted, key.as_deref())?;
        let signature = identity.sign(POLICY_NAMESPACE, &message)?;
        let signatures = session.world.signatures.as_ref();
        outcome = proposal::sign(&session.book, signatures, id, &signature).await.map_err(failure::of_policy_change)?;
        if outcome == Signing::Accepted {
            break;
        }
    }
    match (outcome, global.json()) {
        (Signing::Accepted, true) => {
            shell.print(&format!("{}\n", json!({"schema_version": 1, "accepted": open.policy.digest()})));
        }
        (Signing::Wanted(why), true) => {
            shell.print(&format!("{}\n", json!({"schema_version": 1, "proposal": id, "wants": why})));
        }
        (Signing::Accepted, false) => {
            shell.print("accepted; approvals given under the policy before no longer count\n");
        }
        (Signing::Wanted(why), false) => shell.print(&format!("signed; {why}\n")),
    }
    Ok(())
}

/// Refuses a proposal.
pub(super) async fn reject(
    shell: &Shell,
    global: &Global,
    session: &Session,
    id: u64,
    (reason, key): (&str, Option<PathBuf>),
) -> Result<(), Diagnostic> {
    let ledger = session.ledger().await?;
    let accepted = places::policy(&ledger).map_err(failure::of_engine)?;
    let identity = identity::require(shell, accepted, key.as_deref())?;
    let signed = identity.act(&ledger, Act::RejectProposal { proposal: id }, reason)?;
    let signatures = session.world.signatures.as_ref();
    proposal::reject(&session.book, signatures, &signed).await.map_err(failure::of_policy_change)?;
    if global.json() {
        shell.print(&format!("{}\n", json!({"schema_version": 1, "rejected": id})));
    } else {
        shell.print(&format!("proposal {id} is refused; the accepted policy counts\n"));
    }
    Ok(())
}

/// What a signature under a proposal would change.
fn shown(shell: &Shell, global: &Global, ledger: &Ledger, accepted: &Policy, proposal: &Proposal) -> String {
    let style = style(shell, global.color());
    let mut lines = super::differences(accepted, &proposal.policy);
    // Accounts tell who asked for a promotion. They stand in the log under a salt, so only those that changed are told.
    for (id, contact) in &proposal.contacts {
        let text = |contact: Option<&sealift_domain::policy::Contact>| {
            let account = contact.and_then(|contact| contact.github.as_ref());
            account.map_or_else(|| "none".to_owned(), |account| account.text().unwrap_or("erased").to_owned())
        };
        let (before, after) = (text(ledger.contacts.get(id)), text(Some(contact)));
        if before != after {
            lines.push(format!("~ people.{id}.github: {before} → {after}"));
        }
    }
    let by: Vec<String> = proposal.accepted_by.keys().map(ToString::to_string).collect();
    let by = if by.is_empty() { "nobody yet".to_owned() } else { by.join(", ") };
    lines.push(format!("proposed by {}: {}; signed by {by}", proposal.by, proposal.reason));
    style_lines(&style, &lines)
}

fn style_lines(style: &crate::report::style::Style, lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", style.clean(line))).collect()
}
