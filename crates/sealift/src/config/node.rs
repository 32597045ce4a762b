//! YAML as a tree that knows where everything stands.
//!
//! Aliases and tags are refused: a policy that people sign should read as it is meant, and what cannot refer cannot
//! be blown up either. So the tree is never larger than the file.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::fault::{Fault, Trail};

/// The deepest nesting, of each of the two styles.
const MAX_DEPTH: usize = 32;
/// The longest key, in bytes.
const MAX_KEY: usize = 256;

/// A stretch of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// The line, from 1.
    pub(super) line: u32,
    /// The column in characters, from 1.
    pub(super) column: u32,
    /// The characters; 0 where something is missing.
    pub(super) length: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Span,
    pub(super) node: Node,
}

impl Node {
    /// The value under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Whether the span says where a reader should look. A collection's is no more than its beginning.
    pub(super) fn is_scalar(&self) -> bool {
        !matches!(self.value, Value::List(_) | Value::Map(_)) && self.span.length > 0
    }
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    /// A mapping's key whose value has not come yet.
    key: Option<(String, Span)>,
}

/// Reads the only document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder { open: Vec::new(), root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, span_of(&span))?;
    }
    builder.root.ok_or_else(|| Fault::wrong("the file is empty").next("`sealift init` writes a first configuration"))
}

fn syntax(error: &ScanError) -> Fault {
    let mark = error.marker();
    let span = Span { line: number(mark.line()), column: number(mark.col() + 1), length: 1 };
    let title = format!("this is not YAML: {}", error.info());
    Fault::new("E0102", title).place(span, &Trail::ROOT)
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn span_of(span: &granit_parser::Span) -> Span {
    let (start, end) = (span.start, span.end);
    let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Span { line: number(start.line()), column: number(start.col() + 1), length: number(length) }
}

/// Puts events together.
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(refused("there is a second document; the configuration is one", span))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                Err(refused("aliases are not supported", span).next("write the value out"))
            }
            Event::Scalar(text, style, _, tag) => {
                untagged(tag.as_deref(), span)?;
                self.scalar(text, style, span)
            }
            Event::SequenceStart(_, _, tag) => {
                untagged(tag.as_deref(), span)?;
                self.begin(Value::List(Vec::new()), span)
            }
            Event::MappingStart(_, _, tag) => {
                untagged(tag.as_deref(), span)?;
                self.begin(Value::Map(Vec::new()), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let ended = self.open.pop();
                ended.map_or(Ok(()), |open| self.add(open.node))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, span: Span) -> Result<(), Fault> {
        if self.wants_key() {
            return Err(refused("a key is a word, not a list or a mapping", span));
        }
        self.open.push(Open { node: Node { value, span: Span { length: 1, ..span } }, key: None });
        Ok(())
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, span: Span) -> Result<(), Fault> {
        if !self.wants_key() {
            let value = if style == ScalarStyle::Plain { plain(&text) } else { Value::Text(text.into_owned()) };
            return self.add(Node { value, span });
        }
        if text.len() > MAX_KEY {
            return Err(refused(&format!("a key has at most {MAX_KEY} bytes"), span));
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some((text.into_owned(), span));
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.key.is_none() && matches!(open.node.value, Value::Map(_)))
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, at))) => entries.push(Entry { key, at, node }),
            _ => return Err(refused("a key is a word, not a list or a mapping", node.span)),
        }
        Ok(())
    }
}

fn refused(title: &str, span: Span) -> Fault {
    Fault::new("E0102", title).place(span, &Trail::ROOT)
}

fn untagged(tag: Option<&Tag>, span: Span) -> Result<(), Fault> {
    match tag {
        None => Ok(()),
        Some(_) => Err(refused("tags (`!…`) are not supported", span)),
    }
}

