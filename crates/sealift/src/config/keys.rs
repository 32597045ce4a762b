//! Key files and trust roots that gates name. The policy holds what is in them: whoever replaces a file changes the policy,
//! and that is noticed.

use std::path::Path;

use sealift_domain::evidence::TrustRoot;
use sealift_evidence::public_key::{MAX_TEXT, PublicKey};

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
    node::{Entry, Node, Value},
};
use crate::{diagnostic::catalogue::code, tls_files};

/// The largest trust root that is read, in bytes. The public one of Sigstore has about 10,000.
const MAX_TRUST_ROOT: usize = 1 << 20;
/// How deep in a gate's settings names of files are looked for.
const DEPTH: usize = 3;

/// A gate as the policy has it: wherever it names a key file or a trust root, what is in the file stands in its place, and every
/// error is still shown where the name of the file is.
pub(super) fn inlined(reader: &mut Reader, at: &Cursor<'_>, entry: &Entry) -> Option<Entry> {
    let mut entry = entry.clone();
    within(reader, at, &mut entry.node, 0).then_some(entry)
}

/// Looks for names of files below a setting. What is not where the gate expects it is left for the gate to refuse.
fn within(reader: &mut Reader, at: &Cursor<'_>, node: &mut Node, depth: usize) -> bool {
    let Value::Map(settings) = &mut node.value else { return true };
    let mut right = true;
    for setting in settings {
        let Some(name) = at.get(&setting.key) else { continue };
        match (setting.key.as_str(), &mut setting.node.value) {
            ("key", _) => right &= inline(reader, &name, &mut setting.node, public_key),
            ("trust_root", _) => right &= inline(reader, &name, &mut setting.node, trust_root),
            ("keys", Value::List(items)) => {
                for (name, item) in reader.list(&name).iter().zip(items) {
                    right &= inline(reader, name, item, public_key);
                }
            }
            _ if depth < DEPTH => right &= within(reader, &name, &mut setting.node, depth + 1),
            _ => {}
        }
    }
    right
}

/// Puts what is in a file in the place of its name. Whatever is no text is left for the gate to refuse.
fn inline(
    reader: &mut Reader,
    name: &Cursor<'_>,
    node: &mut Node,
    read: fn(&Path, &str) -> Result<String, Fault>,
) -> bool {
    let Value::Text(file) = &name.node.value else { return true };
    let read = read(reader.directory(), file);
    let text = reader.keep(read.map_err(|fault| name.here(fault)));
    let right = text.is_some();
    if let Some(text) = text {
        node.value = Value::Text(text);
    }
    right
}

/// The key in a file, in its one spelling.
fn public_key(directory: &Path, file: &str) -> Result<String, Fault> {
    public_key_or(directory, file, "name the public key that `cosign generate-key-pair` wrote, relative to this file")
}

/// The same; `next` is what to do where there is none.
pub(super) fn public_key_or(directory: &Path, file: &str, next: &'static str) -> Result<String, Fault> {
    let unreadable =
        |why: String| Fault::new(code::E0101, format!("cannot read the public key `{file}`: {why}")).next(next);
    let text = text(&directory.join(file), MAX_TEXT).map_err(unreadable)?;
    let no_key = |why: String| Fault::wrong(format!("`{file}` is no public key: {why}")).next(next);
    PublicKey::from_pem(&text).map(|key| key.to_pem()).map_err(|why| no_key(why.to_string()))
}

/// The trust root in a file, as it is. Whether it can be used is found out here, and not when it is needed.
fn trust_root(directory: &Path, file: &str) -> Result<String, Fault> {
    let next = "name a trust root in JSON, as `cosign trusted-root create` writes it, relative to this file";
    let unreadable =
        |why: String| Fault::new(code::E0101, format!("cannot read the trust root `{file}`: {why}")).next(next);
    let text = text(&directory.join(file), MAX_TRUST_ROOT).map_err(unreadable)?;
    let no_root = |why: &str| Fault::wrong(format!("`{file}` is no trust root: {why}")).next(next);
    TrustRoot::from_json(text).map(|root| root.json().to_owned()).map_err(no_root)
}

fn text(path: &Path, limit: usize) -> Result<String, String> {
    String::from_utf8(tls_files::read(path, limit)?).map_err(|_| "it is not text".to_owned())
}
