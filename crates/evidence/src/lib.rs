//! Signed statements: bytes in, facts out.
//!
//! [`sshsig`] says who signed which bytes with an SSH key; [`signer`] has such signatures made by `ssh-keygen`.
//!
//! [`read`] is the door for evidence about images, whatever it is wrapped in: [`cosign`]'s signatures, envelopes ([`dsse`]) and
//! Sigstore bundles ([`bundle`]), by a [`public_key`] or a certificate. [`signing`] makes envelopes and bundles.

pub mod anchors;
pub mod bundle;
pub mod cosign;
pub mod dsse;
pub mod public_key;
pub mod read;
pub mod signer;
pub mod signing;
pub mod sshsig;

mod der;
mod envelope;
mod keyless;
mod pem;
