//! Why a use case did not succeed.

use jiff::Timestamp;
use sealift_domain::{
    approval::NotCounted,
    entry::EntryError,
    ledger::IllegalEntry,
    name::{EnvironmentName, PersonId},
    promotion::{PromotionId, Status},
    schema::{Expected, Schema},
};

use crate::ports::{driver::DriverError, log::LogError, registry::RegistryError};

/// Why a use case did not succeed. The binary turns each into a code, words, a remedy and an exit status, in one place.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An entry of the log cannot be read.
    #[error("entry {index} of the log: {source}")]
    Entry {
        /// Which.
        index: u64,
        /// Why.
        source: EntryError,
    },
    /// An entry of the log cannot follow what stands before it.
    #[error("entry {index} of the log: {source}")]
    Illegal {
        /// Which.
        index: u64,
        /// Why.
        source: IllegalEntry,
    },
    /// What was to be written cannot follow what stands in the log by now.
    #[error("{0}")]
    Refused(IllegalEntry),
    /// Others kept writing; nothing of ours was written.
    #[error("other writers were faster {0} times in a row")]
    Contended(u32),
    /// There is no policy in the log.
    #[error("the log has no policy yet")]
    NotInitialised,
    /// The policy has no such environment.
    #[error("the policy has no environment `{0}`")]
    UnknownEnvironment(EnvironmentName),
    /// The environment has no driver in the configuration.
    #[error("environment `{0}` has no `deploy` in the configuration")]
    NoDriver(EnvironmentName),
    /// There is nothing that could be promoted.
    #[error("{0}")]
    NothingToPromote(String),
    /// There is nothing to go back to.
    #[error("{0}")]
    NoRollbackTarget(String),
    /// There are releases to go back to, and none of them works on the database.
    #[error(
        "no earlier release works on the database of {environment}: it is at {database}, and the newest one, {newest}, {expected}"
    )]
    PastDatabase {
        /// The environment.
        environment: EnvironmentName,
        /// What its database is at.
        database: Schema,
        /// The newest earlier release.
        newest: String,
        /// What that one says.
        expected: Expected,
    },
    /// There is no such promotion.
    #[error("there is no promotion {0}")]
    NoPromotion(PromotionId),
    /// The promotion is in a state in which this cannot be done.
    #[error("promotion {id} is {status}: {why}")]
    WrongState {
        /// Which.
        id: PromotionId,
        /// Its state.
        status: Status,
        /// Why that does not go together.
        why: String,
    },
    /// Another promotion has the environment.
    #[error("promotion {by} holds {environment} until {until} at the latest")]
    Held {
        /// The environment.
        environment: EnvironmentName,
        /// What has it.
        by: PromotionId,
        /// When its lease ends by itself.
        until: Timestamp,
    },
    /// The rule excludes the requester from approving, and nobody knows who asks.
    #[error("nobody knows who asks, and {0} may not be approved by who asked")]
    RequesterUnknown(EnvironmentName),
    /// The environment attests what enters it, and the key for that is not here.
    #[error("{environment} attests what enters it, and the promotion key is not at hand: {why}")]
    NoPromotionKey {
        /// The environment.
        environment: EnvironmentName,
        /// What was found instead.
        why: String,
    },
    /// The policy does not have this way around the usual one.
    #[error("the policy has no `{key}` for {environment}, so there is no such way")]
    NoSuchWay {
        /// The environment.
        environment: EnvironmentName,
        /// The key that would open it.
        key: &'static str,
    },
    /// A freeze is in a time zone that this program does not know.
    #[error(
        "a freeze of {environment} is in the time zone `{zone}`, which this version does not know: nobody can say whether it is frozen"
    )]
    UnknownZone {
        /// The environment.
        environment: EnvironmentName,
        /// The name.
        zone: String,
    },
    /// A person may not do that.
    #[error("`{who}` may not do that: {why}")]
    MayNot {
        /// Who.
        who: PersonId,
        /// Why.
        why: String,
    },
    /// There is no such open proposal.
    #[error("there is no open proposal {0}: it was accepted, refused or has lapsed, or the policy changed since")]
    NoProposal(u64),
    /// An identity provider's token does not prove who asks.
    #[error("the token does not say who asks: {0}")]
    Token(String),
    /// A signature does not hold.
    #[error("the signature does not hold: {0}")]
    Signature(String),
    /// A statement is not what it should be.
    #[error("the signed statement is not valid here: {0}")]
    Statement(String),
    /// The signer's key is nobody's.
    #[error("the key {0} belongs to nobody in the policy")]
    UnknownKey(String),
    /// The decision would not count.
    #[error("the decision of `{by}` does not count: {why}")]
    NotCounted {
        /// Whose.
        by: PersonId,
        /// Why.
        why: NotCounted,
    },
    /// A request for approval that came in a file is not what somebody exported.
    #[error("the request cannot be used: {0}")]
    Request(String),
    /// A request for approval that came in a file is too old.
    #[error("the request is no longer waited for: it lapsed at {0}")]
    RequestLapsed(Timestamp),
    /// What was handed in is no answer to a request.
    #[error("it is no signed answer: {0}")]
    Answer(String),
    /// A comment is no approval.
    #[error("the comment does not count: {0}")]
    Comment(String),
    /// Evidence is not what it should be, or not about what it should be about.
    #[error("{0}")]
    Evidence(String),
    /// A registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A host has nothing that it could go back to by itself.
    #[error("{0}")]
    NothingOnHost(String),
    /// A host was rolled back without the log, and the log does not have that yet.
    #[error("{environment} was rolled back without the log, and {why}")]
    Unmerged {
        /// Where.
        environment: EnvironmentName,
        /// What is in the way of taking it in.
        why: String,
        /// Whether the rollback is over.
        over: bool,
    },
    /// The record of a rollback without the log is not what a person signed, or says what cannot be.
    #[error("the record {key} of a rollback without the log does not hold: {why}")]
    BadRecord {
        /// Which.
        key: String,
        /// Why.
        why: String,
    },
    /// Something does not exist.
    #[error("{0}")]
    NotFound(String),
}
