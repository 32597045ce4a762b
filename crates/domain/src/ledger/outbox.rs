//! Notices that are to be delivered, and have not been.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{name::ChannelName, notice::NoticeKind, promotion::PromotionId};

/// One moment of a promotion that somebody wants to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The promotion.
    pub promotion: PromotionId,
    /// What happened.
    pub kind: NoticeKind,
    /// When.
    pub at: Timestamp,
    /// The channels that have not taken it yet.
    pub channels: Vec<ChannelName>,
}

/// Notices by the log index of the event they tell, so in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outbox(#[serde(with = "super::number_keys")] BTreeMap<u64, Notice>);

impl Outbox {
    /// The notices that some channel has not taken yet, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = (u64, &Notice)> {
        self.0.iter().map(|(index, notice)| (*index, notice))
    }

    pub(super) fn put(&mut self, index: u64, notice: Notice) {
        if !notice.channels.is_empty() {
            self.0.insert(index, notice);
        }
    }

    /// A channel took a notice, or refused it for good. False if nothing was waiting for it.
    pub(super) fn settle(&mut self, index: u64, channel: &ChannelName) -> bool {
        let Some(notice) = self.0.get_mut(&index) else { return false };
        let before = notice.channels.len();
        notice.channels.retain(|c| c != channel);
        let settled = notice.channels.len() < before;
        if notice.channels.is_empty() {
            self.0.remove(&index);
        }
        settled
    }
}
