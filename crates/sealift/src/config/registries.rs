//! `registries`: how registries are reached. None of it is policy: the bytes are the same whichever way they come.

use std::{collections::BTreeMap, path::PathBuf};

use sealift_registry::{client::is_host, tls::ClientIdentity};

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
    node::Value,
};
use crate::{
    diagnostic::catalogue::code,
    tls_files::{self, Part, Unusable},
};

/// The keys of `registries`.
pub(super) const KEYS: &[&str] = &["plain_http", "ca_file", "client_cert", "client_key", "mirrors"];

/// What is special about registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// Hosts, with their port if it is a special one, that speak HTTP without TLS.
    pub plain_http: Vec<String>,
    /// Certificate authorities to trust beside the system's, each text PEM.
    pub authorities: Vec<Vec<u8>>,
    /// Who this program says it is, to registries that ask for a certificate.
    pub identity: Option<ClientIdentity>,
    /// The mirrors of registry hosts, the one to ask first first.
    pub mirrors: BTreeMap<String, Vec<String>>,
}

/// Reads the mapping, and the files that it names.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> Registries {
    let mut registries = Registries::default();
    if !reader.mapping(at, KEYS) {
        return registries;
    }
    for item in at.get("plain_http").map(|at| reader.list(&at)).unwrap_or_default() {
        let Some(host) = reader.decode::<String>(&item) else { continue };
        if host.is_empty() || host.contains(|c: char| c == '/' || c == '@' || c.is_whitespace() || c.is_control()) {
            reader.push(item.fault("write the host alone, with its port, for instance `registry.local:5000`"));
        }
        registries.plain_http.push(host);
    }
    registries.authorities = authorities(reader, at).into_iter().collect();
    registries.identity = identity(reader, at);
    registries.mirrors = at.get("mirrors").map(|at| mirrors(reader, &at)).unwrap_or_default();
    registries
}

fn authorities(reader: &mut Reader, at: &Cursor<'_>) -> Option<Vec<u8>> {
    let (name, path) = file(reader, &at.get("ca_file")?)?;
    let read = tls_files::authorities(&path);
    reader.keep(read.map_err(|why| unusable(&name, "certificate authorities", why)))
}

fn identity(reader: &mut Reader, at: &Cursor<'_>) -> Option<ClientIdentity> {
    let (certificates, key) = match (at.get("client_cert"), at.get("client_key")) {
        (Some(certificates), Some(key)) => (certificates, key),
        (None, None) => return None,
        (Some(one), None) | (None, Some(one)) => {
            reader.push(one.fault("`client_cert` and `client_key` belong together: name both"));
            return None;
        }
    };
    let (chain, secret) = (file(reader, &certificates), file(reader, &key));
    let ((certificates, chain), (key, secret)) = (chain?, secret?);
    let read = tls_files::identity(&chain, &secret).map_err(|(part, why)| match part {
        Part::Certificates => unusable(&certificates, "client's certificate", why),
        Part::Key => unusable(&key, "client's key", why),
    });
    reader.keep(read)
}

/// The name of a file, and where it is.
fn file<'t>(reader: &mut Reader, at: &Cursor<'t>) -> Option<(Cursor<'t>, PathBuf)> {
    let name: String = reader.decode(at)?;
    if name.trim().is_empty() {
        reader.push(at.fault("name a file, relative to this one"));
        return None;
    }
    Some((at.clone(), reader.directory().join(name)))
}

fn unusable(name: &Cursor<'_>, what: &str, why: Unusable) -> Fault {
    let file = if let Value::Text(file) = &name.node.value { file } else { "" };
    name.here(match why {
        Unusable::Unreadable(why) => Fault::new(code::E0101, format!("cannot read the {what} `{file}`: {why}")),
        Unusable::Wrong(why) => Fault::wrong(format!("`{file}` cannot be used as the {what}: {why}")),
    })
    .next("name a file in PEM, relative to this file")
}

fn mirrors(reader: &mut Reader, at: &Cursor<'_>) -> BTreeMap<String, Vec<String>> {
    let mut mirrors = BTreeMap::new();
    if !reader.open_mapping(at) {
        return mirrors;
    }
    for entry in at.keys() {
        let below = at.entry(entry);
        if !is_host(&entry.key) {
            reader.push(below.here(no_registry(&entry.key)));
        }
        let mut list: Vec<String> = Vec::new();
        for item in reader.list(&below) {
            let Some(host) = reader.decode::<String>(&item) else { continue };
            if !is_host(&host) {
                reader.push(item.here(no_registry(&host)));
            }
            list.push(host);
        }
        mirrors.insert(entry.key.clone(), list);
    }
    mirrors
}

fn no_registry(name: &str) -> Fault {
    Fault::wrong(format!("`{name}` is not the host of a registry"))
        .next("write the host alone, as references name it, for instance `docker.io` or `mirror.local:5000`")
}
