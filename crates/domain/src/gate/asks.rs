//! What a gate wants to be gathered beyond what always is, so that nothing is asked of the world in vain.

use crate::evidence::Trust;

/// What a required gate asks for.
#[derive(Clone, Debug, Default)]
pub struct Asks<'a> {
    /// Whether it judges evidence.
    pub evidence: bool,
    /// Whose signatures it looks for.
    pub trusts: Vec<&'a Trust>,
    /// The branches of the source repository on which the commit is looked for.
    pub branches: Vec<&'a str>,
}

impl<'a> Asks<'a> {
    /// Nothing.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// Evidence, signed by one of these.
    pub(super) fn evidence(trusts: impl IntoIterator<Item = &'a Trust>) -> Self {
        Self { evidence: true, trusts: trusts.into_iter().collect(), branches: Vec::new() }
    }

    /// Both.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.evidence |= other.evidence;
        self.trusts.extend(other.trusts);
        self.branches.extend(other.branches);
        self
    }
}
