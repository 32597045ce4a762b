//! One HTTP request: authorised, redirected, counted, bounded in time, and tried again where that is safe.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Body, Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION},
};
use sealift_domain::{digest::Digest, reference::Repository};
use sealift_engine::ports::{
    clock::Clock,
    registry::{RegistryError, RegistryErrorKind},
};

use crate::{
    auth::Auth,
    budget::Budget,
    endpoint::{Hosts, is_loopback, origin},
    error::{Words, causes, refused, subject},
    mirrors::Mirrors,
    rate::{Lane, Place, Rates},
    referrers::Lists,
    retry::{Again, Failure, LONGEST_WAIT, after_answer, retrying},
    scope::Scopes,
    shelf::Shelf,
    tls::OverHttp1,
};

/// How many redirects one request follows.
const MAX_REDIRECTS: usize = 5;
/// How much of an error body is read, in bytes.
const MAX_ERROR_BODY: usize = 16 << 10;

/// What all operations of a client share.
pub(crate) struct Shared {
    /// For hosts of this machine: no proxy, no TLS.
    pub(crate) direct: reqwest::Client,
    /// For everything else.
    pub(crate) client: reqwest::Client,
    /// The same, to learn why connections end.
    pub(crate) over_http1: OverHttp1,
    pub(crate) hosts: Hosts,
    pub(crate) mirrors: Mirrors,
    pub(crate) auth: Auth,
    pub(crate) clock: Arc<dyn Clock>,
    /// The longest time without a byte.
    pub(crate) idle: Duration,
    /// The longest time a registry may take to complete an upload after its last byte.
    pub(crate) commit: Duration,
    /// How fast each host may be asked.
    pub(crate) rates: Rates,
    /// What blobs on their way may take.
    pub(crate) budget: Budget,
    /// What is known of each host's list of referrers.
    pub(crate) lists: Lists,
    /// Turns at writing the list of referrers of an image.
    pub(crate) turns: Shelf<(Repository, Digest), ()>,
}

/// The transport of one operation, with its own count of requests.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: Arc<AtomicU64>,
    wide: Option<Wide>,
}

/// Repositories that one operation uses with one token, and the scopes of that.
#[derive(Clone)]
struct Wide {
    repositories: Vec<Repository>,
    scopes: Scopes,
}

/// A request that can be sent more than once.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) repository: Repository,
    /// What it is about, for errors: `manifest sha256:…`.
    pub(crate) what: String,
    pub(crate) url: Url,
    pub(crate) scopes: Scopes,
    /// Scopes of the whole operation, for one token instead of several where the token server gives it.
    pub(crate) wide: Option<Scopes>,
    pub(crate) lane: Lane,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// The statuses that the caller handles; every other one is an error.
    pub(crate) expect: &'static [u16],
}

impl Call {
    /// The words that every error about this call begins with.
    pub(crate) fn subject(&self) -> String {
        subject(&self.method, &self.repository, &self.what)
    }

    /// The same call with one more header.
    pub(crate) fn header(mut self, name: reqwest::header::HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }
}

/// Whether the registry itself asks for a login. The host of a redirect has no business with the registry's credentials,
/// and must not name the realm that they are sent to.
pub(crate) fn is_challenge(call: &Call, response: &Response) -> bool {
    response.status() == StatusCode::UNAUTHORIZED && origin(response.url()) == origin(&call.url)
}

/// What an answer says about the host's load.
fn heard(place: &Place, response: &Response) {
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => place.too_much(),
        _ => place.good(),
    }
}

