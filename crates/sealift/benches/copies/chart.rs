//! The walls as a chart, in SVG 1.1: a panel for each case with a scale of its own, so that short copies can be read too.

use crate::{
    cases::CASES,
    figures::{Figures, Series},
    options::Options,
    spread,
    table::milliseconds,
    tools::Program,
};

/// Its name, beside the document.
pub(crate) const FILE: &str = "copy-performance.svg";

/// Sizes in pixels. Bars begin at `LEFT` and are at most `SPAN` long; what they took stands to the right of them.
const WIDTH: u32 = 860;
const MARGIN: u32 = 24;
const LEFT: u32 = 290;
const SPAN: f64 = 360.0;
const ROW: u32 = 26;
const BAR: u32 = 16;
const HEAD: u32 = 76;
const TITLE: u32 = 30;
const GAP: u32 = 18;

/// On white, which the picture brings with it, so that it reads on a dark page too. The contrast of texts is above 4.5 : 1
/// (WCAG 2.2, 1.4.3), that of bars above 3 : 1 (1.4.11).
const INK: &str = "#1f2328";
const QUIET: &str = "#59636e";
const OURS: &str = "#0b62c4";
const THEIRS: &str = "#8a939d";

/// The whole picture.
pub(crate) fn render(figures: &Figures, options: &Options) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    let mut told = Vec::new();
    for case in &CASES {
        let all = figures.of(case.name);
        if all.is_empty() {
            continue;
        }
        body.push_str(&text(
            MARGIN,
            y + 14,
            "start",
            14,
            INK,
            &format!("<tspan font-weight=\"600\">{}</tspan>", case.title),
        ));
        y += TITLE;
        body.push_str(&panel(&all, y));
        y += ROW * u32::try_from(all.len()).unwrap_or_default() + GAP;
        told.push(format!("{}: {}", case.title, spoken(&all)));
    }
    let rounds = options.runs;
    let note = format!(
        "Median of {rounds} interleaved rounds; the line goes from the least to the most. Each case has its own scale."
    );
    let desc = escaped(&format!("Median wall time of {rounds} rounds. {}.", told.join(". ")));
    let head =
        text(MARGIN, 34, "start", 18, INK, "<tspan font-weight=\"600\">Copies beside the peers: wall time</tspan>");
    let note = text(MARGIN, 56, "start", 12, QUIET, &note);
    frame(y, &desc, &format!("{head}{note}{body}"))
}

fn frame(height: u32, desc: &str, body: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="title desc" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif">
<title id="title">Wall time of sealift copy beside its peers</title>
<desc id="desc">{desc}</desc>
<rect x="0.5" y="0.5" width="{w}" height="{h}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
{body}</svg>
"##,
        w = WIDTH - 1,
        h = height - 1,
    )
}

/// The bars of one case, from `y` on.
fn panel(all: &[&Series], y: u32) -> String {
    let most =
        all.iter().map(|series| spread::maximum(&series.walls()).as_secs_f64()).fold(f64::MIN_POSITIVE, f64::max);
    let rows = (y..).step_by(usize::try_from(ROW).unwrap_or(1)).zip(all);
    rows.map(|(y, series)| bar(series, all, SPAN / most, y)).collect()
}

/// A bar with its name, its range, and how it compares with this program.
fn bar(series: &Series, all: &[&Series], scale: f64, y: u32) -> String {
    let walls = series.walls();
    let at = |time: std::time::Duration| f64::from(LEFT) + time.as_secs_f64() * scale;
    let (median, least, most) = (at(series.wall()), at(spread::minimum(&walls)), at(spread::maximum(&walls)));
    let ours = series.program == Program::Sealift;
    let (fill, middle) = (if ours { OURS } else { THEIRS }, y + BAR / 2);
    let mut svg = text(LEFT - 10, y + 13, "end", 12, INK, &escaped(&series.tool));
    let length = (median - f64::from(LEFT)).max(1.0);
    svg.push_str(&format!(
        r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{BAR}" rx="2" fill="{fill}"/>
<path d="M{least:.1} {middle}H{most:.1}M{least:.1} {top}v8M{most:.1} {top}v8" stroke="{INK}" stroke-width="1.5" fill="none"/>
"#,
        top = middle - 4,
    ));
    let beside = all.first().filter(|first| first.tool != series.tool);
    let ratio = beside.map_or_else(String::new, |ours| format!(", {:.1} × ours", series.times(ours)));
    svg.push_str(&format!(
        r#"<text x="{x:.1}" y="{y}" font-size="12" fill="{INK}">{wall}{ratio}</text>
"#,
        x = median.max(most) + 8.0,
        y = y + 13,
        wall = milliseconds(series.wall()),
    ));
    svg
}

fn text(x: u32, y: u32, anchor: &str, size: u32, fill: &str, content: &str) -> String {
    format!(
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{content}</text>\n"
    )
}

/// The bars in words, for who does not see them.
fn spoken(all: &[&Series]) -> String {
    let each = all.iter().map(|series| format!("{} {}", series.tool, milliseconds(series.wall())));
    each.collect::<Vec<_>>().join(", ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
