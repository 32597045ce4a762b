//! `attest`: under an environment, by which keys what enters it is attested, which is policy; at the top, where the private key
//! lies, which is not.

use std::path::PathBuf;

use sealift_domain::{policy::AttestRule, signature::PublicKey};

use super::{
    decode::{Cursor, Reader},
    keys,
    node::Value,
};

/// The keys of `attest` under an environment.
pub(super) const KEYS: &[&str] = &["key", "keys", "legacy_att"];
/// The keys of `attest` at the top.
pub(super) const TOP_KEYS: &[&str] = &["private_key"];

/// How an environment attests. The policy holds what is in the key files.
pub(super) fn rule(reader: &mut Reader, at: &Cursor<'_>) -> Option<AttestRule> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let legacy_att = reader.optional(at, "legacy_att").unwrap_or_default();
    let files: Vec<Cursor<'_>> = match (at.get("key"), at.get("keys")) {
        (Some(key), None) => vec![key],
        (None, Some(keys)) => reader.list(&keys),
        (Some(_), Some(keys)) => {
            reader.push(keys.fault("`key` and `keys` exclude each other"));
            return None;
        }
        (None, None) => Vec::new(),
    };
    if files.is_empty() {
        let fault = at.fault("`attest` names no key").next("make one: `sealift keys generate`");
        reader.push(fault.next("name its public half: `attest: {key: promotion.pub}`"));
        return None;
    }
    let mut read: Vec<PublicKey> = Vec::new();
    for file in &files {
        let key = key(reader, file)?;
        if read.contains(&key) {
            reader.push(file.fault("this key stands here twice"));
        }
        read.push(key);
    }
    Some(AttestRule { keys: read, legacy_att })
}

fn key(reader: &mut Reader, file: &Cursor<'_>) -> Option<PublicKey> {
    let Value::Text(name) = &file.node.value else {
        reader.push(file.fault("name the file of a public key, relative to this one"));
        return None;
    };
    let read =
        keys::public_key_or(reader.directory(), name, "make it: `sealift keys generate`, and name its public half");
    let pem = reader.keep(read.map_err(|fault| file.here(fault)))?;
    let key = PublicKey::from_canonical_pem(pem);
    reader.keep(key.map_err(|why| file.fault(why.to_string())))
}

/// Where the private key lies, if the file says so. It is not read here: most commands need none.
pub(super) fn private_key(reader: &mut Reader, at: &Cursor<'_>) -> Option<PathBuf> {
    if !reader.mapping(at, TOP_KEYS) {
        return None;
    }
    let name: String = reader.required(at, "private_key")?;
    if name.trim().is_empty() {
        reader.push(at.fault("name a file, relative to this one"));
        return None;
    }
    Some(reader.directory().join(name))
}
