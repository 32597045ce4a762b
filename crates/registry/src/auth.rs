//! Authorisation: none, Basic, or Bearer tokens that are fetched once, kept until they expire, and sent to one origin only.
//!
//! Token flow: "Docker Registry v2 authentication" of the distribution project, which the OCI registries share.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use sealift_domain::{quantity::Period, reference::Repository};
use sealift_engine::ports::registry::RegistryErrorKind;
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    challenge::{Challenge, parse},
    credentials::{Credential, CredentialSource},
    endpoint::origin,
    error::printable,
    rate::Lane,
    retry::{Failure, retrying},
    scope::Scopes,
    secret::Secret,
    shelf::Shelf,
    transport::{Call, Http, is_challenge},
};

/// How long a token lives if its server does not say (distribution token specification, `expires_in`).
const DEFAULT_LIFE_S: u64 = 60;
/// The largest answer of a token server, in bytes.
const MAX_TOKEN_ANSWER: usize = 256 << 10;
/// How this client names itself to OAuth 2 token servers.
const CLIENT_ID: &str = "sealift";

/// How a host wants requests to be authorised.
#[derive(Clone, Debug)]
pub(crate) enum Scheme {
    /// It has not asked so far.
    Open,
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

struct Token {
    secret: Secret,
    expires: Timestamp,
}

#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// What the host asked for beyond what was expected.
    extra: Vec<String>,
}

