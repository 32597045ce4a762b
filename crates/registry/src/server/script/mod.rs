//! Faults: what a server does wrong, and when.

mod answers;
mod gate;

use bytes::Bytes;
/// The methods of requests that a fault can be bound to.
pub use hyper::Method;
use sealift_domain::digest::Digest;

pub use answers::{Wait, listing, secondary_limit, status, too_many};
pub use gate::Gate;

/// Which of the requests that fit are affected, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nth {
    /// Every one.
    Each,
    /// Only this one.
    Only(u32),
    /// The first so many.
    First(u32),
    /// This one and all after it.
    From(u32),
}

/// What happens instead of, or to, the right answer.
#[derive(Clone, Debug)]
pub enum Action {
    /// This answer, without doing what was asked.
    Answer {
        /// The status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
    /// The right answer, broken off after so many bytes of the body.
    Truncate(usize),
    /// The right answer, with one bit of the body's byte at this offset turned over.
    Corrupt(usize),
    /// The right answer, with this header set to something else.
    Header(String, String),
    /// A body that never ends.
    Endless,
    /// The right answer, when the gate is opened.
    Hold(Gate),
    /// The right answer, whose body stops after so many bytes until the gate is opened.
    Stall(usize, Gate),
    /// The connection is reset, without doing what was asked.
    Reset,
    /// The connection is reset after so many bytes of the request's body, or at its end, without doing what was asked.
    ResetWithin(usize),
    /// What was asked is done, and the connection is reset instead of answering.
    ResetAfter,
    /// A mount is answered with an open upload (202).
    RefuseMount,
    /// A redirect (307) to the same path and query of another server, given as `http://host:port`.
    Redirect(String),
    /// The whole blob with 200, whatever `Range` asks for, as RFC 9110, section 14.2, allows.
    IgnoreRange,
    /// The answer to `sent` (as in a `Range` header) instead of the range that was asked for. It is told as what it is, or as
    /// `told` (as in a `Content-Range` header).
    OtherRange {
        /// The range that is sent, for instance `bytes=5-`.
        sent: String,
        /// What `Content-Range` says about it.
        told: Option<String>,
    },
    /// The right answer, after which a tag names something else.
    MoveTag {
        /// The repository's name.
        repository: String,
        /// The tag.
        tag: String,
        /// What it names from then on.
        digest: Digest,
    },
}

/// A fault with its condition.
#[derive(Clone, Debug)]
pub struct Fault {
    method: Option<Method>,
    pattern: String,
    nth: Nth,
    action: Action,
}

impl Fault {
    /// A fault for every request whose path fits `pattern`, in which `*` stands for any text. A pattern with a `?` is
    /// compared with path and query.
    pub fn new(pattern: &str, action: Action) -> Self {
        Self { method: None, pattern: pattern.to_owned(), nth: Nth::Each, action }
    }

    /// Only for one method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only for some of the requests that fit.
    #[must_use]
    pub fn nth(mut self, nth: Nth) -> Self {
        self.nth = nth;
        self
    }
}

/// The faults of a server with their counts.
#[derive(Default)]
pub(in crate::server) struct Script {
    faults: Vec<(Fault, u32)>,
}

impl Script {
    pub(in crate::server) fn add(&mut self, fault: Fault) {
        self.faults.push((fault, 0));
    }

    pub(in crate::server) fn clear(&mut self) {
        self.faults.clear();
    }

    /// The action for a request. Every fault that fits counts it; the first one whose turn it is acts.
    pub(in crate::server) fn pick(&mut self, method: &Method, path: &str, query: &str) -> Option<Action> {
        let whole = format!("{path}?{query}");
        let mut picked = None;
        for (fault, seen) in &mut self.faults {
            let text = if fault.pattern.contains('?') { &whole } else { path };
            let fits = fault.method.as_ref().is_none_or(|wanted| wanted == method) && matches(&fault.pattern, text);
            if !fits {
                continue;
            }
            *seen += 1;
            let turn = match fault.nth {
                Nth::Each => true,
                Nth::Only(n) => *seen == n,
                Nth::First(n) => *seen <= n,
                Nth::From(n) => *seen >= n,
            };
            if turn && picked.is_none() {
                picked = Some(fault.action.clone());
            }
        }
        picked
    }
}

/// Whether `text` fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_with_stars() {
        for (pattern, text, fits) in [
            ("/v2/", "/v2/", true),
            ("/v2/", "/v2/a", false),
            ("*", "", true),
            ("/v2/*/blobs/*", "/v2/a/b/blobs/sha256:x", true),
            ("/v2/*/blobs/*", "/v2/a/manifests/x", false),
            ("*/manifests/v1", "/v2/a/manifests/v1", true),
            ("*/manifests/v1", "/v2/a/manifests/v1x", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn faults_take_their_turns() {
        let mut script = Script::default();
        script.add(Fault::new("/a", status(503)).method(Method::GET).nth(Nth::Only(2)));
        script.add(Fault::new("/a", Action::Reset).nth(Nth::From(3)));
        let mut pick = |method| match script.pick(&method, "/a", "") {
            Some(Action::Answer { status, .. }) => status,
            Some(_) => 1,
            None => 0,
        };
        assert_eq!([pick(Method::GET), pick(Method::GET), pick(Method::GET), pick(Method::PUT)], [0, 503, 1, 1]);
    }
}
