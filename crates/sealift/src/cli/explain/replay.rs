//! `sealift explain PROMOTION --replay`

use sealift_domain::promotion::PromotionId;
use sealift_engine::replay::{self, Difference, Replayed};
use serde_json::{Value, json};

use super::evidence;
use crate::{
    cli::{Global, check},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::style::Tone,
    session::Session,
    shell::{Shell, style},
};

/// Judges again what a promotion was judged on, and says whether the answer is the same.
pub(super) async fn run(
    shell: &Shell,
    global: &Global,
    session: &Session,
    id: PromotionId,
) -> Result<Exit, Diagnostic> {
    let replayed = replay::replay(&session.book, &session.world, id).await.map_err(failure::of_engine)?;
    if global.json() {
        shell.print(&format!("{}\n", as_json(id, &replayed)));
    } else {
        show(shell, global, id, &replayed);
    }
    if replayed.disagrees() {
        return Err(disagreement(id, &replayed));
    }
    Ok(Exit::Ok)
}

fn as_json(id: PromotionId, replayed: &Replayed) -> Value {
    let difference = |difference: &Difference| {
        json!({
            "what": difference.what,
            "recorded": difference.recorded,
            "now": difference.now,
            "evaluator_changed": difference.evaluator_changed,
        })
    };
    json!({
        "schema_version": 1,
        "promotion": id,
        "entry": replayed.recorded.index,
        "judged_at": replayed.recorded.at,
        "policy": replayed.recorded.judgement.policy,
        "agrees": replayed.differences.is_empty(),
        "gates": replayed.gates,
        "differences": replayed.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}

fn show(shell: &Shell, global: &Global, id: PromotionId, replayed: &Replayed) {
    let style = style(shell, global.color());
    let recorded = &replayed.recorded;
    let head = format!("promotion {id} as it was judged at {} (entry {}), judged again", recorded.at, recorded.index);
    shell.print(&format!("{}\n", style.paint(Tone::Strong, &head)));
    shell.print(&format!("  policy {}\n", recorded.judgement.policy));
    shell.print(&check::gates_table(&replayed.gates, &style));
    if let Some(kept) = &recorded.kept {
        shell.print(&evidence::table(&kept.facts, &style));
        if kept.on_host {
            shell.print(
                "the registry was silent then: gates that passed on an earlier judgement were not judged again\n",
            );
        }
    }
    for difference in &replayed.differences {
        let why = if difference.evaluator_changed { "what judges has changed since" } else { "nothing explains it" };
        let line = format!("{}: recorded `{}`, now `{}` ({why})", difference.what, difference.recorded, difference.now);
        shell.print(&format!("{}\n", style.clean(&line)));
    }
    if replayed.differences.is_empty() {
        shell.print(&format!("{}\n", style.paint(Tone::Ok, "the same answer as stands in the log")));
    }
}

fn disagreement(id: PromotionId, replayed: &Replayed) -> Diagnostic {
    let unexplained: Vec<&str> = replayed
        .differences
        .iter()
        .filter(|difference| !difference.evaluator_changed)
        .map(|difference| difference.what.as_str())
        .collect();
    Diagnostic::new("E0902", format!("promotion {id} comes out otherwise than it was recorded"))
        .found(unexplained.join(", "))
        .state("nothing was changed")
        .next("`sealift audit verify` says whether the log was altered")
}
