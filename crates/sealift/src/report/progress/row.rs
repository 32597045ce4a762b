//! One phase on one line: sign, name, what was found, how long it took.

use sealift_domain::quantity::Period;

use crate::report::{
    human,
    style::{Mark, Style, Tone},
    text::{cut, pad, width, wrap},
};

/// Columns of a phase's name.
const NAME: usize = 9;
/// Where the text begins: sign, space, name, space.
pub(super) const INDENT: usize = NAME + 3;
/// Columns that the text leaves for times, where the line is wide enough.
const ASIDE: usize = 20;
/// The text column is no wider and no narrower than this, so that times stand near what they belong to.
const TEXT: (usize, usize) = (20, 44);
/// A reason that takes more lines than this is cut; the verdict has it in full.
const LINES: usize = 4;
/// Columns of a bar.
const BAR: usize = 12;

/// A phase that is over, or a remark about one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// The sign; `None` where the row belongs to the one above.
    pub(super) mark: Option<Mark>,
    /// The phase.
    pub(super) name: String,
    /// What was found. Foreign text: it is cleaned here.
    pub(super) text: String,
    /// How long it took.
    pub(super) time: Option<String>,
    /// Something that stands behind the time if there is room, else behind the text.
    pub(super) aside: Option<String>,
}

/// What the line of a running phase says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    /// The phase.
    pub(super) name: String,
    /// The share that is done, in thousandths.
    pub(super) share: Option<u64>,
    /// Pieces of text, the most telling first.
    pub(super) words: Vec<String>,
    /// How long it has run.
    pub(super) elapsed: Period,
    /// How long it usually takes.
    pub(super) usually: Option<Period>,
}

/// A running time in whole seconds, so that it does not flicker: `0 s`, `41 s`, `2 min 05 s`.
pub(super) fn clock(period: Period) -> String {
    match period.as_millis() / 1000 {
        seconds @ 0..10 => format!("{seconds} s"),
        _ => human::duration(period),
    }
}

fn text_columns(style: &Style) -> usize {
    style.width.saturating_sub(INDENT + ASIDE).clamp(TEXT.0, TEXT.1)
}

impl Row {
    /// The lines of this row, each ended by a line feed and none wider than the output.
    pub(super) fn render(&self, style: &Style) -> String {
        let sign = self.mark.map_or_else(|| " ".to_owned(), |mark| style.mark(mark));
        let name = pad(&cut(&style.clean(&self.name), NAME, style.unicode), NAME);
        let name = if self.mark == Some(Mark::Bad) { style.paint(Tone::Bad, &name) } else { name };
        let mut lines = self.body(style).into_iter();
        let first = format!("{sign} {name} {}", lines.next().unwrap_or_default());
        let mut all = format!("{}\n", first.trim_end());
        for line in lines {
            all.push_str(&format!("{:INDENT$}{}\n", "", line.trim_end()));
        }
        all
    }

    /// Text and time: on one line if there is room, else wrapped with the time behind the first line.
    fn body(&self, style: &Style) -> Vec<String> {
        let room = style.width.saturating_sub(INDENT);
        let text = style.clean(&self.text);
        let time = self.time.clone().unwrap_or_default();
        let whole = [self.time.as_deref(), self.aside.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let column = width(&text).max(text_columns(style));
        if whole.is_empty() && width(&text) <= room {
            return vec![text];
        }
        if column + 2 + width(&whole) <= room {
            return vec![format!("{}  {}", pad(&text, column), style.paint(Tone::Dim, &whole))];
        }
        let text = self.aside.iter().fold(text, |text, aside| format!("{text}, {aside}"));
        let behind = if time.is_empty() { 0 } else { width(&time) + 2 };
        if width(&text) + behind <= room {
            let column = width(&text).max(text_columns(style)).min(room - behind);
            return vec![format!("{}  {}", pad(&text, column), style.paint(Tone::Dim, &time))];
        }
        let mut lines: Vec<String> = Vec::new();
        for line in wrap(&text, room.saturating_sub(behind)) {
            lines.push(cut(&line, if lines.is_empty() { room.saturating_sub(behind) } else { room }, style.unicode));
        }
        if lines.len() > LINES {
            lines.truncate(LINES);
            let ellipsis = if style.unicode { " …" } else { " ..." };
            if let Some(last) = lines.last_mut() {
                *last = format!("{}{ellipsis}", cut(last, room.saturating_sub(width(ellipsis)), style.unicode));
            }
        }
        if let Some(first) = lines.first_mut().filter(|_| behind > 0) {
            *first = format!("{}  {}", pad(first, room - behind), style.paint(Tone::Dim, &time));
        }
        lines
    }
}

impl Live {
    /// The line, without a line feed and narrower than the output, so that the cursor stays on it.
    pub(super) fn render(&self, style: &Style, ticks: usize) -> String {
        let room = style.width.saturating_sub(INDENT + 1);
        let spinner = style.paint(Tone::Command, &style.spinner(ticks).to_string());
        let name = pad(&cut(&self.name, NAME, style.unicode), NAME);
        let time = self.time();
        let columns = text_columns(style);
        let text = self.text(style, columns.max(room.saturating_sub(width(&time) + 2)));
        let column = width(&text).max(columns);
        let time = [time, clock(self.elapsed)].into_iter().find(|time| column + 2 + width(time) <= room);
        let line = match time {
            Some(time) => format!("{}  {}", pad(&text, column), style.paint(Tone::Dim, &time)),
            None => text,
        };
        format!("{spinner} {name} {line}").trim_end().to_owned()
    }

