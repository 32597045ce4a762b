//! Whom to believe which workload asks.

use serde::{Deserialize, Serialize};

/// An identity provider whose tokens tell who asks, and which of its workloads may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityProvider {
    /// Its name: what stands in the claim `iss`, a URL.
    pub issuer: String,
    /// Its public keys, a JSON Web Key Set (RFC 7517, section 5). The file's contents, so that whoever changes it changes the
    /// policy.
    pub jwks: String,
    /// What must stand in the claim `aud`: a token for somebody else says nothing to us.
    pub audience: String,
    /// Which workloads may ask: the claim `sub`, where `*` stands for any characters at the end.
    pub subjects: Vec<String>,
}

impl IdentityProvider {
    /// Whether a subject may ask.
    pub fn admits(&self, subject: &str) -> bool {
        self.subjects.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => subject.starts_with(beginning),
            None => subject == pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_named_in_full_or_by_its_beginning() {
        let subjects = ["repo:acme/web:*".to_owned(), "repo:acme/api:ref:refs/heads/main".to_owned()];
        let (issuer, jwks, audience) = ("https://id.example".to_owned(), String::new(), "sealift".to_owned());
        let provider = IdentityProvider { issuer, jwks, audience, subjects: subjects.into() };
        for admitted in ["repo:acme/web:ref:refs/heads/main", "repo:acme/web:", "repo:acme/api:ref:refs/heads/main"] {
            assert!(provider.admits(admitted), "{admitted}");
        }
        for refused in ["repo:acme/web", "repo:acme/web-evil:x", "repo:acme/api:ref:refs/heads/main2", ""] {
            assert!(!provider.admits(refused), "{refused}");
        }
    }
}
