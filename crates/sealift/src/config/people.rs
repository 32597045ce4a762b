//! `people`: who may sign, with which keys, and how to reach them.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::{
    name::{PersonId, Role},
    policy::Person,
};
use ssh_key::{Algorithm, EcdsaCurve, PublicKey, public::KeyData};

use super::{
    PlainContact,
    decode::{Cursor, Reader},
    fault::Fault,
    node::Value,
};

/// The keys of a person.
pub(super) const KEYS: &[&str] = &["id", "github", "email", "ssh", "roles"];

/// The sizes of RSA keys, in bits, whose signatures are accepted.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// People, and how to reach them.
#[derive(Default)]
pub(super) struct People {
    pub(super) rights: BTreeMap<PersonId, Person>,
    pub(super) contacts: BTreeMap<PersonId, PlainContact>,
}

/// Reads the list of people.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> People {
    let mut people = People::default();
    for item in reader.list(at) {
        if let Some((id, person, contact)) = person(reader, &item) {
            if people.rights.contains_key(&id) {
                let twice = item.get("id").unwrap_or(item);
                reader.push(twice.fault(format!("there are two people called `{id}`")));
                continue;
            }
            people.rights.insert(id.clone(), person);
            people.contacts.insert(id, contact);
        }
    }
    people
}

fn person(reader: &mut Reader, at: &Cursor<'_>) -> Option<(PersonId, Person, PlainContact)> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let id = reader.required(at, "id");
    let contact = PlainContact { email: reader.optional(at, "email"), github: reader.optional(at, "github") };
    let keys = reader.needed(at, "ssh").and_then(|at| keys(reader, &at));
    let roles: Option<BTreeSet<Role>> = reader.required(at, "roles");
    Some((id?, Person { roles: roles?, ssh: keys? }, contact))
}

/// One key, or a list of them.
fn keys(reader: &mut Reader, at: &Cursor<'_>) -> Option<BTreeSet<String>> {
    let items = match at.node.value {
        Value::List(_) => reader.list(at),
        _ => vec![at.clone()],
    };
    if items.is_empty() {
        reader.push(at.fault("a person without a key can sign nothing"));
    }
    let wanted = items.len().max(1);
    let keys: Vec<String> = items.iter().filter_map(|item| key(reader, item)).collect();
    (keys.len() == wanted).then(|| keys.into_iter().collect())
}

fn key(reader: &mut Reader, at: &Cursor<'_>) -> Option<String> {
    let text: String = reader.decode(at)?;
    let read = normal_key(&text).map_err(|why| {
        let fault = Fault::wrong(format!("not an SSH public key: {why}"));
        at.here(fault.next("write the line of `~/.ssh/id_ed25519.pub`"))
    });
    reader.keep(read)
}

/// A public key without its comment, in the one form in which keys are compared.
pub(super) fn normal_key(text: &str) -> Result<String, String> {
    let line = text.trim();
    if line.contains(['\n', '\r']) {
        return Err("it has several lines".to_owned());
    }
    let key = PublicKey::from_openssh(line).map_err(|error| error.to_string())?;
    supported(key.key_data())?;
    PublicKey::from(key.key_data().clone()).to_openssh().map_err(|error| error.to_string())
}

/// What `sealift-evidence` accepts signatures of.
fn supported(key: &KeyData) -> Result<(), String> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(()),
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 } => Ok(()),
        Algorithm::Rsa { .. } => {
            let modulus = key.rsa().and_then(|rsa| rsa.n.as_positive_bytes()).unwrap_or_default();
            let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
            let bits = modulus.len() * 8 - unused;
            if RSA_BITS.contains(&bits) {
                return Ok(());
            }
            Err(format!("RSA with {bits} bits; {} to {} are accepted", RSA_BITS.start(), RSA_BITS.end()))
        }
        other => Err(format!("`{other}` is not supported; `ssh-ed25519` is")),
    }
}
