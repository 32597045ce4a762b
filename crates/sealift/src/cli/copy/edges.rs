//! `sealift copy --file FILE`: many copies as one run, of which only what is missing is done.

use std::{collections::BTreeMap, path::Path};

use sealift_domain::{
    quantity::{ByteSize, Period},
    reference::Repository,
};
use sealift_engine::{
    edges::{self, Edge, Failed, Plan, Summary},
    ports::{clock::Clock, copy::CopyTally, registry::Registry},
};
use serde_json::{Value, json};

use super::{Ends, Global};
use crate::{
    config,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{
        human, progress,
        style::Tone,
        table::{Cell, Table},
    },
    shell::{Shell, style},
    system::SystemClock,
};

/// How many failed edges are shown one by one.
const SHOWN: usize = 20;

/// Brings every edge of a file into place; with `dry`, only says what is not.
pub(super) async fn run(file: &Path, dry: bool, registry: &dyn Registry, global: &Global, shell: &Shell) -> Ends {
    let edges = read(file, shell)?;
    let began = SystemClock.now();
    let plan = edges::plan(registry, &edges).await;
    let (found, in_place, to_write) = (as_table(&edges, &plan), plan.in_place, plan.to_write());
    if dry {
        shell.print(&match global.json() {
            true => format!("{}\n", planned(&edges, &plan)),
            false => found.render(&style(shell, global.color())),
        });
        let nothing_done = Summary { failed: plan.failed, ..Summary::default() };
        return ended(&edges, to_write, &nothing_done);
    }
    if !global.json() {
        shell.tell(&found.render(&shell.err(false, global.color()).style()));
    }
    let observer = progress::observer(shell, global);
    let summary = edges::run(registry, &edges, plan, &progress::CopyOnly(observer.as_ref())).await;
    observer.finish();
    let took = Period::between(began, SystemClock.now());
    shell.print(&match global.json() {
        true => format!("{}\n", as_json(&edges, in_place, &summary, took)),
        false => as_text(&edges, in_place, &summary, took),
    });
    ended(&edges, to_write, &summary)
}

fn ended(edges: &[Edge], to_write: u64, summary: &Summary) -> Ends {
    match summary.failed.is_empty() {
        true => Ok(Exit::Ok),
        false => Err(diagnostics(edges, to_write, summary)),
    }
}

fn read(file: &Path, shell: &Shell) -> Result<Vec<Edge>, Vec<Diagnostic>> {
    let text = std::fs::read_to_string(shell.resolve(file)).map_err(|error| {
        vec![failure::file("read", file, &error).next("name a file of edges: `sealift copy --file edges.yaml`")]
    })?;
    config::parse_edges(&text, &file.display().to_string())
}

/// What is to be done, by repository.
#[derive(Default)]
struct Row {
    edges: u64,
    tags: u64,
    missing: u64,
    elsewhere: u64,
}

fn by_repository<'a>(edges: &'a [Edge], plan: &Plan) -> BTreeMap<&'a Repository, Row> {
    let mut rows: BTreeMap<&Repository, Row> = BTreeMap::new();
    for edge in edges {
        let row = rows.entry(&edge.to).or_default();
        row.edges += 1;
        row.tags += edge.tags.len() as u64;
    }
    for todo in &plan.todo {
        let Some(row) = edges.get(todo.edge).and_then(|edge| rows.get_mut(&edge.to)) else { continue };
        row.missing += todo.missing.len() as u64;
        row.elsewhere += todo.elsewhere.len() as u64;
    }
    rows
}

fn as_table(edges: &[Edge], plan: &Plan) -> Table {
    let mut table = Table::new(["REPOSITORY", "EDGES", "IN PLACE", "MISSING", "TO MOVE"]);
    for (repository, row) in by_repository(edges, plan) {
        let to_do = |n: u64| if n == 0 { Cell::new("0") } else { Cell::toned(Tone::Warn, n.to_string()) };
        table.row([
            Cell::new(repository.to_string()),
            Cell::new(row.edges.to_string()),
            Cell::new((row.tags - row.missing - row.elsewhere).to_string()),
            to_do(row.missing),
            to_do(row.elsewhere),
        ]);
    }
    table
}

fn planned(edges: &[Edge], plan: &Plan) -> Value {
    let todo = plan.todo.iter().filter_map(|todo| {
        let edge = edges.get(todo.edge)?;
        let missing: Vec<_> = todo.missing.iter().map(|(tag, _)| tag).collect();
        let elsewhere: Vec<_> =
            todo.elsewhere.iter().map(|(tag, _, digest)| json!({"tag": tag, "names": digest})).collect();
        Some(json!({"from": edge.from, "to": edge.to, "missing": missing, "elsewhere": elsewhere}))
    });
    json!({
        "schema_version": 1,
        "edges": edges.len(),
        "tags": {"in_place": plan.in_place, "to_write": plan.to_write()},
        "asked": {"lists": plan.lists, "tags": plan.asked},
        "todo": todo.collect::<Vec<_>>(),
    })
}

fn failed_tags(summary: &Summary) -> u64 {
    summary.failed.iter().map(|failed| failed.tags.len() as u64).sum()
}

fn as_json(edges: &[Edge], in_place: u64, summary: &Summary, took: Period) -> Value {
    let CopyTally { bytes, blobs_copied, blobs_mounted, blobs_skipped, referrers, .. } = summary.tally;
    json!({
        "schema_version": 1,
        "edges": edges.len(),
        "tags": {"in_place": in_place, "written": summary.written, "failed": failed_tags(summary)},
        "bytes": bytes,
        "blobs": {"copied": blobs_copied, "mounted": blobs_mounted, "skipped": blobs_skipped},
        "referrers": referrers,
        "seconds": super::seconds(took),
    })
}

fn as_text(edges: &[Edge], in_place: u64, summary: &Summary, took: Period) -> String {
    let failed = match failed_tags(summary) {
        0 => String::new(),
        n => format!(", {n} not as asked"),
    };
    format!(
        "{}: {} in place, {} written{failed}; {} in {}\n",
        human::count(edges.len() as u64, "edge"),
        human::count(in_place, "tag"),
        summary.written,
        ByteSize::from_bytes(summary.tally.bytes).human(),
        human::duration(took),
    )
}

/// One error for each edge that failed, as far as a reader can take them in.
fn diagnostics(edges: &[Edge], to_write: u64, summary: &Summary) -> Vec<Diagnostic> {
    let again = "run the same command again: what is in place is not touched";
    let state = match to_write {
        0 => "nothing was changed".to_owned(),
        n => format!("{} of {n} tags were written; what arrived stays", summary.written),
    };
    let one = |failed: &Failed| {
        let edge = edges.get(failed.edge)?;
        let tags = failed.tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let found = format!("edge {}: {} → {} {tags}", failed.edge + 1, edge.from, edge.to);
        Some(failure::of_registry(&failed.error).found(found).state(&state).next(again))
    };
    let mut shown: Vec<Diagnostic> = summary.failed.iter().take(SHOWN).filter_map(one).collect();
    let more = summary.failed.len().saturating_sub(SHOWN);
    if let Some(last) = shown.last_mut().filter(|_| more > 0) {
        last.notes.push(format!("and {} more", human::count(more as u64, "edge")));
    }
    shown
}
