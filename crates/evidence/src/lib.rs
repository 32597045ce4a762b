//! Signed statements: bytes in, facts out.
//!
//! [`claim`] says what documents say: SBOMs, reports of scanners, provenance, test results, VEX.
//! [`sshsig`] says who signed which bytes with an SSH key; [`signer`] has such signatures made by `ssh-keygen`.
//! [`oidc`] says what an identity provider says of a workload.
//!
//! [`read`] is the door for evidence about images, whatever it is wrapped in: [`cosign`]'s signatures, envelopes ([`dsse`]) and
//! Sigstore bundles ([`bundle`]), by a [`public_key`] or a certificate. What is inside says something ([`claim`]). [`signing`] makes envelopes and bundles.

pub mod anchors;
pub mod bundle;
pub mod claim;
pub mod cosign;
pub mod dsse;
pub mod oidc;
pub mod public_key;
pub mod read;
pub mod signer;
pub mod signing;
pub mod sshsig;

mod der;
mod envelope;
mod keyless;
mod pem;
