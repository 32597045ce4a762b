//! What a reader of the log believes beyond the log's own key: who wrote an entry, and where a fold may begin.

use std::sync::Arc;

use sealift_domain::{
    digest::Digest,
    entry::{Entry, EntryError, Leaf, LeafWriter, Place, Sealed},
    name::EnvironmentName,
    policy::Policy,
    writer::WriterKey,
};

use crate::ports::{log::LogError, signature::Signatures, writer::Writer};

/// What a book verifies with, and whom it trusts. Without any of it, a log whose policy names writers is refused from the first
/// entry on that would have to be verified.
#[derive(Clone, Default)]
pub struct Trust {
    /// Verifies writers, and signs with this run's key.
    pub writer: Option<Arc<dyn Writer>>,
    /// Verifies persons, where what they signed changes who is believed.
    pub signatures: Option<Arc<dyn Signatures>>,
    /// The policy that the caller trusts, which is that of its configuration: it says where a fold may begin.
    pub policy: Option<Policy>,
}

/// A writer of an entry, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrote {
    pub(super) environment: EnvironmentName,
    pub(super) key: WriterKey,
}

impl Trust {
    /// This run's key and the environment whose key it is by `policy`; `None` if it has none, or one that is nobody's.
    pub(super) fn own(&self, policy: Option<&Policy>) -> Option<Wrote> {
        let ours = self.writer.as_ref()?.key()?;
        let (environment, key) = policy?.writer(ours.id()).filter(|(_, key)| **key == ours)?;
        Some(Wrote { environment: environment.clone(), key: key.clone() })
    }

    /// Seals an entry, by this run's key where the policy knows it.
    pub(super) fn seal(&self, own: Option<&Wrote>, place: Place, entry: Entry) -> Result<Sealed, EntryError> {
        match (own, &self.writer) {
            (Some(own), Some(writer)) => entry.seal_by(place, &own.key, |bytes| writer.sign(bytes)),
            _ => entry.seal(),
        }
    }

    /// Who wrote a leaf, by the keys of the policy in force before it; `None` if no writer signed it.
    ///
    /// # Errors
    /// A writer is named and did not write this leaf at this place.
    pub(super) fn wrote(&self, policy: Option<&Policy>, place: Place, leaf: &Leaf) -> Result<Option<Wrote>, LogError> {
        let Some(named) = &leaf.writer else { return Ok(None) };
        let tampered = |what: String| Err(LogError::Tampered { what, at: Some(place.index) });
        let Some((environment, key)) = policy.and_then(|policy| policy.writer(&named.key)) else {
            return tampered(format!("its writer key {} is none of the policy in force", named.key));
        };
        let Some(writer) = &self.writer else {
            return tampered(format!("nothing here can verify its writer key {}", named.key));
        };
        if named.previous != place.previous {
            return tampered(format!("the writer of {environment} wrote it after another entry"));
        }
        if !holds(writer.as_ref(), key, place.index, leaf, named) {
            return tampered(format!("the signature of the writer of {environment} does not hold here"));
        }
        Ok(Some(Wrote { environment: environment.clone(), key: key.clone() }))
    }

    /// The keys of whom a snapshot is believed; `None` if anybody's is, because the trusted policy names no writers.
    ///
    /// This run's own key, if it is one; whoever has none believes those of the environments that nothing comes from.
    pub(super) fn anchors(&self) -> Option<Vec<WriterKey>> {
        let policy = self.policy.as_ref().filter(|policy| policy.has_writers())?;
        if let Some(own) = self.own(Some(policy)) {
            return Some(vec![own.key]);
        }
        let last = policy.last().filter_map(|name| policy.environments.get(name));
        Some(last.flat_map(|environment| environment.writer.iter().cloned()).collect())
    }

    /// Whether a fold may begin at this leaf: one of `anchors` wrote it there.
    pub(super) fn begins_at(&self, anchors: &[WriterKey], place: Place, leaf: &Leaf) -> bool {
        let (Some(writer), Some(named)) = (&self.writer, &leaf.writer) else { return false };
        let mut keys = anchors.iter().filter(|key| key.id() == named.key);
        named.previous == place.previous && keys.any(|key| holds(writer.as_ref(), key, place.index, leaf, named))
    }
}

fn holds(writer: &dyn Writer, key: &WriterKey, index: u64, leaf: &Leaf, named: &LeafWriter) -> bool {
    leaf.signed_bytes(index).is_ok_and(|bytes| writer.verify(key, &bytes, &named.signature))
}

/// The place after a leaf with these bytes, which has index `index`.
pub(super) fn after(index: u64, bytes: &[u8]) -> Place {
    Place { index: index + 1, previous: Some(Digest::of(bytes)) }
}
