//! From a request to its answer.

use std::{io, sync::Arc};

use hyper::{Method, Request, Response, body::Incoming, header::AUTHORIZATION};
use sealift_domain::{digest::Digest, reference::Repository};

use super::{
    Logged, Shared,
    access::{self, Need},
    blobs,
    http::{Answer, Body, collect},
    line::Line,
    listing, lock, manifests,
    script::Action,
    spoil::{self, Instead},
};

/// The largest request body that is taken for anything but a blob, in bytes.
const MAX_SMALL_BODY: usize = 5 << 20;

/// What a path names (OCI Distribution Specification 1.1, "Endpoints").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/v2/`
    Base,
    /// `/token`
    Token,
    Blob(&'a str, &'a str),
    /// The id is empty for the collection.
    Upload(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Tags(&'a str),
    Referrers(&'a str, &'a str),
}

/// A request with the parts that the handlers need.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: hyper::HeaderMap,
    /// What is wrong with this request's answer.
    pub(super) action: Option<Action>,
}

impl Asked {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether a mount shall not be made, although it could.
    pub(super) fn refuses_mount(&self) -> bool {
        matches!(self.action, Some(Action::RefuseMount))
    }

    /// The range that is answered, as in a `Range` header.
    pub(super) fn range(&self) -> Option<&str> {
        match &self.action {
            Some(Action::IgnoreRange) => None,
            Some(Action::OtherRange { sent, .. }) => Some(sent),
            _ => self.header("range"),
        }
    }

    /// Whether the client takes this media type. The header may stand on several lines (RFC 9110, section 5.3), and Docker
    /// sends one for each type; without any, everything is taken.
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        let mut lines = self.headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).peekable();
        lines.peek().is_none() || lines.any(|line| line.contains("*/*") || line.contains(media_type))
    }
}

/// The pairs of a query or form, decoded.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let Ok(mut url) = "http://x/".parse::<reqwest::Url>() else { return Vec::new() };
    url.set_query(Some(query));
    url.query_pairs().into_owned().collect()
}

pub(super) fn target(path: &str) -> Option<Target<'_>> {
    match path {
        "/v2/" | "/v2" => return Some(Target::Base),
        "/token" => return Some(Target::Token),
        _ => {}
    }
    let rest = path.strip_prefix("/v2/")?;
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Some(Target::Tags(name));
    }
    let (head, last) = rest.rsplit_once('/')?;
    if let Some(name) = head.strip_suffix("/blobs/uploads") {
        return Some(Target::Upload(name, last));
    }
    let (name, kind) = head.rsplit_once('/')?;
    match (kind, last) {
        ("blobs", "uploads") => Some(Target::Upload(name, "")),
        ("blobs", digest) => Some(Target::Blob(name, digest)),
        ("manifests", reference) => Some(Target::Manifest(name, reference)),
        ("referrers", digest) => Some(Target::Referrers(name, digest)),
        _ => None,
    }
}

/// The digest in a path, or the specification's refusal.
pub(super) fn digest(text: &str) -> Result<Digest, Answer> {
    text.parse().map_err(|_| Answer::error(400, "DIGEST_INVALID", "this is not a sha256 digest"))
}

/// Answers one request; an error resets the connection.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    line: &Arc<Line>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let action = lock(&shared.script).pick(&parts.method, &path, &query);
    let head = parts.method == Method::HEAD;
    let asked = Asked { method: parts.method, query: query_pairs(&query), headers: parts.headers, action };
    let logged = Logged {
        authorized: asked.headers.contains_key(AUTHORIZATION),
        range: asked.header("range").map(str::to_owned),
        method: asked.method.clone(),
        path: path.clone(),
        query: query.clone(),
        status: 0,
    };
    let log = |status| lock(&shared.log).push(Logged { status, ..logged });
    let body = match spoil::instead(&asked, &path, &query, body).await {
        Instead::Answer(answer) => {
            log(answer.status);
            return Ok(answer.send(head));
        }
        Instead::Reset => {
            log(0);
            return Err(spoil::reset());
        }
        Instead::Nothing(body) => body,
    };
    let answer = dispatch(shared, &asked, &path, &query, body).await;
    log(if matches!(asked.action, Some(Action::ResetAfter)) { 0 } else { answer.status });
    spoil::afterwards((shared, line), answer, asked.action, head)
}

