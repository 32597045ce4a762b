//! What evidence is verified with: the keys and trust roots of a policy, parsed once.

use std::collections::BTreeMap;

use sealift_domain::{
    digest::Digest,
    evidence::{Signer, Trust},
};

use crate::{
    keyless::Root,
    public_key::{PublicKey, PublicKeyError},
};

/// Whose signatures are looked for. Parsed once for a run.
pub struct Anchors {
    pub(crate) keys: Vec<PublicKey>,
    /// The same keys as facts, in the same order.
    signers: Vec<Signer>,
    pub(crate) roots: Vec<Root>,
}

/// Why a key or a trust root of the policy cannot be verified with. Nothing is verified then: a signature that cannot be seen is
/// not the same as none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// A key.
    #[error("the public key whose PEM has the SHA-256 {} cannot be used: {why}", .pem.short())]
    Key {
        /// The digest of its PEM.
        pem: Digest,
        /// Why.
        why: PublicKeyError,
    },
    /// A trust root.
    #[error("the trust root whose JSON has the SHA-256 {} cannot be used: {why}", .json.short())]
    Root {
        /// The digest of its JSON.
        json: Digest,
        /// Why.
        why: &'static str,
    },
}

impl Anchors {
    /// What any of `trusts` needs. Several may name the same key or root.
    ///
    /// # Errors
    /// [`AnchorError`], which says which key or root cannot be used.
    pub fn new<'a>(trusts: impl IntoIterator<Item = &'a Trust>) -> Result<Self, AnchorError> {
        let (mut keys, mut roots) = (BTreeMap::new(), BTreeMap::new());
        for trust in trusts {
            match trust {
                Trust::Keys(named) => keys.extend(named.iter().map(|key| (key.pem(), key))),
                Trust::Identity(identity) => {
                    roots.insert(identity.trust_root.digest(), &identity.trust_root);
                }
            }
        }
        let mut anchors = Self { keys: Vec::new(), signers: Vec::new(), roots: Vec::new() };
        for (pem, named) in keys {
            let key =
                PublicKey::from_pem(pem).map_err(|why| AnchorError::Key { pem: Digest::of(pem.as_bytes()), why })?;
            anchors.signers.push(Signer::Key { key: named.clone(), fingerprint: key.fingerprint() });
            anchors.keys.push(key);
        }
        for (json, root) in roots {
            anchors.roots.push(Root::read(root).map_err(|why| AnchorError::Root { json, why })?);
        }
        Ok(anchors)
    }

    /// The signers that keys at these places are.
    pub(crate) fn signers(&self, places: &[usize]) -> Vec<Signer> {
        places.iter().filter_map(|place| self.signers.get(*place)).cloned().collect()
    }
}
