//! `identities`: whom to believe which workload asks for a promotion.

use sealift_domain::policy::IdentityProvider;
use sealift_evidence::oidc;

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
};
use crate::{diagnostic::catalogue::code, tls_files};

/// The keys of an identity provider.
pub(super) const KEYS: &[&str] = &["issuer", "jwks", "audience", "subjects"];

/// For whom tokens are, unless said otherwise.
const USUAL_AUDIENCE: &str = "sealift";

/// Reads the list, and the key sets that it names.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> Vec<IdentityProvider> {
    reader.list(at).iter().filter_map(|item| provider(reader, item)).collect()
}

fn provider(reader: &mut Reader, at: &Cursor<'_>) -> Option<IdentityProvider> {
    if !reader.mapping(at, KEYS) {
        return None;
    }
    let issuer: Option<String> = reader.required(at, "issuer");
    let issuer = issuer.filter(|issuer| {
        let right = issuer.starts_with("https://") && !issuer.contains(char::is_whitespace);
        if !right {
            let at = at.get("issuer").unwrap_or_else(|| at.clone());
            reader.push(at.fault("`issuer` is a URL, for instance `https://token.actions.githubusercontent.com`"));
        }
        right
    });
    let jwks = reader.needed(at, "jwks").and_then(|at| keys(reader, &at));
    let audience: Option<String> = reader.optional(at, "audience");
    let subjects = subjects(reader, at);
    let audience = audience.unwrap_or_else(|| USUAL_AUDIENCE.to_owned());
    Some(IdentityProvider { issuer: issuer?, jwks: jwks?, audience, subjects: subjects? })
}

/// Which workloads: never all that the provider knows, which may be the whole world's.
fn subjects(reader: &mut Reader, at: &Cursor<'_>) -> Option<Vec<String>> {
    let here = reader.needed(at, "subjects")?;
    let subjects: Vec<String> = reader.decode(&here)?;
    if subjects.is_empty() {
        reader.push(here.fault("name a subject, for instance `repo:acme/web:*`"));
    }
    for item in reader.list(&here) {
        let text: String = reader.decode(&item)?;
        let beginning = text.strip_suffix('*').unwrap_or(&text);
        // `repo:acme*` would let `repo:acme-evil/…` ask.
        let open = text.ends_with('*') && !beginning.ends_with([':', '/']);
        if beginning.is_empty() || beginning.contains('*') || open {
            let fault = item.fault("`*` stands at the end only, after a `:` or `/`, for instance `repo:acme/web:*`");
            reader.push(fault);
            return None;
        }
    }
    Some(subjects)
}

/// The key set in a file. Whether it can be used is found out here, and not when it is needed.
fn keys(reader: &mut Reader, at: &Cursor<'_>) -> Option<String> {
    let file: String = reader.decode(at)?;
    let path = reader.directory().join(&file);
    let next = "name the provider's keys, a file relative to this one; GitHub's are at \
                https://token.actions.githubusercontent.com/.well-known/jwks";
    let unreadable = |why: String| Fault::new(code::E0101, format!("cannot read the keys `{file}`: {why}")).next(next);
    let text = tls_files::read(&path, oidc::MAX_KEYS)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not text".to_owned()))
        .map_err(unreadable);
    let text = reader.keep(text.map_err(|fault| at.here(fault)))?;
    let usable = oidc::check_keys(&text).map_err(|why| at.fault(format!("`{file}`: {why}")).next(next));
    reader.keep(usable)?;
    Some(text)
}
