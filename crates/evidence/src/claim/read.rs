//! Reading JSON that others wrote: texts of bounded length, lists of bounded length, times, and reasons that repeat
//! nothing of what was read.
//!
//! What nobody asks for is skipped whatever it is. What somebody asks for and is of the wrong type makes the document
//! unreadable: a guess would be worth less than an error.

use std::{borrow::Cow, fmt, marker::PhantomData};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// Why something is not read, in words that are ours.
pub(super) type Reason = &'static str;

/// The longest text that is kept, in bytes.
pub(super) const MAX_TEXT: usize = 1024;
/// The most findings of a report, and the most statements of a VEX document.
pub(super) const MAX_FINDINGS: usize = 100_000;
/// The most of the small lists in them: aliases, products, names of an image.
const MAX_LIST: usize = 10_000;

pub(super) const TOO_LONG: Reason = "a text is longer than 1 KiB";
pub(super) const TOO_MANY_FINDINGS: Reason = "it has more than 100000 findings";
const TOO_MANY: Reason = "a list has more than 10000 entries";

/// What our own reasons stand between in an error of `serde_json`. No message of `serde` begins with it, whatever text
/// it repeats, so what follows it is ours.
const MARK: char = '\u{1}';

/// An error of serde with a reason that [`reason`] gives back.
pub(super) fn refuse<E: de::Error>(reason: Reason) -> E {
    E::custom(format_args!("{MARK}{reason}{MARK}"))
}

/// Where and why reading stopped, without a word of what was read.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = error.to_string();
    if let Some(ours) = text.strip_prefix(MARK).and_then(|rest| rest.split(MARK).next()) {
        // What is wrong with the whole has no place.
        return if error.line() == 0 { ours.to_owned() } else { format!("{ours} ({place})") };
    }
    // The names in these two are those of our own fields.
    for start in ["duplicate field `", "missing field `"] {
        if let Some(name) = text.strip_prefix(start).and_then(|rest| rest.split('`').next()) {
            return format!("{start}{name}` ({place})");
        }
    }
    let what = match error.classify() {
        serde_json::error::Category::Data => "something that matters has another type or value than the format says",
        serde_json::error::Category::Eof => "it ends too early",
        _ => "it is not JSON, or nested deeper than 127 levels",
    };
    format!("{what} ({place})")
}

/// A text to look at, borrowed where nothing in it was escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    /// The text to keep, unless it is too long for that.
    pub(super) fn keep(&self) -> Result<String, Reason> {
        keep(&self.0)
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `text` to keep, unless it is too long for that.
pub(super) fn keep(text: &str) -> Result<String, Reason> {
    if text.len() > MAX_TEXT { Err(TOO_LONG) } else { Ok(text.to_owned()) }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// A text that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept(pub(super) String);

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keeps;
        impl Visitor<'_> for Keeps {
            type Value = Kept;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Kept, E> {
                keep(text).map(Kept).map_err(refuse)
            }
        }
        deserializer.deserialize_str(Keeps)
    }
}

/// The text of an optional field; an empty one says nothing.
pub(super) fn said(text: Option<Kept>) -> Option<String> {
    text.map(|kept| kept.0).filter(|text| !text.is_empty())
}

/// A moment, RFC 3339. A text that is none says nothing, and so does the zero of Go's `time.Time`: whoever asks for
/// the moment then fails for want of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Time(pub(super) Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let at = text.parse::<Timestamp>().ok();
        // The year 1 is where Go's clock begins.
        Ok(Self(at.filter(|at| at.as_second() > -62_000_000_000)))
    }
}

/// The moment of an optional field.
pub(super) fn moment(time: Option<Time>) -> Option<Timestamp> {
    time.and_then(|time| time.0)
}

/// A list of bounded length.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Vec::new();
        each(deserializer, |item| {
            if list.len() == MAX_LIST {
                return Err(TOO_MANY);
            }
            list.push(item);
            Ok(())
        })?;
        Ok(Self(list))
    }
}

/// The items of an optional list.
pub(super) fn items<T>(list: Option<List<T>>) -> Vec<T> {
    list.map(|list| list.0).unwrap_or_default()
}

/// Reads a list item by item, so that no more of it is in memory than `take` keeps.
pub(super) fn each<'de, T, D>(deserializer: D, take: impl FnMut(T) -> Result<(), Reason>) -> Result<(), D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Each<T, F>(F, PhantomData<T>);
    impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), Reason>> Visitor<'de> for Each<T, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
            while let Some(item) = list.next_element()? {
                (self.0)(item).map_err(refuse)?;
            }
            Ok(())
        }
    }
    deserializer.deserialize_seq(Each(take, PhantomData))
}
