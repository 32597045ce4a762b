//! Whether a service on a port of this machine is up.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How much of a failing answer is kept, in bytes.
const MAX_BODY: usize = 64 << 10;

/// An answer that is not the one of a healthy service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unwell {
    /// What was seen, in words.
    pub(crate) found: String,
    /// The body of the answer, cut.
    pub(crate) body: Vec<u8>,
}

impl Unwell {
    fn new(found: impl Into<String>) -> Self {
        Self { found: found.into(), body: Vec::new() }
    }
}

/// Asks services on 127.0.0.1 for their health, each time on a fresh connection as a new client would.
pub(crate) struct HealthProbe(Client<HttpConnector, Empty<Bytes>>);

impl HealthProbe {
    /// A probe that keeps no connection.
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http())
    }

    /// One request for `path`, bypassing the front. Well is any answer with 2xx or 3xx.
    pub(crate) async fn ask(&self, port: u16, path: &str) -> Result<(), Unwell> {
        let late = |_| Unwell::new(format!("no answer within {ANSWER_WITHIN:?}"));
        tokio::time::timeout(ANSWER_WITHIN, self.answer(port, path)).await.map_err(late)?
    }

    async fn answer(&self, port: u16, path: &str) -> Result<(), Unwell> {
        let request = Request::get(format!("http://127.0.0.1:{port}{path}")).header(header::USER_AGENT, "sealift");
        let request = request.body(Empty::new()).map_err(|e| Unwell::new(e.to_string()))?;
        let response = self.0.request(request).await.map_err(|error| {
            Unwell::new(if error.is_connect() {
                "it does not accept connections"
            } else {
                "it breaks off instead of answering"
            })
        })?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        // A body that is too large or breaks off says no more than the status.
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Err(Unwell { found: in_words(status), body: body.map(|b| b.to_bytes().to_vec()).unwrap_or_default() })
    }
}

fn in_words(status: StatusCode) -> String {
    format!("it answers {status}")
}
