//! The roads: one round takes each of them once, so that a slow moment of the machine falls on all alike.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use sealift::demo::images;
use sealift_registry::image::Built;

use crate::{
    Failed,
    figures::{Figures, Table},
    long_log::LongLog,
    place::Place,
    process::{Ran, Run, SEALIFT},
};

/// The name of the series for `check`, which a peer is compared with.
pub(crate) const CHECK: &str = "`check`: every gate of a promotion";

const PROMOTE: &str = "promotion with nothing to copy";
const FAILS: &str = "promotion that fails its verification and is rolled back";
const ROLLBACK: &str = "rollback by hand";

/// Exit codes of `docs/errors`, as the roads must end.
pub(crate) const DONE: i32 = 0;
pub(crate) const WAITS: i32 = 5;
pub(crate) const ROLLED_BACK: i32 = 6;

/// Brings a first release to production, so that there is something to replace.
pub(crate) async fn prepare(place: &Place) -> Result<(), Failed> {
    command(place, &["init"], DONE).await?;
    to_staging(place, &images::service("1.0.0", None).build(), "1.0.0").await?;
    ask(place, &["promote", "--to", "production", "--wait"]).await?;
    approve(place).await?;
    command(place, &["promote", "--to", "production"], DONE).await
}

/// One round; round 0 is not timed.
pub(crate) async fn play(place: &Place, round: u32, figures: &mut Figures) -> Result<(), Failed> {
    let version = format!("1.{}.0", round + 1);
    timed(place, round, figures, "start and end of the program (`--version`)", &["--version"], DONE).await?;
    to_staging(place, &images::service(&version, None).build(), &version).await?;
    ask(place, &["promote", "--to", "production", "--wait"]).await?;
    timed(place, round, figures, CHECK, &["check", "--to", "production"], DONE).await?;
    approve(place).await?;
    let promote = ["promote", "--to", "production", "--output", "json"];
    let ran = timed(place, round, figures, PROMOTE, &promote, DONE).await?;
    let steps = ["copy", "tag", "undo", "prepare", "switch", "verify", "move tags", "retire"];
    parts(Table::Part, figures, round, PROMOTE, &timeline(&ran)?, &steps)?;

    let version = format!("1.{}.1", round + 1);
    to_staging(place, &images::service(&version, Some("DATABASE_URL")).build(), &version).await?;
    ask(place, &["promote", "--to", "production", "--wait"]).await?;
    approve(place).await?;
    let ran = timed(place, round, figures, FAILS, &promote, ROLLED_BACK).await?;
    let moments = timeline(&ran)?;
    parts(Table::Part, figures, round, FAILS, &moments, &["restore"])?;
    let back = between(&moments, "failed", "confirm")?;
    part(Table::Part, figures, round, &format!("{FAILS}: from the failure to the confirmed release before"), back);

    ask(place, &["rollback", "--in", "production"]).await?;
    approve(place).await?;
    let ran =
        timed(place, round, figures, ROLLBACK, &["rollback", "--in", "production", "--output", "json"], DONE).await?;
    parts(Table::Part, figures, round, ROLLBACK, &timeline(&ran)?, &["prepare", "switch", "verify"])
}

/// Reads the long log as a fresh process does.
pub(crate) async fn read_long_log(
    place: &Place,
    long: &LongLog,
    round: u32,
    figures: &mut Figures,
) -> Result<(), Failed> {
    let n = long.entries;
    for (name, arguments) in [
        (format!("`status`, {n} entries"), &["status"][..]),
        (format!("`history`, {n} entries"), &["history"]),
        (format!("`audit verify`, {n} entries"), &["audit", "verify"]),
    ] {
        let run = Run { program: SEALIFT, arguments, directory: &long.directory, expected: DONE, watched: round == 0 };
        keep(figures, round, &name, &run.measure(place).await?);
    }
    Ok(())
}

/// A release that staging runs, and whose bytes production's registry has already.
async fn to_staging(place: &Place, image: &Built, version: &str) -> Result<(), Failed> {
    place.production.push("hello", image, None);
    let name = place.push(image, version);
    command(place, &["record", "build", &name], DONE).await?;
    command(place, &["promote", "--to", "staging"], DONE).await
}

async fn ask(place: &Place, words: &[&str]) -> Result<(), Failed> {
    let asks = [words, &["--reason", "measured", "--identity", "keys/bob"]].concat();
    command(place, &asks, WAITS).await
}

async fn approve(place: &Place) -> Result<(), Failed> {
    command(place, &["approve", "--identity", "keys/ana"], DONE).await
}

/// A command whose time is nobody's business.
async fn command(place: &Place, arguments: &[&str], expected: i32) -> Result<(), Failed> {
    run(place, &place.directory, arguments, expected, false).await.map(drop)
}

async fn run(place: &Place, directory: &Path, arguments: &[&str], expected: i32, watched: bool) -> Result<Ran, Failed> {
    Run { program: SEALIFT, arguments, directory, expected, watched }.measure(place).await
}

async fn timed(
    place: &Place,
    round: u32,
    figures: &mut Figures,
    name: &str,
    arguments: &[&str],
    expected: i32,
) -> Result<Ran, Failed> {
    let ran = run(place, &place.directory, arguments, expected, round == 0).await?;
    keep(figures, round, name, &ran);
    Ok(ran)
}

fn keep(figures: &mut Figures, round: u32, name: &str, ran: &Ran) {
    let series = figures.series(Table::Whole, name);
    series.requests = Some(ran.requests);
    match round {
        0 => series.memory = ran.memory,
        _ => series.times.push(ran.wall),
    }
}

/// What happened when, from the record that the command printed.
pub(crate) fn timeline(ran: &Ran) -> Result<Vec<(Timestamp, String)>, Failed> {
    let record: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
    let moments = record["timeline"].as_array().ok_or("the record has no time line")?;
    let moment = |moment: &serde_json::Value| {
        let (at, what) = (moment["at"].as_str().unwrap_or_default(), moment["what"].as_str().unwrap_or_default());
        Ok::<_, Failed>((at.parse::<Timestamp>()?, what.to_owned()))
    };
    moments.iter().map(moment).collect()
}

/// The steps of a time line, as series of a table: each from the commit before it to its own.
pub(crate) fn parts(
    table: Table,
    figures: &mut Figures,
    round: u32,
    road: &str,
    moments: &[(Timestamp, String)],
    steps: &[&str],
) -> Result<(), Failed> {
    for step in steps {
        let at = moments.iter().position(|(_, what)| what == step);
        let at = at.filter(|at| *at > 0).ok_or_else(|| format!("no `{step}` in {moments:?}"))?;
        part(table, figures, round, &format!("{road}: {step}"), duration(&moments[at - 1], &moments[at])?);
    }
    Ok(())
}

pub(crate) fn between(moments: &[(Timestamp, String)], from: &str, to: &str) -> Result<Duration, Failed> {
    let find = |name: &str| moments.iter().find(|(_, what)| what.contains(name));
    let (Some(from), Some(to)) = (find(from), find(to)) else {
        return Err(format!("no `{from}` or no `{to}` in {moments:?}").into());
    };
    duration(from, to)
}

fn duration(from: &(Timestamp, String), to: &(Timestamp, String)) -> Result<Duration, Failed> {
    Ok(Duration::try_from(to.0.duration_since(from.0))?)
}

fn part(table: Table, figures: &mut Figures, round: u32, name: &str, time: Duration) {
    if round > 0 {
        figures.time(table, name, time);
    }
}
