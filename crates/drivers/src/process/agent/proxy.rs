//! The front: an HTTP/1.1 reverse proxy whose backend is swapped in one step.
//!
//! Connections of clients stay open over a swap; requests under way end on the backend on which they began. A request that
//! may be repeated is sent once more on a fresh connection if its first, kept one turned out to be closed.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Empty, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    http::{request, uri::Authority},
    server::conn::http1,
    service::service_fn,
    upgrade,
};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::AbortHandle,
};

/// The most connections of clients at a time. Further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take to send the head of a request, and may keep an idle connection.
const CLIENT_IDLE: Duration = Duration::from_secs(120);
/// How long a connection to a backend is kept for the next request. Common servers close an idle one after five seconds.
const BACKEND_IDLE: Duration = Duration::from_secs(4);
/// How long connecting to a backend on this machine may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

type Outgoing = Either<Incoming, Empty<Bytes>>;
type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// One service as the front sees it.
pub(super) struct Backend {
    authority: Authority,
    /// Keeps connections.
    pool: Client<HttpConnector, Outgoing>,
    /// Never reuses one.
    fresh: Client<HttpConnector, Outgoing>,
    /// Requests under way, tunnels among them.
    busy: watch::Sender<usize>,
}

impl Backend {
    /// The service on this port of 127.0.0.1.
    pub(super) fn new(port: u16) -> io::Result<Arc<Self>> {
        let authority = Authority::try_from(format!("127.0.0.1:{port}")).map_err(io::Error::other)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(BACKEND_IDLE).set_host(false);
        let pool = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        Ok(Arc::new(Self { authority, pool, fresh, busy: watch::Sender::new(0) }))
    }

    /// Waits until no request is under way, but no longer than `limit`.
    pub(super) async fn drain(&self, limit: Duration) {
        let mut busy = self.busy.subscribe();
        // Whoever is not done by then is cut off: that is what the limit is for.
        let _ = tokio::time::timeout(limit, busy.wait_for(|busy| *busy == 0)).await;
    }
}

/// Counts one request for as long as it lives.
struct Busy(Arc<Backend>);

impl Busy {
    fn new(backend: &Arc<Backend>) -> Self {
        backend.busy.send_modify(|busy| *busy += 1);
        Self(backend.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy = busy.saturating_sub(1));
    }
}

/// A body that keeps its request counted until it was passed on completely.
struct Counted {
    body: Incoming,
    _busy: Busy,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The listening side.
pub(super) struct Front {
    target: Arc<RwLock<Option<Arc<Backend>>>>,
    listeners: RwLock<BTreeMap<SocketAddr, AbortHandle>>,
    slots: Arc<Semaphore>,
}

impl Front {
    /// A front that listens nowhere and forwards to nothing.
    pub(super) fn new() -> Self {
        Self { target: Arc::default(), listeners: RwLock::default(), slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }

    /// Forwards to `backend` from now on.
    pub(super) fn set(&self, backend: Option<Arc<Backend>>) {
        *self.target.write().unwrap_or_else(PoisonError::into_inner) = backend;
    }

    /// Listens on `address` too.
    pub(super) async fn listen(&self, address: SocketAddr) -> io::Result<()> {
        if self.listening().contains(&address) {
            return Ok(());
        }
        let listener = TcpListener::bind(address).await?;
        let accept = tokio::spawn(accept(listener, self.target.clone(), self.slots.clone()));
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = listeners.insert(address, accept.abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    /// Accepts no further connections elsewhere. Open ones go on.
    pub(super) fn listen_only(&self, address: SocketAddr) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|at, accept| {
            if *at != address {
                accept.abort();
            }
            *at == address
        });
    }

    /// Accepts no further connections.
    pub(super) fn close(&self) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *listeners).values().for_each(AbortHandle::abort);
    }

