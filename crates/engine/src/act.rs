//! What persons sign beside decisions: read, verified, and compared with what is to be done.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealift_domain::{
    approval::{ACT_NAMESPACE, Act, ActStatement, ApprovalStatement, Proof, RequestStatement, STATEMENT_VERSION},
    digest::Digest,
    ledger::Ledger,
    name::{PersonId, Role},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::EngineError, places, ports::signature::Signatures};

/// The longest statement that is read, in bytes. A release of a hundred components has about 20,000.
const MAX_STATEMENT: usize = 256 << 10;
/// The longest signature that is read, in bytes. One by an RSA key of 4096 bits has about 1,700.
const MAX_SIGNATURE: usize = 16 << 10;
/// The digits of a nonce: 128 bits.
const NONCE_DIGITS: usize = 32;

/// Signed bytes, as they are handed in.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The bytes.
    pub statement: Vec<u8>,
    /// The armoured signature.
    pub signature: Vec<u8>,
}

impl Signed {
    /// The objects to be kept beside the log.
    pub fn objects(&self) -> Vec<Vec<u8>> {
        vec![self.statement.clone(), self.signature.clone()]
    }

    /// What was signed. It must be spelled exactly as this program spells it: the log keeps what was understood, and an audit
    /// compares that with the signed bytes. What is in the log already is not asked for this.
    ///
    /// # Errors
    /// [`EngineError::Statement`].
    pub(crate) fn says<T: Statement>(&self) -> Result<T, EngineError> {
        let said: T = serde_json::from_slice(&self.statement).map_err(|e| EngineError::Statement(e.to_string()))?;
        let wrong = |why: &str| Err(EngineError::Statement(why.to_owned()));
        if !serde_json::to_vec(&said).is_ok_and(|spelled| spelled == self.statement) {
            return wrong("it is spelled otherwise than this program spells it, so that an audit could not compare it");
        }
        let nonce = said.nonce();
        if nonce.len() != NONCE_DIGITS || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return wrong("its nonce is not 32 hexadecimal digits");
        }
        Ok(said)
    }

    /// The person of the policy in force whose key made the signature, and the proof of it.
    ///
    /// # Errors
    /// The key is nobody's, or the signature does not hold in `namespace`.
    pub fn signer(
        &self,
        ledger: &Ledger,
        signatures: &dyn Signatures,
        namespace: &str,
    ) -> Result<(PersonId, Proof), EngineError> {
        let key = self.key(signatures)?;
        let (id, _) = places::policy(ledger)?.owner_of_key(&key).ok_or_else(|| EngineError::UnknownKey(key.clone()))?;
        Ok((id.clone(), self.proof(signatures, key, namespace)?))
    }

    /// The key that the signature says it was made with.
    pub(crate) fn key(&self, signatures: &dyn Signatures) -> Result<String, EngineError> {
        if self.statement.len() > MAX_STATEMENT || self.signature.len() > MAX_SIGNATURE {
            return Err(EngineError::Statement("it is longer than any that this program makes".to_owned()));
        }
        signatures.key_of(&self.signature).map_err(EngineError::Signature)
    }

    /// The proof, if the signature holds.
    pub(crate) fn proof(
        &self,
        signatures: &dyn Signatures,
        key: String,
        namespace: &str,
    ) -> Result<Proof, EngineError> {
        signatures.verify(&key, namespace, &self.statement, &self.signature).map_err(EngineError::Signature)?;
        let (statement, signature) = (Digest::of(&self.statement), Digest::of(&self.signature));
        Ok(Proof::Sshsig { key, statement, signature })
    }
}

/// What persons sign: compact JSON, with a nonce.
pub(crate) trait Statement: Serialize + DeserializeOwned {
    /// What tells it apart from another that says the same.
    fn nonce(&self) -> &str;
}

impl Statement for ActStatement {
    fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl Statement for ApprovalStatement {
    fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl Statement for RequestStatement {
    fn nonce(&self) -> &str {
        &self.nonce
    }
}

/// What `person` would sign to do something.
pub fn statement(
    ledger: &Ledger,
    act: Act,
    person: &PersonId,
    reason: String,
    now: Timestamp,
    nonce: String,
) -> Result<ActStatement, EngineError> {
    let app = places::policy(ledger)?.app.clone();
    Ok(ActStatement { v: STATEMENT_VERSION, app, act, person: person.clone(), reason, issued_at: now, nonce })
}

/// Reads a signed act, and tells whose it is. It must have been signed just now by whom it names.
pub fn read(
    ledger: &Ledger,
    signatures: &dyn Signatures,
    signed: &Signed,
    now: Timestamp,
) -> Result<(ActStatement, Proof), EngineError> {
    let (id, proof) = signed.signer(ledger, signatures, ACT_NAMESPACE)?;
    let statement: ActStatement = signed.says()?;
    let wrong = |why: &str| Err(EngineError::Statement(why.to_owned()));
    if statement.v != STATEMENT_VERSION {
        return wrong("it has a form that this program does not know");
    }
    if statement.app != places::policy(ledger)?.app {
        return wrong("it is about another application");
    }
    if statement.person != id {
        return wrong("it is in another's name");
    }
    if !statement.is_fresh(now) {
        return wrong("it was not signed just now");
    }
    if statement.reason.trim().is_empty() {
        return wrong("it says no reason");
    }
    Ok((statement, proof))
}

/// That a person has one of these roles.
///
/// # Errors
/// [`EngineError::MayNot`].
pub fn has_role(ledger: &Ledger, who: &PersonId, roles: &BTreeSet<Role>) -> Result<(), EngineError> {
    let person = places::policy(ledger)?.people.get(who);
    if person.is_some_and(|person| !person.roles.is_disjoint(roles)) {
        return Ok(());
    }
    let roles: Vec<&str> = roles.iter().map(Role::as_str).collect();
    Err(EngineError::MayNot { who: who.clone(), why: format!("it takes the role {}", roles.join(" or ")) })
}
