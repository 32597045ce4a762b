//! The token that GitHub Actions gives a job that asks for it
//! (GitHub, "OpenID Connect reference", "Methods for requesting the OIDC token").

use std::time::Duration;

use reqwest::header;
use serde_json::Value;

use crate::{client, text};

/// How long the request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes. A token has about 2,000.
const MAX_ANSWER: usize = 64 << 10;

/// Asks for a token for `audience`. `url` and `bearer` are what the runner gives the job; neither is repeated in an error.
///
/// # Errors
/// Why there is none.
pub async fn identity_token(url: &str, bearer: &str, audience: &str) -> Result<Vec<u8>, String> {
    let mut url = reqwest::Url::parse(url).map_err(|_| "the address to ask for a token is no URL".to_owned())?;
    let plain = url.scheme() == "http" && client::is_loopback(&url);
    if url.scheme() != "https" && !plain {
        return Err("the address to ask for a token is not `https`, so the request for it could be read".to_owned());
    }
    url.query_pairs_mut().append_pair("audience", audience);
    let client = client::builder(&url).timeout(TIMEOUT).build();
    let client = client.map_err(|e| format!("the HTTP client cannot be set up: {}", text::innermost(&e)))?;
    let asked = client.get(url).bearer_auth(bearer).header(header::ACCEPT, "application/json");
    let mut response = asked.send().await.map_err(|error| client::no_answer(&error))?;
    if !response.status().is_success() {
        return Err(format!("the runner answered {}", response.status()));
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| client::no_answer(&error))? {
        if answer.len() + chunk.len() > MAX_ANSWER {
            return Err("the runner's answer is too long".to_owned());
        }
        answer.extend_from_slice(&chunk);
    }
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| "the runner's answer is not JSON".to_owned())?;
    match answer["value"].as_str() {
        Some(token) if !token.is_empty() => Ok(token.as_bytes().to_vec()),
        _ => Err("the runner's answer has no token".to_owned()),
    }
}
