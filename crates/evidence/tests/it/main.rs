//! Signatures made by the real OpenSSH and OpenSSL, and damaged ones.

// Clippy's allowances for tests do not reach the helper functions beside them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod cosign;
mod damaged;
mod oidc;
mod openssh;
mod security_key;
mod support;
