//! `writer` under an environment: the public keys of those who write facts about it into the log.

use sealift_domain::writer::WriterKey;
use sealift_store::key::VerifierKey;

use super::{
    decode::{Cursor, Reader},
    node::Value,
};

/// One key, or several while one is being replaced.
pub(super) fn keys(reader: &mut Reader, at: &Cursor<'_>) -> Option<Vec<WriterKey>> {
    let items = match &at.node.value {
        Value::List(_) => reader.list(at),
        _ => return Some(vec![key(reader, at)?]),
    };
    if items.is_empty() {
        let fault = at.fault("`writer` names no key").next("make one: `sealift keys writer ENVIRONMENT`");
        reader.push(
            fault.next("or leave `writer` out, and whoever may write the log writes facts about this environment"),
        );
        return None;
    }
    let read: Vec<Option<WriterKey>> = items.iter().map(|item| key(reader, item)).collect();
    read.into_iter().collect()
}

fn key(reader: &mut Reader, at: &Cursor<'_>) -> Option<WriterKey> {
    let Value::Text(text) = &at.node.value else {
        reader.push(advised(at, "`writer` is the text of a public key, or a list of such"));
        return None;
    };
    let parsed = text.trim().parse::<VerifierKey>().map_err(|why| why.to_string());
    let key = parsed.and_then(|key| key.to_string().parse::<WriterKey>().map_err(|why| why.to_string()));
    key.map_err(|why| reader.push(advised(at, &why))).ok()
}

fn advised(at: &Cursor<'_>, why: &str) -> super::fault::Fault {
    at.fault(why).next("`sealift keys writer ENVIRONMENT` makes a key, and prints its public half for this place")
}
