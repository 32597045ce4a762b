//! Columns side by side, cut to the width of the output, never wrapped.

use super::{
    style::{Mark, Style, Tone},
    text::{cut, pad, width},
};

/// A piece of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    mark: Option<Mark>,
    tone: Option<Tone>,
}

/// Rows of cells under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// Spaces between columns.
const GAP: usize = 2;
/// No column is cut to less than this.
const NARROWEST: usize = 6;

impl Cell {
    /// A cell with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A word with the mark and the colour that say the same.
    pub fn word(mark: Mark, tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), mark: Some(mark), tone: Some(tone) }
    }

    /// A cell in this colour.
    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), mark: None, tone: Some(tone) }
    }

    fn mark_width(&self) -> usize {
        if self.mark.is_some() { 2 } else { 0 }
    }

    fn render(&self, style: &Style, columns: usize) -> String {
        let mark = self.mark.map(|mark| format!("{} ", style.mark(mark))).unwrap_or_default();
        let text = cut(&style.clean(&self.text), columns.saturating_sub(self.mark_width()), style.unicode);
        format!("{mark}{}", self.tone.map_or(text.clone(), |tone| style.paint(tone, &text)))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Table {
    /// A table with these headings; with none, no heading line is drawn.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { headings: headings.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines of the table, each ended by a line feed.
    pub fn render(&self, style: &Style) -> String {
        let widths = self.widths(style);
        let mut text = String::new();
        let headings: Vec<Cell> = self.headings.iter().map(|h| Cell::toned(Tone::Dim, h.as_str())).collect();
        for row in (!headings.is_empty()).then_some(&headings).into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (cell, columns) in row.iter().zip(&widths) {
                line.push_str(&pad(&cell.render(style, *columns), columns + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The width of each column; where they do not fit, the widest gives way first.
    fn widths(&self, style: &Style) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).chain([self.headings.len()]).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for (at, heading) in self.headings.iter().enumerate() {
            widths[at] = width(heading);
        }
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                widths[at] = widths[at].max(width(&style.clean(&cell.text)) + cell.mark_width());
            }
        }
        let room = style.width.saturating_sub(GAP * columns.saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Table {
        let mut table = Table::new(["ENVIRONMENT", "VERSION", "STATE", "WHY"]);
        let ok = Cell::word(Mark::Ok, Tone::Ok, "live");
        table.row(["staging".into(), "1.8.2".into(), ok, "verified 2 h ago".into()]);
        let bad = Cell::word(Mark::Bad, Tone::Bad, "stuck");
        table.row(["production".into(), "1.8.1".into(), bad, "the rollback failed: 503 at /api/health → 日本".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_give_way_to_the_width() {
        insta::assert_snapshot!("table_wide", status().render(&Style::plain()));
        insta::assert_snapshot!("table_60", status().render(&Style { width: 60, ..Style::plain() }));
        insta::assert_snapshot!("table_ascii", status().render(&Style { unicode: false, ..Style::plain() }));
        let narrow = status().render(&Style { width: 50, ..Style::plain() });
        assert!(narrow.lines().all(|line| width(line) <= 50), "{narrow}");
    }

    #[test]
    fn colour_does_not_move_a_column() {
        let plain = status().render(&Style::plain());
        let colored = status().render(&Style { color: true, ..Style::plain() });
        let widths = |text: &str| text.lines().map(width).collect::<Vec<_>>();
        assert_ne!(plain, colored);
        assert_eq!(widths(&plain), widths(&colored));
    }

    #[test]
    fn short_rows_and_no_headings_are_fine() {
        let mut table = Table::new([]);
        table.row([Cell::from("a")]);
        table.row([Cell::from("b"), Cell::from("c".to_owned())]);
        assert_eq!(table.render(&Style::plain()), "a\nb  c\n");
        assert_eq!(Table::new([]).render(&Style::plain()), "");
    }
}
