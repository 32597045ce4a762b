//! `WWW-Authenticate` (RFC 9110, sections 11.2, 11.3 and 11.6.1), with the Bearer parameters of the distribution token specification.

/// One challenge that this client can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password on every request (RFC 7617).
    Basic,
    /// A token from `realm` (distribution token authentication specification).
    Bearer {
        /// Where tokens are given out: an absolute URL.
        realm: String,
        /// The name of the registry at the token server.
        service: Option<String>,
        /// Scopes wanted, as one text with spaces.
        scope: Option<String>,
        /// Why the token that was sent is not enough, for instance `insufficient_scope` (RFC 6750, section 3.1).
        error: Option<String>,
    },
}

struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn parameter(&self, name: &str) -> Option<String> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

impl Cursor<'_> {
    fn skip(&mut self, skipped: &[char]) {
        self.rest = self.rest.trim_start_matches(skipped);
    }

    fn eat(&mut self, c: char) -> bool {
        let eaten = self.rest.strip_prefix(c);
        self.rest = eaten.unwrap_or(self.rest);
        eaten.is_some()
    }

    fn token(&mut self) -> String {
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token.to_owned()
    }

    /// A quoted string without its quotes, escapes resolved; commas inside belong to it.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return text;
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        self.rest = "";
        text
    }
}

fn raw(value: &str) -> Vec<Raw> {
    let mut cursor = Cursor { rest: value };
    let mut found: Vec<Raw> = Vec::new();
    loop {
        cursor.skip(&[' ', '\t', ',']);
        if cursor.rest.is_empty() {
            return found;
        }
        let token = cursor.token();
        if token.is_empty() {
            // Not in the grammar: go on behind it, so that a later challenge can still be read.
            let mut chars = cursor.rest.chars();
            chars.next();
            cursor.rest = chars.as_str();
            continue;
        }
        cursor.skip(&[' ', '\t']);
        match found.last_mut() {
            Some(current) if cursor.eat('=') => {
                cursor.skip(&[' ', '\t']);
                let value = if cursor.eat('"') { cursor.quoted() } else { cursor.token() };
                current.parameters.push((token, value));
            }
            _ => found.push(Raw { scheme: token, parameters: Vec::new() }),
        }
    }
}

/// The challenges of one header value that this client can answer, in the order in which they were sent.
pub(crate) fn parse(value: &str) -> Vec<Challenge> {
    let known = |raw: Raw| match raw.scheme.to_ascii_lowercase().as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: raw.parameter("realm")?,
            service: raw.parameter("service"),
            scope: raw.parameter("scope"),
            error: raw.parameter("error"),
        }),
        _ => None,
    };
    raw(value).into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope), error: None }
    }

    #[test]
    fn commas_inside_quotes_belong_to_the_value() {
        let value = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push repository:c:pull""#;
        let scope = "repository:a/b:pull,push repository:c:pull";
        assert_eq!(parse(value), [bearer("https://auth.example/token", Some("registry.example"), Some(scope))]);
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let value = r#"Negotiate abc==, BEARER Realm = "https://a/t" , service=x, Basic realm="a \"quoted\", realm""#;
        assert_eq!(parse(value), [bearer("https://a/t", Some("x"), None), Challenge::Basic]);
    }

    #[test]
    fn what_cannot_be_answered_is_left_out() {
        for value in ["", "Bearer", "Bearer service=x", "Digest realm=x", "=,=,\"", "Bearer realm"] {
            assert_eq!(parse(value), [], "{value}");
        }
        assert_eq!(parse("Bearer realm=\"unterminated"), [bearer("unterminated", None, None)]);
    }
}
