//! Signed statements: bytes in, facts out.
//!
//! [`sshsig`] says who signed which bytes with an SSH key; [`signer`] has such signatures made by `ssh-keygen`.

pub mod signer;
pub mod sshsig;

mod envelope;