async fn dispatch(shared: &Arc<Shared>, asked: &Asked, path: &str, query: &str, body: Incoming) -> Answer {
    let Some(target) = target(path) else { return Answer::error(404, "UNSUPPORTED", "no such endpoint") };
    if target == Target::Token {
        let form = if asked.method == Method::POST { collect(body, MAX_SMALL_BODY).await.ok() } else { None };
        return access::token(shared, &asked.headers, query, form.as_ref());
    }
    if let Err(refused) = admit(shared, asked, &target) {
        // Read to its end: a client that is still writing would otherwise see a broken connection, not the answer.
        let _ = collect(body, usize::MAX).await;
        return refused;
    }
    let answered = match target {
        Target::Base | Target::Token => Ok(Answer::new(200).with("docker-distribution-api-version", "registry/2.0")),
        Target::Blob(name, reference) => blobs::blob(shared, asked, name, reference),
        Target::Upload(name, "") => blobs::open(shared, asked, name, body).await,
        Target::Upload(name, id) => blobs::upload(shared, asked, name, id, body).await,
        Target::Manifest(name, reference) => manifests::manifest(shared, asked, name, reference, body).await,
        Target::Tags(name) => listing::tags(shared, asked, name),
        Target::Referrers(name, reference) => listing::referrers(shared, asked, name, reference),
    };
    answered.unwrap_or_else(|refused| refused)
}

/// Checks the name and the rights.
fn admit(shared: &Shared, asked: &Asked, target: &Target<'_>) -> Result<(), Answer> {
    let name = match target {
        Target::Base | Target::Token => return access::check(shared, &asked.headers, &[]),
        Target::Blob(name, _) | Target::Upload(name, _) | Target::Manifest(name, _) => name,
        Target::Tags(name) | Target::Referrers(name, _) => name,
    };
    if format!("localhost/{name}").parse::<Repository>().is_err() {
        return Err(Answer::error(400, "NAME_INVALID", "the repository name is outside the grammar"));
    }
    let mut needs: Vec<Need> = match asked.method {
        Method::GET | Method::HEAD => vec![((*name).to_owned(), "pull")],
        Method::DELETE if !matches!(target, Target::Upload(..)) => vec![((*name).to_owned(), "delete")],
        _ => vec![((*name).to_owned(), "pull"), ((*name).to_owned(), "push")],
    };
    if let (Target::Upload(_, ""), Some(from)) = (target, asked.parameter("from")) {
        // A mount from a repository that may not be read becomes an upload; it does not fail.
        let with_source: Vec<Need> = needs.iter().cloned().chain([(from.to_owned(), "pull")]).collect();
        if access::check(shared, &asked.headers, &needs).is_err() {
            needs = with_source;
        }
    }
    access::check(shared, &asked.headers, &needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        for (path, expected) in [
            ("/v2/", Some(Target::Base)),
            ("/token", Some(Target::Token)),
            ("/v2/a/b/manifests/v1", Some(Target::Manifest("a/b", "v1"))),
            ("/v2/a/manifests/manifests/v1", Some(Target::Manifest("a/manifests", "v1"))),
            ("/v2/a/blobs/sha256:x", Some(Target::Blob("a", "sha256:x"))),
            ("/v2/a/blobs/uploads/", Some(Target::Upload("a", ""))),
            ("/v2/a/blobs/uploads", Some(Target::Upload("a", ""))),
            ("/v2/a/blobs/uploads/1", Some(Target::Upload("a", "1"))),
            ("/v2/a/tags/list", Some(Target::Tags("a"))),
            ("/v2/a/referrers/sha256:x", Some(Target::Referrers("a", "sha256:x"))),
            ("/v2/a/other/x", None),
            ("/v1/", None),
            ("/v2/x", None),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
