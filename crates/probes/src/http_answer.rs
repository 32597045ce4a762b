//! One request of an HTTP check, and the comparison of its answer with what is expected.

use std::time::Duration;

use reqwest::{Client, Response, Url, header::HeaderMap};
use sealift_domain::check::HttpCheck;
use sealift_engine::ports::probe::CheckContext;
use serde_json::Value;

use crate::{
    client,
    placeholders::{self, PlaceholderError},
    text::{OUTPUT_LIMIT, excerpt},
};

/// What a check expects, with every placeholder filled.
pub(crate) struct Expected {
    pub(crate) url: Url,
    status: u16,
    body: Option<String>,
    json: Vec<(String, Value)>,
}

/// An answer that is not as expected, or the lack of one.
pub(crate) struct Bad {
    /// What was seen, in one line.
    pub(crate) summary: String,
    /// Status line, headers and body; empty if there was no answer.
    pub(crate) output: Vec<u8>,
    /// Whether time ran out before the answer was complete.
    pub(crate) timed_out: bool,
}

impl Expected {
    /// Fills the placeholders of `check` from `context`.
    pub(crate) fn of(check: &HttpCheck, context: &CheckContext) -> Result<Self, String> {
        let fill = |text: &str| placeholders::fill(text, &context.values);
        let told = |e: PlaceholderError| e.to_string();
        let field = |(path, value): (&String, &Value)| {
            Ok((path.clone(), placeholders::fill_json(value, &context.values).map_err(told)?))
        };
        Ok(Self {
            url: client::parse_url(&fill(&check.http).map_err(told)?)?,
            status: check.status,
            body: check.body.as_deref().map(fill).transpose().map_err(told)?,
            json: check.json.iter().map(field).collect::<Result<_, String>>()?,
        })
    }

    /// Asks once; the whole answer must arrive within `timeout`. Returns the status of a good answer.
    pub(crate) async fn ask(&self, client: &Client, timeout: Duration) -> Result<u16, Bad> {
        let sent = client.get(self.url.clone()).timeout(timeout).send().await;
        let response = sent.map_err(|e| Bad::no_answer(&e))?;
        let status = response.status();
        let head = head(&response);
        let (body, whole) = read_bounded(response).await.map_err(|e| Bad::no_answer(&e))?;
        match self.compare(status.as_u16(), &body, whole) {
            Ok(()) => Ok(status.as_u16()),
            Err(reason) => {
                let parts = [status.as_str(), &excerpt(&body), &reason];
                let summary = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
                let mut output = head;
                output.extend_from_slice(&body);
                output.truncate(OUTPUT_LIMIT);
                Err(Bad { summary, output, timed_out: false })
            }
        }
    }

    // The reason is empty when status and body speak for themselves.
    fn compare(&self, status: u16, body: &[u8], whole: bool) -> Result<(), String> {
        if status != self.status {
            return Err(if (200..400).contains(&status) {
                format!("(expected {})", self.status)
            } else {
                String::new()
            });
        }
        let limit = if whole { "" } else { " in its first 64 KiB" };
        if let Some(text) = &self.body
            && !contains(body, text.as_bytes())
        {
            return Err(format!("(the body has no `{}`{limit})", excerpt(text.as_bytes())));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        if !whole {
            return Err("(the body is longer than the 64 KiB that are read as JSON)".to_owned());
        }
        let document: Value = serde_json::from_slice(body).map_err(|e| format!("(the body is not JSON: {e})"))?;
        self.json.iter().try_for_each(|(path, expected)| compare_field(&document, path, expected))
    }
}

impl Bad {
    /// A check that could not even be asked.
    pub(crate) fn unasked(summary: String) -> Self {
        Self { summary, output: Vec::new(), timed_out: false }
    }

    fn no_answer(error: &reqwest::Error) -> Self {
        Self { timed_out: error.is_timeout(), ..Self::unasked(client::no_answer(error)) }
    }
}

fn compare_field(document: &Value, path: &str, expected: &Value) -> Result<(), String> {
    let quote = |value: &Value| excerpt(value.to_string().as_bytes());
    match lookup(document, path) {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!("(`{path}` is {}, expected {})", quote(found), quote(expected))),
        None => Err(format!("(there is no `{path}`, expected {})", quote(expected))),
    }
}

// Steps through objects by key and through arrays by index, counted from 0.
fn lookup<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

// Cookies are left out: they can be credentials, and the output is kept as evidence.
fn head(response: &Response) -> Vec<u8> {
    let mut head = format!("{:?} {}\r\n", response.version(), response.status()).into_bytes();
    append_headers(&mut head, response.headers());
    head.extend_from_slice(b"\r\n");
    head
}

fn append_headers(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        let value = if name == "set-cookie" { b"(left out)" } else { value.as_bytes() };
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
}

// The body, cut to the limit, and whether that was all of it.
async fn read_bounded(mut response: Response) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = OUTPUT_LIMIT - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(json: Value) -> Expected {
        let check = serde_json::from_value(json).unwrap();
        let values = [("commit".to_owned(), "abc".to_owned())].into();
        Expected::of(&check, &CheckContext { values, ..CheckContext::default() }).unwrap()
    }

    #[test]
    fn fields_are_compared_as_json_values() {
        let body = br#"{"status":"ok","n":1,"a":{"b":[{"c":null}]},"version":"abc"}"#;
        let all =
            serde_json::json!({"status": "ok", "n": 1, "a.b.0.c": null, "version": "{commit}", "a.b": [{"c": null}]});
        expected(serde_json::json!({"http": "http://h/", "json": all})).compare(200, body, true).unwrap();
        for (field, value, reason) in [
            ("status", serde_json::json!("bad"), r#"(`status` is "ok", expected "bad")"#),
            ("n", serde_json::json!("1"), r#"(`n` is 1, expected "1")"#),
            ("a.b.1", serde_json::json!(null), "(there is no `a.b.1`, expected null)"),
            ("status.x", serde_json::json!(1), "(there is no `status.x`, expected 1)"),
        ] {
            let expected = expected(serde_json::json!({"http": "http://h/", "json": {field: value}}));
            assert_eq!(expected.compare(200, body, true).unwrap_err(), reason);
        }
    }

    #[test]
    fn status_and_body_are_compared() {
        let check = expected(serde_json::json!({"http": "http://h/", "body": "release {commit}"}));
        check.compare(200, b"this is release abc.", true).unwrap();
        assert_eq!(check.compare(200, b"release ab", true).unwrap_err(), "(the body has no `release abc`)");
        assert!(check.compare(200, b"", false).unwrap_err().contains("in its first 64 KiB"));
        assert_eq!(check.compare(302, b"release abc", true).unwrap_err(), "(expected 200)");
        assert_eq!(check.compare(503, b"release abc", true).unwrap_err(), "");
    }

    #[test]
    fn a_body_that_cannot_be_read_as_json_fails() {
        let check = expected(serde_json::json!({"http": "http://h/", "json": {"a": 1}}));
        assert!(check.compare(200, b"<html>", true).unwrap_err().starts_with("(the body is not JSON"));
        assert!(check.compare(200, br#"{"a":1}"#, false).unwrap_err().contains("longer than the 64 KiB"));
    }

    #[test]
    fn a_placeholder_without_value_is_told() {
        let check =
            serde_json::from_value(serde_json::json!({"http": "http://h/", "json": {"v": "{commit}"}})).unwrap();
        let error = Expected::of(&check, &CheckContext::default()).err().unwrap();
        assert_eq!(error, "`{commit}` has no value here; known are: none");
    }
}
