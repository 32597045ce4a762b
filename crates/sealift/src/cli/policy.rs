//! `sealift policy`

mod proposals;

use std::path::PathBuf;

use sealift_domain::{approval::POLICY_NAMESPACE, ledger::Ledger, policy::Policy};
use sealift_engine::init::{self, Acceptance};
use serde_json::{Value, json};

use super::{Ends, Global};
use crate::{
    config::Config, diagnostic::catalogue::Exit, failure, identity, session::Session, shell::Shell,
    system::SystemEntropy,
};

/// Compare or change the policy that counts
#[derive(clap::Subcommand)]
pub enum Args {
    /// Show how sealift.yaml differs from the policy accepted in the log
    Diff,
    /// Put sealift.yaml on record as a proposal, for others to sign from their own machines
    ///
    /// It waits for seven days, and dies when the policy changes otherwise.
    Propose {
        /// Why.
        #[arg(long)]
        reason: String,
        /// Your SSH key, private or public (with an agent).
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Option<PathBuf>,
    },
    /// Make sealift.yaml the policy, signed by those whom the present policy lets approve; or sign a proposal
    Accept {
        /// The proposal to sign; without it, sealift.yaml is accepted with all signatures given at once.
        proposal: Option<u64>,
        /// SSH keys to sign with, one for each person that the present policy wants.
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Vec<PathBuf>,
    },
    /// Refuse a proposal
    Reject {
        /// The proposal.
        proposal: u64,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Your SSH key, private or public (with an agent).
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Option<PathBuf>,
    },
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let ledger = session.ledger().await.map_err(one)?;
    let Some(accepted) = &ledger.policy else { return Err(one(failure::no_log(&session.config.store))) };
    let mut differs = differences(accepted, &session.config.policy);
    differs.extend(contact_differences(&ledger, &session.config));
    match args {
        Args::Diff if global.json() => {
            shell.print(&format!(
                "{}\n",
                json!({"schema_version": 1, "same": differs.is_empty(), "differences": differs})
            ));
        }
        Args::Diff if differs.is_empty() => shell.print("sealift.yaml is the accepted policy\n"),
        Args::Diff => shell.print(&format!("{}\n", differs.join("\n"))),
        Args::Propose { reason, identity } => {
            proposals::propose(shell, global, &session, &differs, (&reason, identity)).await.map_err(one)?;
        }
        Args::Accept { proposal: Some(id), identity } => {
            proposals::sign(shell, global, &session, id, identity).await.map_err(one)?;
        }
        Args::Reject { proposal, reason, identity } => {
            proposals::reject(shell, global, &session, proposal, (&reason, identity)).await.map_err(one)?;
        }
        Args::Accept { .. } if differs.is_empty() => {
            accepted_is(shell, global, accepted, "sealift.yaml is the accepted policy already");
        }
        Args::Accept { proposal: None, identity } => {
            if !global.json() {
                shell.tell(&format!("{}\n", differs.join("\n")));
            }
            let contacts = super::init::contacts(&session.config, &SystemEntropy);
            let engine = |e| one(failure::of_policy_change(e));
            let message = init::acceptance(&ledger, &session.config.policy, &contacts).map_err(engine)?;
            let mut given = Vec::new();
            let keys: Vec<Option<&PathBuf>> =
                if identity.is_empty() { vec![None] } else { identity.iter().map(Some).collect() };
            for key in keys {
                let found = identity::find(shell, accepted, key.map(PathBuf::as_path)).map_err(one)?;
                if let Some(identity) = found {
                    given.push(Acceptance { signature: identity.sign(POLICY_NAMESPACE, &message).map_err(one)? });
                }
            }
            let signatures = session.world.signatures.as_ref();
            init::change(&session.book, signatures, session.config.policy.clone(), contacts, &given)
                .await
                .map_err(engine)?;
            let words = "accepted; approvals given under the policy before no longer count";
            accepted_is(shell, global, &session.config.policy, words);
        }
    }
    Ok(Exit::Ok)
}

/// Says which policy is in force now.
fn accepted_is(shell: &Shell, global: &Global, policy: &Policy, words: &str) {
    if global.json() {
        shell.print(&format!("{}\n", json!({"schema_version": 1, "accepted": policy.digest()})));
    } else {
        shell.print(&format!("{words}\n"));
    }
}

/// How two policies differ: one line for each value.
pub fn differences(accepted: &Policy, file: &Policy) -> Vec<String> {
    let value = |policy: &Policy| serde_json::to_value(policy).unwrap_or_default();
    differing(&value(accepted), &value(file))
}

/// How the contacts of sealift.yaml differ from those accepted. They are no part of the policy's digest, but an account on
/// GitHub tells who asked for a promotion.
fn contact_differences(ledger: &Ledger, config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, file) in &config.contacts {
        let accepted = ledger.contacts.get(id).cloned().unwrap_or_default();
        for (key, before, after) in
            [("email", &accepted.email, &file.email), ("github", &accepted.github, &file.github)]
        {
            // What was erased is not compared: nobody knows what it was.
            let before = before.as_ref().map(|personal| personal.text());
            if before == Some(None) || before.flatten() == after.as_deref() {
                continue;
            }
            let shown = |text: Option<&str>| text.unwrap_or("none").to_owned();
            lines.push(format!("~ people.{id}.{key}: {} → {}", shown(before.flatten()), shown(after.as_deref())));
        }
    }
    lines
}

/// How two JSON values differ: one line for each value in them.
pub(super) fn differing(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    lines
}

fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), lines);
            }
        }
        (Value::Null, after) => lines.push(format!("+ {path}: {after}")),
        (before, Value::Null) => lines.push(format!("- {path}: {before}")),
        (before, after) => lines.push(format!("~ {path}: {before} → {after}")),
    }
}