    fn time(&self) -> String {
        let usually = self.usually.filter(|usually| usually.as_millis() >= 1000);
        let elapsed = clock(self.elapsed);
        usually.map_or_else(|| elapsed.clone(), |usually| format!("{elapsed}, usually {}", clock(usually)))
    }

    /// The bar and as many of the words as there is room for; the last ones give way first.
    fn text(&self, style: &Style, room: usize) -> String {
        let bar = self.share.filter(|_| room >= 2 * BAR).map(|share| format!("{} ", bar(style, share)));
        let room = room.saturating_sub(bar.as_deref().map_or(0, width));
        let words: Vec<String> = self.words.iter().map(|words| style.clean(words)).collect();
        let fitting = (1..=words.len()).rev().map(|count| words.get(..count).unwrap_or_default().join(", "));
        let first = words.first().cloned().unwrap_or_default();
        let text = fitting.into_iter().find(|text| width(text) <= room).unwrap_or(cut(&first, room, style.unicode));
        format!("{}{}", bar.unwrap_or_default(), style.paint(Tone::Dim, &text))
    }
}

/// A bar for a share in thousandths.
fn bar(style: &Style, share: u64) -> String {
    let full = usize::try_from(share).unwrap_or(0).min(1000) * BAR / 1000;
    let (on, off) = if style.unicode { ("█", "░") } else { ("#", "-") };
    style.paint(Tone::Ok, &on.repeat(full)) + &style.paint(Tone::Dim, &off.repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "http http://127.0.0.1:8080/api/health: 503 for 30 s, the last one said {\"status\":\"error\"}";

    fn styles() -> impl Iterator<Item = Style> {
        let widths = [40, 47, 60, 80, 100, 140];
        widths.into_iter().flat_map(|width| {
            [(true, true), (false, true), (true, false), (false, false)].map(|(color, unicode)| Style {
                color,
                unicode,
                width,
            })
        })
    }

    #[test]
    fn no_row_is_wider_than_the_output() {
        let words = [String::new(), "x".repeat(300), LONG.to_owned(), LONG.repeat(9), "日本".repeat(40)];
        for (style, text) in styles().flat_map(|style| words.iter().map(move |text| (style, text))) {
            for (time, aside) in [(None, None), (Some("1.6 s"), None), (Some("2 min 05 s"), Some("0 of 2114 requests"))]
            {
                let row = Row {
                    mark: Some(Mark::Bad),
                    name: "a long name".to_owned(),
                    text: text.clone(),
                    time: time.map(str::to_owned),
                    aside: aside.map(str::to_owned),
                };
                for line in row.render(&style).lines() {
                    assert!(width(line) <= style.width, "{style:?}: {line}");
                }
            }
        }
    }

    #[test]
    fn no_running_line_reaches_the_last_column() {
        for style in styles() {
            for share in [None, Some(0), Some(333), Some(1000)] {
                for usually in [None, Some(Period::from_secs(3601))] {
                    let words = vec!["12 of 14 blobs".to_owned(), LONG.to_owned()];
                    let elapsed = Period::from_secs(41);
                    let live = Live { name: "copy".to_owned(), share, words, elapsed, usually };
                    let line = live.render(&style, 3);
                    assert!(width(&line) < style.width, "{style:?}: {line}");
                    assert!(line.contains("12 of 14 blobs"), "{line}");
                }
            }
        }
    }

    #[test]
    fn ascii_is_ascii() {
        let style = Style { unicode: false, ..Style::plain() };
        let row = Row {
            mark: Some(Mark::Back), name: "rollback".into(), text: "1 → 2 … ✓ é".into(), ..Row::default()
        };
        let live = Live { name: "copy".into(), share: Some(500), words: vec!["é".into()], ..Live::default() };
        assert_eq!(row.render(&style), "< rollback  1 -> 2 ... ok ?\n");
        assert_eq!(live.render(&style, 0), "| copy      ######------ ?                                0 s");
    }
}
