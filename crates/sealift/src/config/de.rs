//! Any serde type from a [`Node`], with the place of what is wrong.
//!
//! Types of the domain say themselves what they accept, so a new key or gate there needs nothing here. All unknown keys
//! of a value are found at once; of wrong values, the first.

use std::cell::RefCell;

use serde::{
    Deserialize,
    de::{
        Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    fault::{Fault, Trail},
    node::{Entry, Node, Span, Value},
};

/// Reads a `T`, or says everything that keeps it from being one. `label` is where `node` is named.
pub(super) fn decode<'de, T: Deserialize<'de>>(node: &'de Node, label: Span, path: &str) -> Result<T, Vec<Fault>> {
    let unknown = RefCell::new(Vec::new());
    let trail = Trail::walked(path);
    let source = Source { node, label, trail: &trail, unknown: &unknown };
    let read = T::deserialize(source).map_err(|fault| fault.place(source.place(), &trail));
    let mut faults = unknown.into_inner();
    match read {
        Ok(value) if faults.is_empty() => Ok(value),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

#[derive(Clone, Copy)]
struct Source<'a, 'de> {
    node: &'de Node,
    label: Span,
    trail: &'a Trail<'a>,
    unknown: &'a RefCell<Vec<Fault>>,
}

impl<'a, 'de> Source<'a, 'de> {
    /// A scalar is shown itself, a collection by its key.
    fn place(&self) -> Span {
        if self.node.is_scalar() { self.node.span } else { self.label }
    }

    fn unexpected(&self) -> Unexpected<'de> {
        match &self.node.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Unsigned(value) => Unexpected::Unsigned(*value),
            Value::Signed(value) => Unexpected::Signed(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn items(self, items: &'de [Node]) -> Items<'a, 'de> {
        Items { source: self, rest: items.iter().enumerate() }
    }

    fn entries(self, entries: &'de [Entry], fields: Option<&'static [&'static str]>) -> Entries<'a, 'de> {
        Entries { source: self, rest: entries.iter(), fields, seen: Vec::new(), value: None }
    }
}

impl<'de> Deserializer<'de> for Source<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => {
                let mut items = self.items(items);
                let read = visitor.visit_seq(&mut items);
                // A type that stops early must not overlook what follows.
                match (read, items.rest.len()) {
                    (Ok(_), left) if left > 0 => Err(Fault::wrong(format!("{left} items too many"))),
                    (read, _) => read,
                }
            }
            Value::Map(entries) => visitor.visit_map(self.entries(entries, None)),
        };
        read.map_err(|fault| fault.place(self.place(), self.trail))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => {
                let read = visitor.visit_map(self.entries(entries, Some(fields)));
                read.map_err(|fault| fault.place(self.label, self.trail))
            }
            _ => Err(Fault::invalid_type(self.unexpected(), &visitor).place(self.place(), self.trail)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let read = match &self.node.value {
            Value::Text(text) => {
                let word: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            Value::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(self.entries(entries, None))),
            _ => {
                let known = variants.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                Err(Fault::invalid_type(self.unexpected(), &format!("one of {known}").as_str()))
            }
        };
        read.map_err(|fault| fault.place(self.place(), self.trail))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// The items of a list, one after the other.
struct Items<'a, 'de> {
    source: Source<'a, 'de>,
    rest: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: serde::de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.rest.next() else { return Ok(None) };
        let trail = Trail::index(self.source.trail, index);
        let source = Source { node, label: node.span, trail: &trail, unknown: self.source.unknown };
        seed.deserialize(source).map(Some).map_err(|fault| fault.place(source.place(), &trail))
    }
}

/// The entries of a mapping, one after the other; those that are not among `fields` are reported and left out.
/// A field that stands again was reported before, see [`super::decode::Reader::refuse_duplicates`], and is left out, too.
struct Entries<'a, 'de> {
    source: Source<'a, 'de>,
    rest: std::slice::Iter<'de, Entry>,
    fields: Option<&'static [&'static str]>,
    seen: Vec<&'de str>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        for entry in self.rest.by_ref() {
            let trail = Trail::key(self.source.trail, &entry.key);
            if let Some(fields) = self.fields.filter(|fields| !fields.contains(&entry.key.as_str())) {
                self.source.unknown.borrow_mut().push(Fault::unknown_key(&entry.key, fields).place(entry.at, &trail));
                continue;
            }
            if self.fields.is_some() {
                if self.seen.contains(&entry.key.as_str()) {
                    continue;
                }
                self.seen.push(&entry.key);
            }
            self.value = Some(entry);
            let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|fault| fault.place(entry.at, &trail));
        }
        Ok(None)
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.value.take() else { return Err(Fault::custom("a value without its key")) };
        let trail = Trail::key(self.source.trail, &entry.key);
        let source = Source { node: &entry.node, label: entry.at, trail: &trail, unknown: self.source.unknown };
        seed.deserialize(source).map_err(|fault| fault.place(source.place(), &trail))
    }
}
