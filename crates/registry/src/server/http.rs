//! Answers and bodies.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::json;

use super::{line::Line, script::Gate};

/// An answer before it is sent: its body is whole, so that a script can spoil it.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Box<HeaderMap>,
    pub(super) body: Bytes,
}

/// How a body goes on after its first part.
pub(super) enum End {
    /// When this gate opens.
    Gate(Gate),
    /// Never: the connection is closed when what was sent before is on its way.
    Cut(Arc<Line>),
}

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An error in the form of the specification ("Error Codes").
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": message, "detail": {}}]});
        Self::new(status).with(CONTENT_TYPE.as_str(), "application/json").body(body.to_string())
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer as it is. A HEAD request gets the length and no body.
    pub(super) fn send(self, head: bool) -> Response<Body> {
        let length = self.body.len();
        let body = if head { Bytes::new() } else { self.body };
        let mut response =
            respond(self.status, *self.headers, Full::new(body).map_err(|never| match never {}).boxed_unsync());
        if head && length > 0 {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        response
    }

    /// The full length is announced, and after `bytes` bytes the body goes on as `end` says.
    pub(super) fn send_part(self, bytes: usize, end: End) -> Response<Body> {
        let length = self.body.len();
        let first = self.body.slice(..bytes.min(length));
        let rest = self.body.slice(bytes.min(length)..);
        let start = stream::once(async move { Ok(Frame::data(first)) });
        let end = stream::once(async move {
            match end {
                End::Gate(gate) => gate.pass().await,
                End::Cut(line) => line.cut().await,
            }
            Ok(Frame::data(rest))
        });
        let body = StreamBody::new(futures_util::StreamExt::chain(start, end)).boxed_unsync();
        let mut response = respond(self.status, *self.headers, body);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    }

    /// Blanks without end, with the right headers.
    pub(super) fn send_endless(mut self) -> Response<Body> {
        self.headers.remove(CONTENT_LENGTH);
        let blanks = Bytes::from(vec![b' '; 64 << 10]);
        let body = StreamBody::new(stream::repeat_with(move || Ok(Frame::data(blanks.clone())))).boxed_unsync();
        respond(self.status, *self.headers, body)
    }
}

fn respond(status: u16, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    response
}

/// Why a request body was not taken.
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLarge,
    /// The client broke off.
    Broken,
}

/// A whole request body of at most `max` bytes.
pub(super) async fn collect(mut body: Incoming, max: usize) -> Result<Bytes, Unread> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Unread::Broken) };
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > max {
                return Err(Unread::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}
