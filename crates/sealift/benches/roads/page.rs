//! The figures as Markdown, and the document that holds them.

use std::{path::Path, time::Duration};

use crate::{
    Failed, Options,
    figures::{Figures, Series, Table},
    peers,
};

/// What is written anew lies between a line that begins with its heading and this, and one that ends it.
const WRITTEN: &str = ": written by `make bench ARGS=\"--write docs/performance.md\"` -->";

/// All tables.
pub(crate) fn render(figures: &Figures, options: &Options, machine: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (what, value) in machine {
        text.push_str(&format!("- {what}: {value}\n"));
    }
    text.push_str(&format!("- rounds: {}, interleaved, after one that was not timed\n", options.runs));
    for (table, title) in [
        (Table::Whole, "Whole processes"),
        (Table::Part, "Parts of them, by the time line in the log"),
        (Table::Commit, "Commits within a process, signed and synced to disk"),
    ] {
        let rows: Vec<Vec<String>> = figures.of(table).map(|series| row(series, table == Table::Whole)).collect();
        let mut head = vec!["", "median", "least", "most"];
        if table == Table::Whole {
            head.extend(["requests", "peak memory"]);
        }
        text.push_str(&format!("\n### {title}\n\n{}", aligned(&head, &rows)));
    }
    text.push_str(&format!("\n### Beside `skopeo`, same image, same registries, same run\n\n{}", compared(figures)));
    text
}

fn row(series: &Series, whole: bool) -> Vec<String> {
    let mut row = vec![
        series.name.clone(),
        milliseconds(series.median()),
        milliseconds(series.minimum()),
        milliseconds(series.maximum()),
    ];
    if whole {
        row.push(series.requests.map_or_else(String::new, |requests| requests.to_string()));
        row.push(series.memory.map_or_else(String::new, mebibytes));
    }
    row
}

fn compared(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = peers::PAIRS
        .iter()
        .filter_map(|(ours, theirs, remark)| {
            let (ours, theirs) = (figures.find(Table::Whole, ours)?, figures.find(Table::Peer, theirs)?);
            let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64().max(f64::MIN_POSITIVE);
            let both = |of: fn(&Series) -> String| format!("{} : {}", of(ours), of(theirs));
            Some(vec![
                format!("{} : {}", ours.name, theirs.name),
                format!("{ratio:.2}"),
                both(|series| milliseconds(series.median())),
                both(|series| series.requests.map_or_else(String::new, |n| n.to_string())),
                both(|series| series.memory.map_or_else(String::new, mebibytes)),
                (*remark).to_owned(),
            ])
        })
        .collect();
    if rows.is_empty() {
        return format!("{}\n", peers::ABSENT);
    }
    aligned(&["ours : theirs", "ratio", "median", "requests", "peak memory", ""], &rows)
}

pub(crate) fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A Markdown table that can be read as text too: words to the left, figures to the right.
pub(crate) fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head.get(column).map_or(0, |cell| cell.chars().count()), 3]).max().unwrap_or(3)
    };
    let words = |column: usize| column == 0 || head.get(column).is_some_and(|cell| cell.is_empty());
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            if words(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = (0..head.len()).map(|column| {
        let dashes = "-".repeat(width(column) - 1);
        if words(column) { format!("{dashes}-") } else { format!("{dashes}:") }
    });
    let mut text = line(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    text.push_str(&line(&rule.collect::<Vec<_>>()));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// Writes the part of the document with this heading anew.
pub(crate) fn write(path: &Path, heading: &str, figures: &str) -> Result<(), Failed> {
    let (begin, end) = (format!("<!-- {heading}{WRITTEN}"), format!("<!-- end of {heading} -->"));
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{shown} has not the lines `{begin}` and `{end}`"))?;
    let text = format!("{before}{begin}\n\n{figures}\n{end}{after}");
    std::fs::write(path, text).map_err(|error| format!("cannot write {shown}: {error}").into())
}
