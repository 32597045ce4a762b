//! Key files that gates name. The policy holds the keys themselves: whoever replaces a file changes the policy, and that
//! is noticed.

use std::path::Path;

use sealift_evidence::public_key::{MAX_TEXT, PublicKey};

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
    node::{Entry, Node, Value},
};
use crate::{diagnostic::catalogue::code, tls_files};

/// A gate as the policy has it: where `entry` names key files, the keys stand in their place, and every error is still shown
/// where the name of the file is.
pub(super) fn inlined(reader: &mut Reader, at: &Cursor<'_>, entry: &Entry) -> Option<Entry> {
    let mut entry = entry.clone();
    if entry.key != "signature" {
        return Some(entry);
    }
    let mut right = true;
    let settings = if let Value::Map(settings) = &mut entry.node.value { settings.as_mut_slice() } else { &mut [] };
    for setting in settings {
        let Some(name) = at.get(&setting.key) else { continue };
        match (setting.key.as_str(), &mut setting.node.value) {
            ("key", _) => right &= inline(reader, &name, &mut setting.node),
            ("keys", Value::List(items)) => {
                for (name, item) in reader.list(&name).iter().zip(items) {
                    right &= inline(reader, name, item);
                }
            }
            _ => {}
        }
    }
    right.then_some(entry)
}

/// Puts the key in the place of its file's name. Whatever is no text is left for the gate to refuse.
fn inline(reader: &mut Reader, name: &Cursor<'_>, node: &mut Node) -> bool {
    let Value::Text(file) = &name.node.value else { return true };
    let read = read(reader.directory(), file);
    let pem = reader.keep(read.map_err(|fault| name.here(fault)));
    let right = pem.is_some();
    if let Some(pem) = pem {
        node.value = Value::Text(pem);
    }
    right
}

/// The key in a file, in its one spelling.
fn read(directory: &Path, file: &str) -> Result<String, Fault> {
    let next = "name the public key that `cosign generate-key-pair` wrote, relative to this file";
    let unreadable =
        |why: String| Fault::new(code::E0101, format!("cannot read the public key `{file}`: {why}")).next(next);
    let text = text(&directory.join(file)).map_err(unreadable)?;
    let no_key = |why: String| Fault::wrong(format!("`{file}` is no public key: {why}")).next(next);
    PublicKey::from_pem(&text).map(|key| key.to_pem()).map_err(|why| no_key(why.to_string()))
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(tls_files::read(path, MAX_TEXT)?).map_err(|_| "it is not text".to_owned())
}
