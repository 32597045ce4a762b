//! Diagnostics as text, in the manner of a compiler.

use unicode_width::UnicodeWidthChar;

use super::{Diagnostic, Excerpt, Location};
use crate::report::{
    style::{Style, Tone},
    text::{cut, pad, width, wrap},
};

/// The column at which the text behind `found:`, `state:` and `next:` begins.
const INDENT: usize = 12;

impl Diagnostic {
    /// The error as text, several lines, each ended by a line feed.
    pub fn render(&self, style: &Style) -> String {
        let mut out = String::new();
        self.render_head(style, &mut out);
        if let (Some(at), Some(excerpt)) = (&self.at, &self.excerpt) {
            render_excerpt(at, excerpt, style, &mut out);
        }
        render_field("found:", self.found.as_slice(), style, &mut out);
        render_field("state:", self.state.as_slice(), style, &mut out);
        render_field("note:", &self.notes, style, &mut out);
        render_field("next:", &self.next, style, &mut out);
        out
    }

    fn render_head(&self, style: &Style, out: &mut String) {
        let label = format!("error[{}]:", self.code);
        let room = style.width.saturating_sub(width(&label) + 1);
        let mut lines = wrap(&style.clean(&self.title), room).into_iter();
        let first = lines.next().unwrap_or_default();
        push_line(out, &format!("{} {}", style.paint(Tone::Bad, &label), style.paint(Tone::Strong, &first)));
        for line in lines {
            push_line(out, &format!("{:1$}{2}", "", width(&label) + 1, style.paint(Tone::Strong, &line)));
        }
        let place = self.at.as_ref().map(|at| style.clean(&format!("{}:{}:{}", at.file, at.line, at.column)));
        let key = self.where_.as_ref().map(|key| style.clean(key));
        let place = match (place, key) {
            (Some(place), Some(key)) => format!("{place}   {key}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return,
        };
        push_line(out, &format!("  {} {place}", style.paint(Tone::Dim, "-->")));
    }
}

/// Labelled paragraphs; the label stands once.
fn render_field(label: &str, paragraphs: &[String], style: &Style, out: &mut String) {
    let room = style.width.saturating_sub(INDENT).max(20);
    let lines = paragraphs.iter().flat_map(|text| wrap(&style.clean(text), room));
    for (number, line) in lines.enumerate() {
        let label = if number == 0 { style.paint(Tone::Dim, label) } else { String::new() };
        push_line(out, &format!("  {}{}", pad(&label, INDENT - 2), paint_commands(&line, style)));
    }
}

/// What stands between back-ticks is something to type or a name from a file.
fn paint_commands(line: &str, style: &Style) -> String {
    if !style.color || !line.matches('`').count().is_multiple_of(2) {
        return line.to_owned();
    }
    let pieces = line.split('`').enumerate();
    pieces
        .map(|(n, text)| if n % 2 == 1 { style.paint(Tone::Command, &format!("`{text}`")) } else { text.to_owned() })
        .collect()
}

fn render_excerpt(at: &Location, excerpt: &Excerpt, style: &Style, out: &mut String) {
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    let bar = style.paint(Tone::Dim, "|");
    let before: String = excerpt.line.chars().take(at.column.saturating_sub(1) as usize).collect();
    let (shown, indent) = window(&style.clean(&excerpt.line), width(&style.clean(&before)), style, number.len() + 3);
    let marked: String = excerpt.line.chars().skip(at.column.saturating_sub(1) as usize).take(excerpt.length).collect();
    let room = width(&shown).saturating_sub(indent).max(1);
    let carets = "^".repeat(width(&style.clean(&marked)).clamp(1, room));
    push_line(out, &format!("{gutter} {bar}"));
    push_line(out, &format!("{} {bar} {shown}", style.paint(Tone::Dim, &number)));
    push_line(out, &format!("{gutter} {bar} {:indent$}{}", "", style.paint(Tone::Bad, &carets)));
}

/// The part of a long line around the column `mark`, and where the mark is within that part.
fn window(line: &str, mark: usize, style: &Style, gutter: usize) -> (String, usize) {
    let room = style.width.saturating_sub(gutter).max(20);
    let lead = room / 3;
    if mark <= room - lead || width(line) <= room {
        return (cut(line, room, style.unicode), mark);
    }
    let mut skipped = 0;
    let rest = line.trim_start_matches(|c: char| {
        let skip = skipped + lead < mark;
        skipped += if skip { c.width().unwrap_or(0) } else { 0 };
        skip
    });
    (cut(rest, room, style.unicode), mark.saturating_sub(skipped))
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}