/// What a scalar without quotes means: YAML 1.2.2, section 10.3.2 (core schema). Infinities and what is no number, which
/// nothing in the configuration could want, stay text.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn integer(text: &str) -> Option<Value> {
    let radix = |prefix, radix| text.strip_prefix(prefix).map(|digits| (digits, radix));
    if let Some((digits, radix)) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        let right = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        return right.then(|| u64::from_str_radix(digits, radix).ok().map(Value::Unsigned))?;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let unsigned = text.parse().ok().map(Value::Unsigned);
    unsigned.or_else(|| text.parse().ok().map(Value::Signed))
}

fn float(text: &str) -> Option<Value> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let some = !(whole.is_empty() && decimals.is_empty()) && !exponent.is_empty();
    let right = some && digits(whole) && digits(decimals) && digits(exponent);
    right.then(|| text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Float))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        let shown = |text: &str| format!("{:?}", plain(text));
        for (text, value) in [
            ("", "Null"),
            ("~", "Null"),
            ("true", "Bool(true)"),
            ("False", "Bool(false)"),
            ("0", "Unsigned(0)"),
            ("+7", "Unsigned(7)"),
            ("-7", "Signed(-7)"),
            ("007", "Unsigned(7)"),
            ("0x1F", "Unsigned(31)"),
            ("0o17", "Unsigned(15)"),
            ("18446744073709551615", "Unsigned(18446744073709551615)"),
            ("18446744073709551616", "Float(1.8446744073709552e19)"),
            ("1.5", "Float(1.5)"),
            (".5", "Float(0.5)"),
            ("5.", "Float(5.0)"),
            ("1e3", "Float(1000.0)"),
            ("-1.5E-3", "Float(-0.0015)"),
            ("1e999", "Text(\"1e999\")"),
            ("1.2.3", "Text(\"1.2.3\")"),
            ("0x", "Text(\"0x\")"),
            ("0x+1", "Text(\"0x+1\")"),
            ("1e", "Text(\"1e\")"),
            (".", "Text(\".\")"),
            ("-", "Text(\"-\")"),
            (".inf", "Text(\".inf\")"),
            ("yes", "Text(\"yes\")"),
            ("1h", "Text(\"1h\")"),
            ("100%", "Text(\"100%\")"),
        ] {
            assert_eq!(shown(text), value, "{text}");
        }
    }

    #[test]
    fn values_know_where_they_stand() {
        let root = parse("a: 1\nb:\n  - x\n  - {c: \"ü y\"}\nd:\n").unwrap();
        let b = root.get("b").unwrap();
        assert_eq!(b.at, Span { line: 2, column: 1, length: 1 });
        let Value::List(items) = &b.node.value else { panic!("{b:?}") };
        assert_eq!(items[0].span, Span { line: 3, column: 5, length: 1 });
        assert_eq!(items[1].get("c").unwrap().node.span, Span { line: 4, column: 9, length: 5 });
        assert!(matches!(root.get("d").unwrap().node.value, Value::Null));
        assert!(!root.get("d").unwrap().node.is_scalar(), "there is nothing to point at");
    }

    #[test]
    fn what_can_refer_or_pretend_is_refused() {
        for text in [
            "a: &x 1\nb: *x",
            "b: *x",
            "*x : 1",
            "a: !!str 1",
            "!t\na: 1",
            "? [a]\n: 1",
            "? {a: 1}\n: 1",
            "a: 1\n---\nb: 1",
            "a: [",
            "a: b: c",
            "a: \"x",
        ] {
            let fault = parse(text).map(drop).unwrap_err();
            assert_eq!(fault.code, "E0102", "{text}");
            assert!(fault.span.is_some(), "{text}");
        }
        assert_eq!(parse("").unwrap_err().code, "E0104");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse(&deep).unwrap_err().code, "E0102");
        assert_eq!(parse(&format!("{}: 1", "k".repeat(300))).unwrap_err().code, "E0102");
        let anchor = parse("a: &x 1").unwrap();
        assert!(matches!(anchor.get("a").unwrap().node.value, Value::Unsigned(1)), "a name alone harms nobody");
    }
}