    /// The addresses on which it listens.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

async fn accept(listener: TcpListener, target: Arc<RwLock<Option<Arc<Backend>>>>, slots: Arc<Semaphore>) {
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely: some will be given back.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let target = target.clone();
        tokio::spawn(async move {
            serve(stream, peer, target).await;
            drop(slot);
        });
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, target: Arc<RwLock<Option<Arc<Backend>>>>) {
    // Without it answers wait for acknowledgements; where it cannot be set they just do.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let busy = {
            // Counted under the lock: whoever swaps the target afterwards sees this request when draining.
            let target = target.read().unwrap_or_else(PoisonError::into_inner);
            target.as_ref().map(Busy::new)
        };
        async move { Ok::<_, Infallible>(answer(request, peer, busy).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(CLIENT_IDLE);
    // How a connection ends is between its two ends.
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(request: Request<Incoming>, peer: SocketAddr, busy: Option<Busy>) -> Answer {
    let Some(busy) = busy else { return own(StatusCode::BAD_GATEWAY, "sealift: no release is live here\n") };
    if request.method() == Method::CONNECT {
        return own(StatusCode::METHOD_NOT_ALLOWED, "sealift: CONNECT is not forwarded\n");
    }
    let (mut parts, body) = request.into_parts();
    let client = parts.extensions.remove::<upgrade::OnUpgrade>();
    let wanted = wanted_upgrade(&parts.headers);
    rewrite(&mut parts, peer, &busy.0.authority, wanted.as_ref());
    match exchange(&busy.0, parts, body).await {
        Ok(response) => pass_on(response, client.filter(|_| wanted.is_some()), busy),
        Err(error) => {
            let what = if error.is_connect() { "does not accept connections" } else { "broke off" };
            own(StatusCode::BAD_GATEWAY, &format!("sealift: the live release {what}\n"))
        }
    }
}

/// Sends the request, at most once more on a fresh connection if that is harmless (RFC 9110, section 9.2.2).
async fn exchange(
    backend: &Backend,
    parts: request::Parts,
    body: Incoming,
) -> Result<Response<Incoming>, legacy::Error> {
    // The pool itself repeats a request of which nothing was sent.
    if !(body.is_end_stream() && parts.method.is_idempotent()) {
        return backend.pool.request(Request::from_parts(parts, Either::Left(body))).await;
    }
    let empty = || Either::Right(Empty::new());
    match backend.pool.request(Request::from_parts(parts.clone(), empty())).await {
        Err(error) if !error.is_connect() => backend.fresh.request(Request::from_parts(parts, empty())).await,
        other => other,
    }
}

fn pass_on(mut response: Response<Incoming>, client: Option<upgrade::OnUpgrade>, busy: Busy) -> Answer {
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let wanted = wanted_upgrade(response.headers()).filter(|_| upgraded);
    remove_connection_fields(response.headers_mut());
    if !upgraded {
        return response.map(|body| BodyExt::boxed(Counted { body, _busy: busy }));
    }
    let (Some(protocol), Some(client)) = (wanted, client) else {
        return own(StatusCode::BAD_GATEWAY, "sealift: the live release changed the protocol unasked\n");
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, protocol);
    let server = upgrade::on(&mut response);
    tokio::spawn(async move {
        if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
            // The tunnel ends when either side closes or breaks it.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
        }
        drop(busy);
    });
    response.map(|_| nothing())
}

/// The protocol that a message asks to change to (RFC 9110, section 7.8).
fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = connection_options(headers).any(|option| option == header::UPGRADE);
    headers.get(header::UPGRADE).filter(|_| asked).cloned()
}

/// The names in `Connection`.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok())
}

/// Removes what concerns one connection only (RFC 9110, section 7.6.1).
fn remove_connection_fields(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_options(headers).collect();
    let known =
        [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE, header::PROXY_AUTHENTICATE];
    let old = ["keep-alive", "proxy-connection"].map(HeaderName::from_static);
    for name in named.iter().chain(&known).chain(&old) {
        headers.remove(name);
    }
}

/// Makes the request of a client the request to a backend.
fn rewrite(parts: &mut request::Parts, peer: SocketAddr, to: &Authority, upgrade: Option<&HeaderValue>) {
    let path = parts.uri.path_and_query().cloned();
    if parts.headers.get(header::HOST).is_none() {
        let host = parts.uri.authority().unwrap_or(to).as_str();
        parts.headers.extend(HeaderValue::from_str(host).ok().map(|host| (header::HOST, host)));
    }
    let uri = Uri::builder().scheme("http").authority(to.clone());
    // All parts of it were valid before.
    parts.uri = uri.path_and_query(path.map_or("/".to_owned(), |p| p.to_string())).build().unwrap_or_default();
    parts.version = Version::HTTP_11;
    remove_connection_fields(&mut parts.headers);
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
    }
    forwarded(&mut parts.headers, peer);
}

/// Tells the backend who asked. Only a proxy on this machine is believed when it says so itself.
fn forwarded(headers: &mut HeaderMap, peer: SocketAddr) {
    let (from, protocol) = (HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-forwarded-proto"));
    let trusted = peer.ip().is_loopback();
    let before: Vec<&str> = headers.get_all(&from).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut chain = if trusted { before.join(", ") } else { String::new() };
    if !chain.is_empty() {
        chain.push_str(", ");
    }
    chain.push_str(&peer.ip().to_string());
    headers.remove(&from);
    headers.extend(HeaderValue::from_str(&chain).ok().map(|chain| (from, chain)));
    if !trusted || !headers.contains_key(&protocol) {
        headers.insert(protocol, HeaderValue::from_static("http"));
    }
}

fn own(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::from(text.to_owned())).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn nothing() -> BoxBody<Bytes, hyper::Error> {
    Empty::new().map_err(|never: Infallible| match never {}).boxed()
}
