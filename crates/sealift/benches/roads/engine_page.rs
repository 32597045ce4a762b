//! The figures of the Compose driver, its peer and rebuilds as Markdown.

use sealift_domain::cost::Cost;

use crate::{
    Options,
    compose::{BACK, DEPLOYMENT, DOWN, PROMOTE, REBUILD, ROLLBACK, UP},
    figures::{Figures, Series, Table},
    table::{aligned, mebibytes, milliseconds},
};

/// What is compared: our series, the peer's, and a remark.
const PAIRS: [(&str, &str, &str); 3] = [
    (PROMOTE, UP, "ours also copies, tags, checks and drains"),
    (BACK, DOWN, "ours begins by itself; the peer's begins when somebody has noticed"),
    (ROLLBACK, DOWN, "ours also checks and drains"),
];

/// All tables.
pub(crate) fn render(figures: &Figures, options: &Options, machine: &[(&str, String)]) -> String {
    let mut text: String = machine.iter().map(|(what, value)| format!("- {what}: {value}\n")).collect();
    if let Some(why) = &figures.no_engine {
        text.push_str(&format!("\nno engine, so nothing was measured on one: {why}\n"));
        return text;
    }
    text.push_str(&format!("- rounds: {}, after one that was not timed\n", options.compose_rounds()));
    let ways: Vec<Vec<String>> = figures.of(Table::Engine).map(|series| way(series, figures)).collect();
    let head = ["", "median", "least", "most", "outage, median", "least", "most", "failed requests"];
    text.push_str(&format!("\n### Ways to another release on a container engine\n\n{}", aligned(&head, &ways)));
    let parts: Vec<Vec<String>> = figures.of(Table::EnginePart).map(range).collect();
    let head = ["", "median", "least", "most"];
    text.push_str(&format!("\n### Parts of ours, by the time line in the log\n\n{}", aligned(&head, &parts)));
    text.push_str(&format!(
        "\n### Beside `docker compose up -d --wait`, same service, same run\n\n{}",
        compared(figures)
    ));
    text.push_str(&format!("\n### A deployment beside a rebuild\n\n{}", costs(figures)));
    text
}

fn range(series: &Series) -> Vec<String> {
    let times = [series.median(), series.minimum(), series.maximum()];
    [series.name.clone()].into_iter().chain(times.map(milliseconds)).collect()
}

fn way(series: &Series, figures: &Figures) -> Vec<String> {
    let mut row = range(series);
    if let Some(outage) = figures.find(Table::Outage, &series.name) {
        row.extend(range(outage).into_iter().skip(1));
        let seen = || figures.clients.iter().filter(|(name, ..)| *name == series.name);
        let (requests, failed) = seen().fold((0, 0), |sum, (_, all, bad)| (sum.0 + all, sum.1 + bad));
        row.push(format!("{failed} of {requests}"));
    } else {
        row.resize(8, String::new());
    }
    row
}

fn compared(figures: &Figures) -> String {
    let rows = PAIRS.iter().filter_map(|(ours, theirs, remark)| {
        let (ours, theirs) = (figures.find(Table::Engine, ours)?, figures.find(Table::Engine, theirs)?);
        let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64().max(f64::MIN_POSITIVE);
        Some(vec![
            format!("{} : {}", ours.name, theirs.name),
            format!("{ratio:.2}"),
            format!("{} : {}", milliseconds(ours.median()), milliseconds(theirs.median())),
            (*remark).to_owned(),
        ])
    });
    aligned(&["ours : theirs", "ratio", "median", ""], &rows.collect::<Vec<_>>())
}

/// Medians, with the least and the most in brackets.
fn costs(figures: &Figures) -> String {
    let row = |name: &'static str| {
        let all: Vec<Cost> = figures.costs.iter().filter(|(of, _)| *of == name).map(|(_, cost)| *cost).collect();
        let of = |part: fn(&Cost) -> Option<u64>, words: fn(u64) -> String| {
            let mut values: Vec<u64> = all.iter().filter_map(part).collect();
            values.sort_unstable();
            let (Some(least), Some(most)) = (values.first(), values.last()) else { return "not counted".to_owned() };
            format!("{} ({} to {})", words(values[values.len() / 2]), words(*least), words(*most))
        };
        let seconds = |ms: u64| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10);
        vec![
            name.to_owned(),
            of(|cost| Some(cost.cpu_ms), seconds),
            of(|cost| Some(cost.peak_memory_bytes), mebibytes),
            of(|cost| cost.pulled_bytes, mebibytes),
            of(|cost| Some(cost.elapsed_ms), seconds),
        ]
    };
    aligned(&["", "CPU", "memory", "pulled", "elapsed"], &[row(DEPLOYMENT), row(REBUILD)])
}