impl Http {
    /// A transport with a count of its own.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, requests: Arc::default(), wide: None }
    }

    /// The same transport for an operation that reads one repository and writes another: one token is asked for reading and
    /// writing, and within one registry for both repositories.
    pub(crate) fn between(&self, from: &Repository, to: &Repository) -> Self {
        let mut wide = Wide { repositories: vec![to.clone()], scopes: Scopes::push(to) };
        if from.registry() == to.registry() && from != to {
            wide.repositories.push(from.clone());
            wide.scopes = wide.scopes.and_pull(from);
        }
        Self { wide: Some(wide), ..self.clone() }
    }

    /// A call to the API of `repository`; without headers and body, expecting 200.
    pub(crate) fn call(
        &self,
        method: Method,
        repository: &Repository,
        path: &str,
        what: impl Into<String>,
    ) -> Result<Call, RegistryError> {
        Ok(Call {
            url: self.shared.hosts.url(repository, path)?,
            scopes: if method == Method::GET || method == Method::HEAD {
                Scopes::pull(repository)
            } else {
                Scopes::push(repository)
            },
            wide: self.wide.as_ref().filter(|w| w.repositories.contains(repository)).map(|w| w.scopes.clone()),
            lane: Lane::of(&method, path),
            method,
            repository: repository.clone(),
            what: what.into(),
            headers: HeaderMap::new(),
            body: None,
            expect: &[200],
        })
    }

    /// Sends an idempotent call, up to three times.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, RegistryError> {
        retrying(&*self.shared.clock, || self.once(call)).await
    }

    /// Sends a call once; a challenge is answered.
    pub(crate) async fn once(&self, call: &Call) -> Result<Response, Failure> {
        let (response, sent) = self.first_try(call).await?;
        if !is_challenge(call, &response) {
            return self.judge(&call.subject(), call.expect, response).await;
        }
        let wide = self.shared.auth.is_wide(call);
        let authorization = self.answer_challenge(call, &response, sent.as_ref()).await?;
        drop(response);
        let mut response = self.follow(call, Some(&authorization)).await?;
        if wide && is_challenge(call, &response) {
            // One token for everything was given, and not for everything: from now on each request gets its own.
            let authorization = self.answer_challenge(call, &response, Some(&authorization)).await?;
            response = self.follow(call, Some(&authorization)).await?;
        }
        self.lacks_right(call, &response).await?;
        self.judge(&call.subject(), call.expect, response).await
    }

    /// The first request for a repository at an unknown host goes alone, so that a crowd of requests is not answered by a
    /// crowd of challenges.
    async fn first_try(&self, call: &Call) -> Result<(Response, Option<HeaderValue>), Failure> {
        if self.shared.auth.scheme(&call.url).is_none() {
            let gate = self.shared.auth.gate(call);
            let _first = gate.lock().await;
            if self.shared.auth.scheme(&call.url).is_none() {
                let response = self.follow(call, None).await?;
                let scheme = self.learn(call, &response)?;
                self.shared.auth.settle(&call.url, scheme);
                return Ok((response, None));
            }
        }
        let sent = self.authorization(call).await?;
        Ok((self.follow(call, sent.as_ref()).await?, sent))
    }

    /// Waits until a call may be sent.
    pub(crate) async fn enter(&self, call: &Call) -> Place {
        self.shared.rates.host(&origin(&call.url)).enter(call.lane, &*self.shared.clock).await
    }

    /// Sends a body that cannot be sent again. Nothing is retried here: whoever made the body starts over.
    pub(crate) async fn stream(&self, call: &Call, body: Body, place: Place) -> Result<Response, Failure> {
        let authorization = self.authorization(call).await?;
        let mut request = self.client_for(&call.url).request(call.method.clone(), call.url.clone());
        request = request.headers(call.headers.clone()).body(body);
        if let Some(value) = &authorization {
            request = request.header(AUTHORIZATION, value);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response =
            request.send().await.map_err(|why| Failure::transient(format!("{}: {}", call.subject(), causes(why))))?;
        heard(&place, &response);
        drop(place);
        if response.status() == StatusCode::UNAUTHORIZED && authorization.is_some() {
            self.shared.auth.forget(call);
            return Err(Failure::transient(format!("{}: the token expired during the upload", call.subject())));
        }
        self.judge(&call.subject(), call.expect, response).await
    }

    fn client_for(&self, url: &Url) -> &reqwest::Client {
        let local = url.scheme() == "http" && url.host_str().is_some_and(is_loopback);
        if local { &self.shared.direct } else { &self.shared.client }
    }

    /// Sends one request as it is, without authorisation logic and redirects.
    pub(crate) async fn raw(
        &self,
        subject: &str,
        lane: Lane,
        request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
        url: &Url,
    ) -> Result<Response, Failure> {
        let place = self.shared.rates.host(&origin(url)).enter(lane, &*self.shared.clock).await;
        self.requests.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(self.shared.idle, request(self.client_for(url)).send()).await {
            Ok(Ok(response)) => {
                heard(&place, &response);
                Ok(response)
            }
            Ok(Err(why)) => Err(self.unanswered(subject, url, why).await),
            Err(_) => {
                Err(Failure::transient(format!("{subject}: no answer within {} s", self.shared.idle.as_secs_f32())))
            }
        }
    }

    /// Sends a call and follows its redirects. The authorisation goes to the call's own origin and nowhere else.
    async fn follow(&self, call: &Call, authorization: Option<&HeaderValue>) -> Result<Response, Failure> {
        let home = origin(&call.url);
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let build = |client: &reqwest::Client| {
                let mut request = client.request(call.method.clone(), url.clone()).headers(call.headers.clone());
                if let Some(value) = authorization.filter(|_| origin(&url) == home) {
                    request = request.header(AUTHORIZATION, value);
                }
                match &call.body {
                    Some(body) => request.body(body.clone()),
                    None => request,
                }
            };
            let response = self.raw(&call.subject(), call.lane, build, &url).await?;
            let reading = call.method == Method::GET || call.method == Method::HEAD;
            let redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirect || !reading {
                return Ok(response);
            }
            url = self.location(call, &response)?;
        }
        Err(Failure::last(
            RegistryErrorKind::Malformed,
            format!("{}: more than {MAX_REDIRECTS} redirects", call.subject()),
        ))
    }

    /// The URL in `Location`, relative to the answered one, if it may be spoken to.
    pub(crate) fn location(&self, call: &Call, response: &Response) -> Result<Url, Failure> {
        let bad = |why: &str| Failure::last(RegistryErrorKind::Malformed, format!("{}: {why}", call.subject()));
        let header = response.headers().get(LOCATION).ok_or_else(|| bad("the answer names no location"))?;
        let text = header.to_str().map_err(|_| bad("the answer's location is not text"))?;
        let url = response.url().join(text).map_err(|_| bad("the answer's location is not a URL"))?;
        if self.shared.hosts.admits(&url) {
            return Ok(url);
        }
        let place = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        Err(bad(&format!("the registry points to {place}, which is neither https nor allowed to be plain http")))
    }

    /// Passes on what the caller expects and turns everything else into an error with the registry's own words.
    pub(crate) async fn judge(&self, subject: &str, expect: &[u16], response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if expect.contains(&status.as_u16()) {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let host = self.shared.rates.host(&origin(response.url()));
        // The body of an answer that is no refusal is content, and says nothing about why it was not expected.
        let words = match status.is_client_error() || status.is_server_error() {
            true => Words::read(&self.beginning(response).await),
            false => Words::default(),
        };
        let now = self.shared.clock.now();
        let again = after_answer(status, &headers, &words, now);
        // A wait that is too long is the failure of whoever is told so; nobody else sleeps through a part of it.
        if let Again::After(wait) = again
            && wait <= LONGEST_WAIT
        {
            host.pause(wait.after(now));
        }
        Err(Failure { error: refused(subject, status, &words), again })
    }

    /// The first bytes of an error body, as far as they come.
    async fn beginning(&self, mut response: Response) -> Bytes {
        let mut body = BytesMut::new();
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout(self.shared.idle, response.chunk()).await {
            let room = MAX_ERROR_BODY.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_ERROR_BODY {
                break;
            }
        }
        body.freeze()
    }

    /// A whole body of at most `max` bytes, whatever `Content-Length` says.
    pub(crate) async fn read(&self, subject: &str, mut response: Response, max: usize) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        loop {
            match tokio::time::timeout(self.shared.idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= max => body.extend_from_slice(&chunk),
                Ok(Ok(Some(_))) => {
                    let why = format!("{subject}: the answer is longer than {max} bytes");
                    return Err(Failure::last(RegistryErrorKind::Malformed, why));
                }
                Ok(Ok(None)) => return Ok(body.freeze()),
                Ok(Err(why)) => return Err(Failure::transient(format!("{subject}: {}", causes(why)))),
                Err(_) => {
                    let idle = self.shared.idle.as_secs_f32();
                    return Err(Failure::transient(format!("{subject}: no byte for {idle} s")));
                }
            }
        }
    }
}
