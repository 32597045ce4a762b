//! Signatures of people, and tokens that speak for workloads.

use jiff::Timestamp;
use sealift_domain::policy::IdentityProvider;

/// Checks signatures made by people over statements, and tokens of identity providers.
pub trait Signatures: Send + Sync {
    /// Whether `signature` is `key`'s over `message` in `namespace`; if not, why.
    fn verify(&self, key: &str, namespace: &str, message: &[u8], signature: &[u8]) -> Result<(), String>;

    /// The public key that a signature says it was made with, in OpenSSH form without comment.
    fn key_of(&self, signature: &[u8]) -> Result<String, String>;

    /// What a token says, if one of these providers made it and it is valid at `now`; if not, why.
    fn token(&self, token: &[u8], providers: &[IdentityProvider], now: Timestamp) -> Result<Claims, String> {
        let _ = (token, providers, now);
        Err("this program verifies no tokens".to_owned())
    }
}

/// What a token says of the workload that it speaks for. All of it is the issuer's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Which of the providers made it.
    pub provider: IdentityProvider,
    /// The token in its one spelling: however it was spelt, the same token is found again.
    pub token: Vec<u8>,
    /// The claim `sub`.
    pub subject: String,
    /// The claim `exp`.
    pub expires_at: Timestamp,
    /// The account that started the run: GitHub's claim `actor`.
    pub actor: Option<String>,
    /// The number of that account: GitHub's claim `actor_id`.
    pub actor_id: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The run.
    pub run_id: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The branch or tag.
    pub reference: Option<String>,
    /// The workflow, with the branch or tag that it was read from.
    pub workflow_ref: Option<String>,
}
