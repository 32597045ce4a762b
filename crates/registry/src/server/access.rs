//! Who may do what: nobody asked, Basic, or tokens with scopes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::{Shared, http::Answer, lock, route::query_pairs};

/// Somebody who can log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// A refresh token that stands for user and password; none if empty.
    pub refresh_token: String,
    /// Whether this account may write and delete, not only read.
    pub push: bool,
}

/// How a server lets people in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody may do everything.
    Open,
    /// User and password with every request.
    Basic(Vec<Account>),
    /// Bearer tokens, given out at `/token` of the same server unless another realm is named.
    Token {
        /// Who can log in.
        accounts: Vec<Account>,
        /// Whether a token for reading needs no login.
        anonymous_pull: bool,
        /// `expires_in` of each token, in seconds; left out if none. The server itself lets a token live until it is revoked.
        expires_in: Option<u64>,
        /// The realm in challenges; `/token` of this server if none.
        realm: Option<String>,
        /// What becomes of a request for several scopes at once.
        several: Several,
    },
}

/// What a token server does when it is asked for several scopes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Several {
    /// It gives all of them, as the specification says.
    #[default]
    Granted,
    /// It refuses (400).
    Refused,
    /// It gives the first and drops the others without a word.
    FirstOnly,
}

type Rights = BTreeMap<String, BTreeSet<String>>;

/// The tokens given out.
#[derive(Default)]
pub(crate) struct Tokens {
    issued: u64,
    valid: HashMap<String, Rights>,
}

impl Tokens {
    pub(super) fn revoke(&mut self) {
        self.valid.clear();
    }
}

/// A right that a request needs: repository and action.
pub(super) type Need = (String, &'static str);

fn basic_login<'a>(accounts: &'a [Account], headers: &HeaderMap) -> Option<&'a Account> {
    let sent = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    accounts.iter().find(|account| STANDARD.encode(format!("{}:{}", account.user, account.password)) == sent)
}

/// Lets a request pass, or says what it lacks.
pub(super) fn check(shared: &Shared, headers: &HeaderMap, needs: &[Need]) -> Result<(), Answer> {
    match &shared.config.access {
        Access::Open => Ok(()),
        Access::Basic(accounts) => match basic_login(accounts, headers) {
            Some(account) if account.push || needs.iter().all(|(_, action)| *action == "pull") => Ok(()),
            Some(_) => Err(Answer::error(403, "DENIED", "this account may only read")),
            None => {
                let refused = Answer::error(401, "UNAUTHORIZED", "authentication required");
                Err(refused.with(WWW_AUTHENTICATE.as_str(), "Basic realm=\"a realm, with a comma\""))
            }
        },
        Access::Token { realm, .. } => check_token(shared, realm.as_deref(), headers, needs),
    }
}

fn check_token(shared: &Shared, realm: Option<&str>, headers: &HeaderMap, needs: &[Need]) -> Result<(), Answer> {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let tokens = lock(&shared.tokens);
    let rights = sent.and_then(|token| tokens.valid.get(token));
    let allowed = |rights: &Rights, (name, action): &Need| {
        rights.get(&format!("repository:{name}")).is_some_and(|actions| actions.contains(*action))
    };
    let error = match rights {
        Some(rights) if needs.iter().all(|need| allowed(rights, need)) => return Ok(()),
        Some(_) => ",error=\"insufficient_scope\"",
        None if sent.is_some() => ",error=\"invalid_token\"",
        None => "",
    };
    let realm = realm.map_or_else(|| format!("http://{}/token", shared.address), str::to_owned);
    let mut scopes = Rights::new();
    for (name, action) in needs {
        scopes.entry(format!("repository:{name}")).or_default().insert((*action).to_owned());
    }
    let text = |(resource, actions): (&String, &BTreeSet<String>)| {
        format!("{resource}:{}", actions.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    };
    let scope = scopes.iter().map(text).collect::<Vec<_>>().join(" ");
    let challenge = format!("Bearer realm=\"{realm}\",service=\"{}\",scope=\"{scope}\"{error}", shared.address);
    Err(Answer::error(401, "UNAUTHORIZED", "authentication required").with(WWW_AUTHENTICATE.as_str(), &challenge))
}

/// Gives out a token: GET with Basic or anonymously, POST with a refresh token (distribution token specification).
pub(super) fn token(shared: &Shared, headers: &HeaderMap, query: &str, form: Option<&Bytes>) -> Answer {
    let Access::Token { accounts, anonymous_pull, expires_in, several, .. } = &shared.config.access else {
        return Answer::error(404, "UNSUPPORTED", "this registry gives out no tokens");
    };
    let form = form.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let fields = query_pairs(form.as_deref().unwrap_or(query));
    let all =
        |name: &str| fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    if all("service") != [shared.address.to_string()] {
        return Answer::error(400, "UNSUPPORTED", "the service is not this registry");
    }
    let account = match form {
        Some(_) => {
            let refresh = all("refresh_token").concat();
            let known = accounts.iter().find(|account| !refresh.is_empty() && account.refresh_token == refresh);
            known.filter(|_| all("grant_type") == ["refresh_token"])
        }
        None => basic_login(accounts, headers),
    };
    let tried = form_or_header(headers, query, account.is_some());
    if account.is_none() && (tried || !anonymous_pull) {
        return Answer::error(401, "UNAUTHORIZED", "wrong user or password");
    }
    let mut wanted: Vec<&str> = all("scope").into_iter().flat_map(|text| text.split(' ')).collect();
    match several {
        Several::Refused if wanted.len() > 1 => return Answer::error(400, "UNSUPPORTED", "one scope at a time"),
        Several::FirstOnly => wanted.truncate(1),
        Several::Granted | Several::Refused => {}
    }
    let token = issue(shared, &wanted, account.is_some_and(|account| account.push));
    let mut document = json!({"token": token});
    if let Some(seconds) = expires_in {
        document["expires_in"] = json!(seconds);
    }
    Answer::new(200).with("content-type", "application/json").body(document.to_string())
}

/// Whether somebody tried to log in, rather than asking anonymously.
fn form_or_header(headers: &HeaderMap, query: &str, known: bool) -> bool {
    known || headers.contains_key(AUTHORIZATION) || query.is_empty()
}

fn issue(shared: &Shared, wanted: &[&str], push: bool) -> String {
    let mut rights = Rights::new();
    for scope in wanted {
        let Some((resource, actions)) = scope.rsplit_once(':') else { continue };
        let granted = actions.split(',').filter(|action| push || *action == "pull").map(str::to_owned);
        rights.entry(resource.to_owned()).or_default().extend(granted);
    }
    let mut tokens = lock(&shared.tokens);
    tokens.issued += 1;
    let token = format!("token-{}", tokens.issued);
    tokens.valid.insert(token.clone(), rights);
    token
}
