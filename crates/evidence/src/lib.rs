//! Signed statements: bytes in, facts out.
//!
//! [`claim`] says what documents say: SBOMs, reports of scanners, provenance, test results, VEX.
//! [`sshsig`] says who signed which bytes with an SSH key; [`signer`] has such signatures made by `ssh-keygen`.
//! [`cosign`] says which image a signature is about and which [`public_key`] made it.

pub mod claim;
pub mod cosign;
pub mod public_key;
pub mod signer;
pub mod sshsig;

mod der;
mod envelope;
