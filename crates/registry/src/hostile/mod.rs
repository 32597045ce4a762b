//! Every parser of what comes from the network, under arbitrary bytes and under damaged texts: none panics, and none accepts what
//! its rule forbids.
//!
//! The texts that are damaged stand in `tests/seeds/<parser>/`, as registries send them. Each test also reads its seeds as they
//! are.

mod challenge;
mod links;
mod manifest;

use std::path::Path;

use proptest::{prelude::*, sample::Index};

/// The files of a folder of seeds, in order. Each holds one text.
fn seeds(parser: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds").join(parser);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{parser} has seeds");
    files.iter().map(|file| std::fs::read(file).unwrap().trim_ascii_end().to_vec()).collect()
}

/// The same, as texts.
fn texts(parser: &str) -> Vec<String> {
    seeds(parser).into_iter().map(|seed| String::from_utf8(seed).unwrap()).collect()
}

/// One way to damage a text. Places are fractions of its length.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static str),
    /// What follows is taken from another seed.
    Splice(Index, Index),
}

fn span(length: usize, a: &Index, b: &Index) -> (usize, usize) {
    let (a, b) = (a.index(length + 1), b.index(length + 1));
    (a.min(b), a.max(b))
}

impl Damage {
    fn apply(&self, text: &mut Vec<u8>, other: &[u8]) {
        let at = |index: &Index| index.index(text.len() + 1);
        match self {
            Self::Set(index, byte) => {
                let at = at(index);
                text.splice(at..(at + 1).min(text.len()), [*byte]);
            }
            Self::Cut(a, b) => {
                let (from, to) = span(text.len(), a, b);
                text.drain(from..to);
            }
            Self::Repeat(a, b) => {
                let (from, to) = span(text.len(), a, b);
                let again = text[from..to].to_vec();
                text.splice(to..to, again);
            }
            Self::Insert(index, word) => {
                let at = at(index);
                text.splice(at..at, word.bytes());
            }
            Self::Splice(index, from) => {
                text.truncate(at(index));
                text.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
        }
    }
}

fn damage(words: &'static [&'static str]) -> impl Strategy<Value = Damage> {
    let places = || any::<(Index, Index)>();
    prop_oneof![
        any::<(Index, u8)>().prop_map(|(a, byte)| Damage::Set(a, byte)),
        places().prop_map(|(a, b)| Damage::Cut(a, b)),
        places().prop_map(|(a, b)| Damage::Repeat(a, b)),
        (any::<Index>(), prop::sample::select(words)).prop_map(|(a, word)| Damage::Insert(a, word)),
        places().prop_map(|(a, b)| Damage::Splice(a, b)),
    ]
}

/// A seed with a little damage, into which `words` of the grammar may be put.
fn damaged(parser: &str, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop::sample::select(seeds(parser));
    (seeds.clone(), seeds, prop::collection::vec(damage(words), 1..5)).prop_map(|(mut text, other, damages)| {
        for damage in damages {
            damage.apply(&mut text, &other);
            text.truncate(1 << 16);
        }
        text
    })
}

/// Bytes of any kind, or a damaged seed.
fn hostile(parser: &str, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 3 => damaged(parser, words)]
}
