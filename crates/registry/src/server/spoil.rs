//! What a scripted fault does to a request and to its answer.

use std::{io, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Response,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};

use super::{
    Shared,
    http::{Answer, Body, End, collect},
    line::Line,
    lock,
    route::Asked,
    script::Action,
};

/// What happens instead of doing what was asked.
pub(super) enum Instead {
    /// This is answered.
    Answer(Answer),
    /// The connection is reset.
    Reset,
    /// Nothing: the request goes on with its body.
    Nothing(Incoming),
}

/// The error that makes `hyper` drop a connection.
pub(super) fn reset() -> io::Error {
    io::Error::other("scripted to reset")
}

/// The part of a fault that comes before the request is looked at.
pub(super) async fn instead(asked: &Asked, path: &str, query: &str, body: Incoming) -> Instead {
    let answer = match &asked.action {
        Some(Action::Reset) => return Instead::Reset,
        Some(Action::ResetWithin(bytes)) => {
            read(body, *bytes).await;
            return Instead::Reset;
        }
        Some(Action::Hold(gate)) => {
            gate.pass().await;
            return Instead::Nothing(body);
        }
        Some(Action::Answer { status, headers, body: text }) => {
            let plain = Answer::new(*status).body(text.clone());
            headers.iter().fold(plain, |answer, (name, value)| answer.with(name, value))
        }
        Some(Action::Redirect(base)) => {
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            Answer::new(307).with("location", &format!("{base}{path}{query}"))
        }
        _ => return Instead::Nothing(body),
    };
    // Read first: a client that is still writing would otherwise see a broken connection, not the answer.
    let _ = collect(body, usize::MAX).await;
    Instead::Answer(answer)
}

/// Reads until so many bytes have come, or the end.
async fn read(mut body: Incoming, bytes: usize) {
    let mut seen = 0;
    while seen < bytes {
        let Some(Ok(frame)) = body.frame().await else { return };
        seen += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// The part of a fault that comes when the right answer is known.
pub(super) fn afterwards(
    (shared, line): (&Shared, &Arc<Line>),
    mut answer: Answer,
    action: Option<Action>,
    head: bool,
) -> io::Result<Response<Body>> {
    match action {
        Some(Action::ResetAfter) => return Err(reset()),
        Some(Action::Truncate(bytes)) => return Ok(answer.send_part(bytes, End::Cut(Arc::clone(line)))),
        Some(Action::Stall(bytes, gate)) => return Ok(answer.send_part(bytes, End::Gate(gate))),
        Some(Action::Endless) => return Ok(answer.send_endless()),
        Some(Action::Corrupt(offset)) => {
            let mut bytes = answer.body.to_vec();
            bytes.iter_mut().skip(offset).take(1).for_each(|byte| *byte ^= 1);
            answer.body = Bytes::from(bytes);
        }
        Some(Action::Header(name, value)) => set(&mut answer, &name, &value),
        Some(Action::OtherRange { told: Some(told), .. }) => set(&mut answer, "content-range", &told),
        Some(Action::MoveTag { repository, tag, digest }) => lock(&shared.store).set_tag(&repository, &tag, digest),
        _ => {}
    }
    Ok(answer.send(head))
}

fn set(answer: &mut Answer, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        answer.headers.insert(name, value);
    }
}
