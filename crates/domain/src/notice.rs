//! What people are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The moments of a promotion that people can ask to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// An approval is wanted.
    ApprovalWanted,
    /// The gates are passed and consent is given: work begins.
    Started,
    /// The release is live and verified.
    Completed,
    /// The promotion failed and nothing live was changed.
    Failed,
    /// The promotion failed and the previous release was restored.
    RolledBack,
    /// The promotion was rejected, withdrawn or superseded, or nobody approved in time.
    Cancelled,
    /// A person is needed.
    Stuck,
}

impl NoticeKind {
    /// The kind as it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalWanted => "approval-wanted",
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Cancelled => "cancelled",
            Self::Stuck => "stuck",
        }
    }
}
