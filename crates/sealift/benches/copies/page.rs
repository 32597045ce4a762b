//! The figures as Markdown.

use crate::{
    cases::{CASES, Case},
    chart,
    figures::{Figures, Sample, Series},
    machine,
    options::Options,
    spread,
    table::{aligned, mebibytes, milliseconds},
    targets,
    tools::Tools,
};

/// Everything.
pub(crate) fn render(figures: &Figures, tools: &Tools, options: &Options) -> String {
    let mut text = String::new();
    for (what, value) in machine::describe().into_iter().chain(tools.versions()) {
        text.push_str(&format!("- {what}: {value}\n"));
    }
    text.push_str(&format!("- not installed, so not beside it: {}\n", listed(&tools.absent)));
    text.push_str(&format!("- rounds: {}, interleaved, after one that was not counted\n", options.runs));
    if options.write.is_some() {
        text.push_str(&format!("\n![Wall time of each copy, by program]({})\n", chart::FILE));
    }
    for case in &CASES {
        text.push_str(&table(case, figures));
    }
    text.push_str(&baseline(figures));
    text.push_str(&huge(figures));
    let head = ["target", "at most", "reached", ""];
    text.push_str(&format!("\n### Targets\n\n{}", aligned(&head, &targets::rows(figures))));
    text
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn table(case: &Case, figures: &Figures) -> String {
    let all = figures.of(case.name);
    let Some(ours) = all.first() else { return String::new() };
    let rows: Vec<Vec<String>> = all.iter().map(|series| row(series, ours, case.far)).collect();
    let head = ["", "wall", "least", "most", "client CPU", "peak memory", "requests", "round trips", "wall ÷ ours"];
    format!("\n### Copies: {}\n\n{}", case.title, aligned(&head, &rows))
}

fn row(series: &Series, ours: &Series, far: bool) -> Vec<String> {
    let walls = series.walls();
    vec![
        format!("`{}`", series.tool),
        milliseconds(series.wall()),
        milliseconds(spread::minimum(&walls)),
        milliseconds(spread::maximum(&walls)),
        milliseconds(series.cpu()),
        mebibytes(series.memory()),
        between(series.requests()),
        if far { between(series.trips()) } else { String::new() },
        format!("{:.2}", series.times(ours)),
    ]
}

/// A number that was the same each time, or the least and the most.
fn between(range: Option<(usize, usize)>) -> String {
    match range {
        Some((least, most)) if least == most => least.to_string(),
        Some((least, most)) => format!("{least} to {most}"),
        None => String::new(),
    }
}

/// What the large image takes at the least, if it was measured.
fn baseline(figures: &Figures) -> String {
    let Some(cpu) = figures.baseline_cpu() else { return String::new() };
    let all: Vec<_> = figures.baseline.iter().map(|ran| ran.cpu).collect();
    let (least, most) = (spread::minimum(&all), spread::maximum(&all));
    let row = ["SHA-256 of the large image's bytes, and once from socket to socket".to_owned()];
    let row = row.into_iter().chain([cpu, least, most].map(milliseconds)).collect();
    format!("\n### Hash and plain stream\n\n{}", aligned(&["", "CPU, median", "least", "most"], &[row]))
}

fn huge(figures: &Figures) -> String {
    let row = |(title, sample): &(&str, Sample)| {
        let ran = sample.ran;
        let figures = [milliseconds(ran.wall), milliseconds(ran.cpu), mebibytes(ran.memory)];
        [(*title).to_owned()].into_iter().chain(figures).chain([sample.requests.to_string()]).collect()
    };
    let rows: Vec<Vec<String>> = figures.huge.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["", "wall", "client CPU", "peak memory", "requests"];
    format!("\n### Copies of many gigabytes, by this program alone, once each\n\n{}", aligned(&head, &rows))
}
