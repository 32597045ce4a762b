//! Signed statements: bytes in, facts out.
//!
//! [`sshsig`] says who signed which bytes with an SSH key; [`signer`] has such signatures made by `ssh-keygen`.
//! [`oidc`] says what an identity provider says of a workload.
//! [`cosign`] says which image a signature is about and which [`public_key`] made it.

pub mod cosign;
pub mod oidc;
pub mod public_key;
pub mod signer;
pub mod sshsig;

mod der;
mod envelope;
