//! Health checks, availability probes and notices: what Sealift asks of a deployed release, and how it tells people.
//!
//! [`Probes`] implements the engine's `Prober` port, [`Webhook`] its `Notifier` port. Both only ever fail closed: a
//! check that could not be carried out is a failed check that says why.

mod availability;
mod client;
mod command;
mod http;
mod http_answer;
mod identity_token;
mod logs;
mod placeholders;
mod prober;
mod reuse;
mod tally;
mod text;
mod webhook;
mod webhook_secret;

pub use identity_token::identity_token;
pub use prober::Probes;
pub use webhook::{Webhook, WebhookError};
pub use webhook_secret::{SecretError, SignedHeaders, VerifyError, WebhookSecret, verify};
