//! Signatures made by the real OpenSSH and OpenSSL, by Python and by Sigstore's own programs, and damaged ones.

// Clippy's allowances for tests do not reach the helper functions beside them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod cosign;
mod damaged;
mod hostile;
mod keyed;
mod keyless;
mod material;
mod openssh;
mod security_key;
mod signing;
mod support;
