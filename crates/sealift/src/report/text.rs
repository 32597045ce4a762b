//! Text on a grid of columns: cleaning, measuring, cutting, padding and wrapping.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Characters that have a plain stand-in where only ASCII can be shown.
const STAND_INS: [(char, &str); 11] = [
    ('…', "..."),
    ('→', "->"),
    ('↩', "<-"),
    ('✓', "ok"),
    ('✗', "x"),
    ('·', "-"),
    ('–', "-"),
    ('—', "-"),
    ('“', "\""),
    ('”', "\""),
    ('’', "'"),
];

/// `text` as it may be shown: control and formatting characters escaped, so that nothing that was read from elsewhere
/// can move the cursor, hide or reorder text; and without `unicode`, other characters too.
pub fn clean(text: &str, unicode: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\t' => clean.push_str("    "),
            c if c.is_control() || is_invisible(c) => clean.extend(c.escape_unicode()),
            c if c.is_ascii() || unicode => clean.push(c),
            c => match STAND_INS.iter().find(|(from, _)| *from == c) {
                Some((_, plain)) => clean.push_str(plain),
                None => clean.push('?'),
            },
        }
    }
    clean
}

/// Zero-width and bidirectional formatting characters (Unicode Standard Annex 9), and the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The columns that `text` takes, escape sequences for colour not counted.
pub fn width(text: &str) -> usize {
    if !text.contains('\u{1b}') {
        return text.width();
    }
    let mut columns = 0;
    let mut rest = text;
    while let Some(start) = rest.find('\u{1b}') {
        columns += rest[..start].width();
        rest = rest[start..].find('m').map_or("", |end| &rest[start + end + 1..]);
    }
    columns + rest.width()
}

/// `text`, which holds no escape sequences, cut to `columns` with an ellipsis at its end.
pub fn cut(text: &str, columns: usize, unicode: bool) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let ellipsis = if unicode { "…" } else { "..." };
    let ellipsis = if columns < ellipsis.width() { "" } else { ellipsis };
    let room = columns.saturating_sub(ellipsis.width());
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        kept.push(c);
    }
    kept.push_str(ellipsis);
    kept
}

/// `text` with spaces behind it up to `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{:missing$}", "")
}

/// Breaks `text` into lines of at most `columns`. What stands between back-ticks is a command or a name and is never
/// broken, even when it is longer than a line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text` behind `label`, broken into lines of at most `columns` that begin where the first one does; no line feed at
/// the end. Escape sequences for colour may stand in `label` alone.
pub fn hang(label: &str, text: &str, columns: usize) -> String {
    let indent = width(label);
    let lines = wrap(text, columns.saturating_sub(indent).max(20));
    format!("{label}{}", lines.join(&format!("\n{:indent$}", "")))
}

/// The pieces between spaces, where a space between back-ticks separates nothing.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let closed = text.matches('`').count().is_multiple_of(2);
    let mut quoted = false;
    let separates = move |c: char| {
        quoted ^= c == '`' && closed;
        c == ' ' && !quoted
    };
    text.split(separates).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{202e}d\te", true), "a\\u{1b}[2Jb\\u{d}\\nc\\u{202e}d    e");
        assert_eq!(clean("é → ü…", false), "? -> ?...");
        assert_eq!(clean("é → ü…", true), "é → ü…");
    }

    #[test]
    fn columns_are_counted_as_they_are_seen() {
        assert_eq!((width("日本"), width("\u{1b}[32mok\u{1b}[0m!"), width("é")), (4, 3, 1));
        assert_eq!(cut("日本語", 5, true), "日本…");
        assert_eq!((cut("abcdef", 5, false), cut("abcdef", 2, false)), ("ab...".to_owned(), "ab".to_owned()));
        assert_eq!(cut("abc", 3, true), "abc");
        assert_eq!(pad("\u{1b}[32mok\u{1b}[0m", 4), "\u{1b}[32mok\u{1b}[0m  ");
    }

    #[test]
    fn lines_break_between_words_and_never_within_a_command() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        let text = "then run `sealift promote --to production` again";
        assert_eq!(wrap(text, 20), ["then run", "`sealift promote --to production`", "again"]);
        assert_eq!(wrap("an unclosed ` tick", 6), ["an", "unclosed", "` tick"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(hang("# ", "one two three four five", 22), "# one two three four\n  five");
        assert_eq!(hang("\u{1b}[1mwhy:\u{1b}[0m ", "x", 9), "\u{1b}[1mwhy:\u{1b}[0m x");
    }
}
