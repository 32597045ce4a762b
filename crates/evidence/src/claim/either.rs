//! Places of which the type changed, or is left to whoever writes there.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::read::{MAX_TEXT, Text, refuse};

/// Something that is read if it is an object; of whatever else it is nothing is known. For places that formats leave
/// to their users.
#[derive(Debug)]
pub(super) struct IfObject<T>(pub(super) Option<T>);

impl<T> Default for IfObject<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for IfObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either::<T>(PhantomData)).map(|either| match either {
            Some(Known::Object(object)) => Self(Some(object)),
            _ => Self(None),
        })
    }
}

/// A text to show to people, such as the name of a tool. Whatever is no short text says nothing.
#[derive(Debug, Default)]
pub(super) struct Shown(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either::<IgnoredAny>(PhantomData)).map(|either| match either {
            Some(Known::Text(text)) if !text.is_empty() && text.len() <= MAX_TEXT => Self(Some(text.0.into_owned())),
            _ => Self(None),
        })
    }
}

/// A text or an object: formats that changed from the one to the other.
#[derive(Debug)]
pub(super) enum TextOr<'a, T> {
    /// The text.
    Text(Text<'a>),
    /// The object.
    Object(T),
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for TextOr<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Either::<T>(PhantomData))? {
            Some(Known::Object(object)) => Ok(Self::Object(object)),
            Some(Known::Text(text)) => Ok(Self::Text(text)),
            _ => Err(refuse("something is neither a text nor an object")),
        }
    }
}

/// The first of a list of objects, or an object: for what is only shown, such as tools, whose form changed.
#[derive(Debug)]
pub(super) enum FirstOr<L, T> {
    /// The first of the list, if that is an object.
    First(Option<L>),
    /// The object.
    Object(T),
    /// Something else.
    Neither,
}

impl<'de, L: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for FirstOr<L, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(Either::<T, IfObject<L>>(PhantomData))? {
            Some(Known::Object(object)) => Self::Object(object),
            Some(Known::List(first)) => Self::First(first.and_then(|first| first.0)),
            _ => Self::Neither,
        })
    }
}

enum Known<'a, T, L> {
    Text(Text<'a>),
    Object(T),
    List(Option<L>),
}

/// Takes anything, and says what it is if that is a text, an object or a list.
struct Either<T, L = IgnoredAny>(PhantomData<(T, L)>);

impl<'de, T: Deserialize<'de>, L: Deserialize<'de>> Visitor<'de> for Either<T, L> {
    type Value = Option<Known<'de, T, L>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Known::Text(Text(Cow::Borrowed(text)))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Known::Text(Text(Cow::Owned(text.to_owned())))))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(map)).map(|object| Some(Known::Object(object)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Known::List(first)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