/// Everything known about how to be let in.
pub(crate) struct Auth {
    source: CredentialSource,
    hosts: Mutex<HashMap<String, Scheme>>,
    /// Held by the first request for a repository at a host that is not known yet.
    gates: Shelf<(String, Repository), ()>,
    /// Origins whose token server does not give one token for two repositories.
    narrow: Mutex<HashSet<String>>,
    tokens: Shelf<(String, Scopes), Slot>,
    credentials: Shelf<Repository, Option<Option<Credential>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Auth {
    /// Nothing known yet; credentials come from `source`.
    pub(crate) fn new(source: CredentialSource) -> Self {
        Self {
            source,
            hosts: Mutex::default(),
            gates: Shelf::default(),
            narrow: Mutex::default(),
            tokens: Shelf::default(),
            credentials: Shelf::default(),
        }
    }

    /// How the host of `url` wants requests to be authorised; `None` before it was asked.
    pub(crate) fn scheme(&self, url: &Url) -> Option<Scheme> {
        lock(&self.hosts).get(&origin(url)).cloned()
    }

    /// Remembers what the host of `url` asks for.
    pub(crate) fn settle(&self, url: &Url, scheme: Scheme) {
        lock(&self.hosts).insert(origin(url), scheme);
    }

    /// What the first request of a kind holds while nothing is known.
    pub(crate) fn gate(&self, call: &Call) -> Arc<AsyncMutex<()>> {
        self.gates.place((origin(&call.url), call.repository.clone()))
    }

    /// The scopes that a call's token has: those of the whole operation, unless the token server has refused them.
    fn scopes<'a>(&self, call: &'a Call) -> &'a Scopes {
        match &call.wide {
            Some(wide) if !lock(&self.narrow).contains(&origin(&call.url)) => wide,
            _ => &call.scopes,
        }
    }

    /// Asks for the scopes of single requests at this origin from now on.
    fn narrow_down(&self, call: &Call) {
        if call.wide.is_some() {
            lock(&self.narrow).insert(origin(&call.url));
        }
    }

    fn slot(&self, call: &Call, scopes: &Scopes) -> Arc<AsyncMutex<Slot>> {
        self.tokens.place((origin(&call.url), scopes.clone()))
    }

    /// Drops the token that a call was sent with.
    pub(crate) fn forget(&self, call: &Call) {
        let key = (origin(&call.url), self.scopes(call).clone());
        self.tokens.remove(&key);
    }

    /// The credential for a repository; helpers and files are asked once.
    async fn credential(&self, repository: &Repository) -> Result<Option<Credential>, Failure> {
        let kept = self.credentials.place(repository.clone());
        let mut kept = kept.lock().await;
        if kept.is_none() {
            *kept = Some(self.source.find(repository).await?);
        }
        Ok(kept.clone().flatten())
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

fn header(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    header(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    header(format!("Bearer {}", token.reveal()))
}

fn unauthenticated(message: String) -> Failure {
    Failure::last(RegistryErrorKind::Unauthenticated, message)
}

impl Http {
    /// What the first answer says about the host of a call.
    pub(crate) fn learn(&self, call: &Call, response: &Response) -> Result<Scheme, Failure> {
        if !is_challenge(call, response) {
            return Ok(Scheme::Open);
        }
        match best(response) {
            Some(Challenge::Bearer { realm, service, .. }) => self.bearer_scheme(&realm, service, response.url()),
            Some(Challenge::Basic) => Ok(Scheme::Basic),
            None => Ok(Scheme::Open),
        }
    }

    /// The realm decides where passwords go, so it must be `https` or a host that may be spoken to in the clear.
    fn bearer_scheme(&self, realm: &str, service: Option<String>, asked: &Url) -> Result<Scheme, Failure> {
        let host = asked.host_str().unwrap_or_default();
        match realm.parse::<Url>() {
            Ok(realm) if self.shared.hosts.admits(&realm) => Ok(Scheme::Bearer { realm, service }),
            _ => Err(unauthenticated(format!(
                "{host} sends for tokens to `{}`, which is not an https URL: no credential is sent there",
                printable(realm)
            ))),
        }
    }

    /// The header for a call to a host whose scheme is known; `None` if it has not asked for one.
    pub(crate) async fn authorization(&self, call: &Call) -> Result<Option<HeaderValue>, Failure> {
        match self.shared.auth.scheme(&call.url) {
            None | Some(Scheme::Open) => Ok(None),
            Some(Scheme::Basic) => match self.shared.auth.credential(&call.repository).await? {
                Some(Credential::Password { user, password }) => Ok(basic(&user, &password)),
                _ => Ok(None),
            },
            Some(Scheme::Bearer { realm, service }) => {
                self.token(call, &realm, service.as_deref(), None, None).await.map(Some)
            }
        }
    }

    /// The header that answers a challenge, after a call was sent with `sent`.
    pub(crate) async fn answer_challenge(
        &self,
        call: &Call,
        response: &Response,
        sent: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let subject = call.subject();
        let registry = call.repository.registry();
        match best(response) {
            Some(Challenge::Basic) => {
                self.shared.auth.settle(&call.url, Scheme::Basic);
                let Some(Credential::Password { user, password }) =
                    self.shared.auth.credential(&call.repository).await?
                else {
                    return Err(unauthenticated(format!(
                        "{subject}: {registry} asks for a login and there is no password for it"
                    )));
                };
                let value = basic(&user, &password).filter(|value| sent != Some(value));
                value.ok_or_else(|| unauthenticated(format!("{subject}: {registry} does not accept the password")))
            }
            Some(Challenge::Bearer { realm, service, scope, .. }) => {
                let scheme = self.bearer_scheme(&realm, service, response.url())?;
                self.shared.auth.settle(&call.url, scheme.clone());
                let Scheme::Bearer { realm, service } = scheme else { return Err(unauthenticated(subject)) };
                if sent.is_some() {
                    // A token for everything that is not taken may lack one of its scopes: some servers leave them out.
                    self.shared.auth.narrow_down(call);
                }
                self.token(call, &realm, service.as_deref(), scope.as_deref(), sent).await
            }
            None => Err(unauthenticated(format!(
                "{subject}: {registry} refuses (401) and names no way to log in that is known"
            ))),
        }
    }

    /// Tells a login that lacks a right from one that is missing or wrong, after a fresh token was refused with 401.
    pub(crate) async fn lacks_right(&self, call: &Call, response: &Response) -> Result<(), Failure> {
        let insufficient = match best(response) {
            Some(Challenge::Bearer { error, .. }) => error.as_deref() == Some("insufficient_scope"),
            _ => false,
        };
        let refused = response.status() == StatusCode::UNAUTHORIZED && insufficient;
        if refused && self.shared.auth.credential(&call.repository).await?.is_some() {
            let why =
                format!("{}: the login for {} has no right to do this", call.subject(), call.repository.registry());
            return Err(Failure::last(RegistryErrorKind::Denied, why));
        }
        Ok(())
    }

    /// A token for a call. Whoever comes first fetches it, the others wait and share it. A `stale` token is replaced.
    async fn token(
        &self,
        call: &Call,
        realm: &Url,
        service: Option<&str>,
        scope: Option<&str>,
        stale: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let scopes = self.shared.auth.scopes(call);
        match self.token_for(call, scopes, realm, service, scope, stale).await {
            // Whoever comes after the one that found out finds it out again, once, and only within one crowd.
            Err(refused) if refused.error.kind != RegistryErrorKind::Transient && *scopes != call.scopes => {
                self.shared.auth.narrow_down(call);
                self.token_for(call, &call.scopes, realm, service, scope, stale).await
            }
            other => other,
        }
    }

    async fn token_for(
        &self,
        call: &Call,
        scopes: &Scopes,
        realm: &Url,
        service: Option<&str>,
        scope: Option<&str>,
        stale: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let slot = self.shared.auth.slot(call, scopes);
        let mut slot = slot.lock().await;
        let fresh = slot.token.as_ref().filter(|token| token.expires > self.shared.clock.now());
        if let Some(value) = fresh.and_then(|token| bearer(&token.secret)).filter(|value| stale != Some(value)) {
            return Ok(value);
        }
        let news = scope.filter(|scope| !slot.extra.iter().any(|known| known == scope)).map(str::to_owned);
        slot.extra.extend(news);
        let wide = *scopes != call.scopes;
        let mut scopes = scopes.clone();
        slot.extra.iter().for_each(|extra| scopes.add(extra));
        let credential = self.shared.auth.credential(&call.repository).await?;
        let token = match self.fetch(call, realm, service, &scopes, credential.as_ref()).await {
            // Some token servers give one repository at a time; the mount that wanted two then becomes an upload.
            Err(first) => match scopes.primary_only().filter(|_| !wide) {
                Some(one) if first.error.kind != RegistryErrorKind::Transient => {
                    self.fetch(call, realm, service, &one, credential.as_ref()).await.map_err(|_| first)?
                }
                _ => return Err(first),
            },
            Ok(token) => token,
        };
        let value = bearer(&token.secret);
        slot.token = Some(token);
        value.ok_or_else(|| unauthenticated(format!("{}: the token is not a header value", call.subject())))
    }

    async fn fetch(
        &self,
        call: &Call,
        realm: &Url,
        service: Option<&str>,
        scopes: &Scopes,
        credential: Option<&Credential>,
    ) -> Result<Token, Failure> {
        let subject = format!("token for {} from {}", call.repository, realm.host_str().unwrap_or_default());
        let attempt = || async {
            let request = |client: &reqwest::Client| match credential {
                Some(Credential::IdentityToken(refresh)) => refresh_request(client, realm, service, scopes, refresh),
                Some(Credential::Password { user, password }) => {
                    let request = anonymous_request(client, realm, service, scopes);
                    request.basic_auth(user, Some(password.reveal()))
                }
                None => anonymous_request(client, realm, service, scopes),
            };
            let response = self.raw(&subject, Lane::Token, request, realm).await?;
            let response = self.judge(&subject, &[200], response).await?;
            let body = self.read(&subject, response, MAX_TOKEN_ANSWER).await?;
            self.accept(&subject, &body)
        };
        Ok(retrying(&*self.shared.clock, attempt).await?)
    }

    fn accept(&self, subject: &str, body: &[u8]) -> Result<Token, Failure> {
        // The parser's own message could repeat a piece of the token.
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|_| unauthenticated(format!("{subject}: the answer is not a token document")))?;
        let text = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if text.is_empty() {
            return Err(unauthenticated(format!("{subject}: the answer holds no token")));
        }
        // A tenth of its life is kept back, so that a token does not expire on its way.
        let life = Period::from_millis(answer.expires_in.unwrap_or(DEFAULT_LIFE_S).saturating_mul(900));
        Ok(Token { secret: Secret::new(text), expires: life.after(self.shared.clock.now()) })
    }
}

/// The strongest challenge that can be answered: a token never shows the password to the registry.
fn best(response: &Response) -> Option<Challenge> {
    let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let challenges: Vec<Challenge> = values.filter_map(|value| value.to_str().ok()).flat_map(parse).collect();
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(challenges.first()).cloned()
}

fn anonymous_request(
    client: &reqwest::Client,
    realm: &Url,
    service: Option<&str>,
    scopes: &Scopes,
) -> reqwest::RequestBuilder {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        service.into_iter().for_each(|service| {
            query.append_pair("service", service);
        });
        for scope in scopes.texts() {
            query.append_pair("scope", &scope);
        }
    }
    client.get(url)
}

/// The OAuth 2 form of the token request, for identity tokens.
fn refresh_request(
    client: &reqwest::Client,
    realm: &Url,
    service: Option<&str>,
    scopes: &Scopes,
    refresh: &Secret,
) -> reqwest::RequestBuilder {
    // The query serialiser of a scratch URL is the form encoder: no further dependency for one form.
    let mut form = realm.clone();
    form.query_pairs_mut()
        .clear()
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", CLIENT_ID)
        .append_pair("service", service.unwrap_or_default())
        .append_pair("scope", &scopes.texts().join(" "))
        .append_pair("refresh_token", refresh.reveal());
    let body = form.query().unwrap_or_default().to_owned();
    client.post(realm.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}
