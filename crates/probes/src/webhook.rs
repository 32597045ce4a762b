//! The `Notifier` for webhooks.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, header};
use sealift_engine::ports::{
    clock::Clock,
    notifier::{Delivery, Notifier, NotifyError},
};

use crate::{client, text, webhook_secret::WebhookSecret};

/// The most time one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal is read, in bytes.
const REFUSAL_LIMIT: usize = 4096;

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL is none, or of another scheme than `http` or `https`. It is a secret and not told.
    #[error("the URL of the webhook is not an http or https URL")]
    Url,
    /// There is no HTTP client, for instance because the machine has no root certificates.
    #[error("the HTTP client of the webhook cannot be set up: {0}")]
    Client(String),
}

/// Delivers notices by POST, signed as the Standard Webhooks specification says.
///
/// The path and query of a webhook URL are often its only protection, so they are never shown.
pub struct Webhook {
    url: Url,
    secret: Option<WebhookSecret>,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.receiver())
    }
}

impl Webhook {
    /// A webhook at `url`. Without a secret the notices are not signed, as for chat services that check nothing.
    ///
    /// # Errors
    /// [`WebhookError`] if the URL is none or no HTTP client can be set up.
    pub fn new(url: &str, secret: Option<WebhookSecret>, clock: Arc<dyn Clock>) -> Result<Self, WebhookError> {
        let url = client::parse_url(url.trim()).map_err(|_| WebhookError::Url)?;
        let client = client::builder(&url).timeout(TIMEOUT).build();
        let client = client.map_err(|e| WebhookError::Client(text::innermost(&e)))?;
        Ok(Self { url, secret, client, clock })
    }

    // Scheme, host and port.
    fn receiver(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn error(&self, transient: bool, reason: &str) -> NotifyError {
        NotifyError { transient, message: format!("webhook at {}: {reason}", self.receiver()) }
    }

    fn request(&self, delivery: &Delivery) -> reqwest::RequestBuilder {
        let sent = self.clock.now().as_second();
        let request = self.client.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json");
        let request = request.header("webhook-id", &delivery.id).header("webhook-timestamp", sent);
        let request = match &self.secret {
            Some(secret) => request.header("webhook-signature", secret.sign(&delivery.id, sent, &delivery.body)),
            None => request,
        };
        request.body(delivery.body.clone())
    }

    async fn refusal(&self, response: Response) -> NotifyError {
        let status = response.status();
        let said = self.without_secrets(text::excerpt(&read_some(response).await));
        let reason = format!("it answered {status} {said}");
        self.error(is_transient(status), reason.trim_end())
    }

    // A receiver may repeat the address in its refusal.
    fn without_secrets(&self, said: String) -> String {
        let parts = self.url.path().split('/').chain(self.url.query());
        let credentials = [self.url.username(), self.url.password().unwrap_or("")];
        // Shorter parts, such as `api`, are words and not secrets.
        let secret = |part: &str| part.len() >= 6 && said.contains(part);
        if parts.chain(credentials).any(secret) { "(an answer that repeats the address)".to_owned() } else { said }
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn deliver(&self, delivery: &Delivery) -> Result<(), NotifyError> {
        // The full stop separates the parts of the signed text; the rest of the rule is that of an HTTP header.
        if delivery.id.is_empty() || !delivery.id.bytes().all(|b| b.is_ascii_graphic() && b != b'.') {
            return Err(self.error(false, "the id of the notice must be visible ASCII without a full stop"));
        }
        match self.request(delivery).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(self.refusal(response).await),
            Err(error) => Err(self.error(!error.is_builder(), &client::no_answer(&error))),
        }
    }
}

// Trying again helps against overload and faults of the receiver, not against a refusal.
fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

// What could be read of a refusal; it only explains, so its loss is no failure of its own.
async fn read_some(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_LIMIT - body.len())]);
        if body.len() == REFUSAL_LIMIT {
            break;
        }
    }
    body
}
