//! Whether a request ran on a connection that was there before, and how the connection ended.

use std::{
    cell::Cell,
    error::Error,
    future::Future,
    io::ErrorKind,
    task::{Context, Poll},
};

use reqwest::ClientBuilder;
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// Whether the request of this task had a connection opened. The client opens connections on the task of the request
    /// that wants one.
    static OPENED: Cell<bool>;
}

/// Has a client tell [`observed`] when it opens a connection.
pub(crate) fn observable(builder: ClientBuilder) -> ClientBuilder {
    builder.connector_layer(Observing)
}

/// Runs a request of an [`observable`] client, and returns with its outcome whether it opened no connection. While many
/// requests run beside each other, one that opens a connection may be served by another that has just become free; it counts
/// as having opened one.
pub(crate) async fn observed<F: Future>(request: F) -> (F::Output, bool) {
    OPENED
        .scope(Cell::new(false), async {
            let outcome = request.await;
            (outcome, OPENED.with(|opened| !opened.get()))
        })
        .await
}

/// Whether a request failed because its connection was closed, and not because of what came over it.
pub(crate) fn was_closed(error: &reqwest::Error) -> bool {
    if error.is_timeout() || error.is_connect() {
        return false;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_incomplete_message() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            // Without its closing alert, the end of a TLS connection is an unexpected end (RFC 8446, section 6.1).
            let closed = [
                ErrorKind::ConnectionReset,
                ErrorKind::ConnectionAborted,
                ErrorKind::BrokenPipe,
                ErrorKind::UnexpectedEof,
            ];
            return closed.contains(&error.kind());
        }
        cause = error.source();
    }
    false
}

/// Wraps what opens connections.
#[derive(Clone, Copy, Debug)]
struct Observing;

/// Opens connections, and notes it.
#[derive(Clone, Debug)]
struct Observed<S>(S);

impl<S> Layer<S> for Observing {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observed(inner)
    }
}

impl<S: Service<R>, R> Service<R> for Observed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Outside of `observed` nobody asks.
        OPENED.try_with(|opened| opened.set(true)).ok();
        self.0.call(request)
    }
}
