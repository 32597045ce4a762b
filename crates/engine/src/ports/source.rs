//! Source repositories, as far as they say where a commit is.

use std::collections::BTreeSet;

use async_trait::async_trait;

/// Why a source repository could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Asks source repositories.
#[async_trait]
pub trait Sources: Send + Sync {
    /// The branches of `repository`, a URL, that contain `commit`, a full commit id, of those that match one of `patterns`: the
    /// name of a branch, or the beginning of one and `*`. None: the commit is on none of them.
    async fn branches_with(
        &self,
        repository: &str,
        commit: &str,
        patterns: &[&str],
    ) -> Result<BTreeSet<String>, SourceError>;
}
