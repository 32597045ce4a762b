//! Signatures made by the real OpenSSH and OpenSSL, by Python and by Sigstore's own programs, documents in the shapes of real
//! tools, and damaged ones.

// Clippy's allowances for tests do not reach the helper functions beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod claim;
mod cosign;
mod damaged;
mod hostile;
mod keyed;
mod keyless;
mod material;
mod oidc;
mod openssh;
mod security_key;
mod signing;
mod support;
