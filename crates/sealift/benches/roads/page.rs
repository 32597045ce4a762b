//! The figures as Markdown.

use crate::{
    Options,
    figures::{Figures, Series, Table},
    peers,
    table::{aligned, mebibytes, milliseconds},
};

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
