//! Writing to the branch: one commit, one push, and then the question whether it arrived, whatever the push said.

use aws_lc_rs::rand;
use sealift_engine::ports::log::{Head, LogError};

use super::{
    blobs::Oid,
    layout::{LARGE, MAX_ON_BRANCH},
    repository::{Changes, Fault, Pushed},
    session::Session,
    words::Answer,
};
use crate::record::Record;

/// How often a push is made again because something else than the log has changed on the branch.
const TRIES: u32 = 32;

/// What became of a change of the branch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is there; the commit, if it is the newest.
    Written(Option<Oid>),
    /// Somebody else was first.
    Moved,
}

/// How a commit takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// On top of what is there.
    OnTop,
    /// In place of it, without history.
    Detached,
}

impl Session<'_> {
    /// Appends commits that follow the mirror's newest one. If others have appended meanwhile, nothing is written and it is
    /// a conflict.
    pub(super) async fn publish(&mut self, records: Vec<Record>) -> Result<Head, Fault> {
        let expected = self.head()?;
        self.put_large(&records).await?;
        for _ in 0..TRIES {
            let (seen, files) = self.known_files().await?;
            // Where the clone was made anew, that has looked at the remote.
            let found = self.head()?;
            if found != expected {
                return Err(LogError::Conflict { expected, found }.into());
            }
            self.follows(&records)?;
            let changes = self.changes(&files, &records).await?;
            let size = records.last().map_or(expected.size, |record| record.size);
            let message = format!("{} entries, {size} in all", size - expected.size);
            match self.change(&seen, Manner::OnTop, &changes, &message).await? {
                Outcome::Written(commit) => return Ok(self.settle(commit, &records).await),
                Outcome::Moved => {
                    self.sync().await?;
                    let found = self.head()?;
                    if self.holds(&records)? {
                        return Ok(head_of(&records, expected));
                    }
                    if found != expected {
                        return Err(LogError::Conflict { expected, found }.into());
                    }
                }
            }
        }
        Err(self.refused("others keep changing the branch"))
    }

    /// Nothing is pushed that could not be read again.
    fn follows(&self, records: &[Record]) -> Result<(), Fault> {
        let mut point = self.mirror()?.tip()?.verify(self.keys())?;
        for record in records {
            point = record.follow(&point, self.keys())?;
        }
        Ok(())
    }

    /// Whether the mirror has just these commits, note for note. Only asked when history does not tell.
    fn holds(&self, records: &[Record]) -> Result<bool, Fault> {
        let Some(last) = records.last() else { return Ok(false) };
        let unknown = self.unknown.as_deref() == Some(&last.note);
        let found = self.mirror()?.commit_at(last.size)?;
        Ok(unknown && found.is_some_and(|commit| commit.note == last.note && commit.annex == last.annex))
    }

    /// Makes a commit on top of `seen` and pushes it.
    pub(super) async fn change(
        &mut self,
        seen: &Oid,
        manner: Manner,
        changes: &Changes,
        message: &str,
    ) -> Result<Outcome, Fault> {
        let message = with_nonce(message);
        let commit = self.repository.commit(Some(seen), manner == Manner::Detached, changes, &message).await?;
        for _ in 0..TRIES {
            let (answer, words) = match self.repository.push(&commit, Some(seen)).await? {
                Pushed::Done => return Ok(Outcome::Written(Some(commit))),
                Pushed::Failed(answer, words) => (answer, words),
            };
            let found = match self.repository.look().await {
                Ok(found) => found,
                Err(_) => return Err(self.not_written(answer, words, false)),
            };
            if found.as_ref() == Some(&commit) {
                return Ok(Outcome::Written(Some(commit)));
            }
            if found.as_ref() != Some(seen) {
                return self.arrived(seen, &commit, changes, answer, words).await;
            }
            if !is_race(&words) {
                return Err(self.not_written(answer, words, true));
            }
        }
        Err(self.refused("others keep changing the branch"))
    }

    /// Whether a commit is in the history of what is there now.
    async fn arrived(
        &mut self,
        seen: &Oid,
        commit: &Oid,
        changes: &Changes,
        answer: Answer,
        words: String,
    ) -> Result<Outcome, Fault> {
        match self.repository.has_arrived(seen, commit).await {
            Ok(Some(true)) => Ok(Outcome::Written(None)),
            Ok(Some(false)) => Ok(Outcome::Moved),
            // History was cut off meanwhile: the log itself tells.
            Ok(None) => {
                let note = changes.get(super::layout::CHECKPOINT).cloned().flatten();
                self.unknown = note.and_then(|note| String::from_utf8(note).ok());
                Ok(Outcome::Moved)
            }
            Err(_) => Err(self.not_written(answer, words, false)),
        }
    }

    /// The error of a push that failed; `looked`: nothing of it was there afterwards.
    pub(super) fn not_written(&self, answer: Answer, why: String, looked: bool) -> Fault {
        let place = self.log.remote.to_string();
        match answer {
            Answer::No => LogError::Refused { place, why }.into(),
            Answer::Unreachable => LogError::Unreachable { place, why }.into(),
            Answer::Local if looked => Fault::Cache(why),
            // Looked too early, perhaps: what was sent may still be on its way.
            Answer::Local | Answer::Unknown => LogError::Uncertain { place, why }.into(),
        }
    }

    pub(super) fn refused(&self, why: &str) -> Fault {
        LogError::Refused { place: self.log.remote.to_string(), why: why.to_owned() }.into()
    }

    /// After a push: the cache is brought up to it. It is written whatever becomes of this; the next look at the remote
    /// finds out what is missing here.
    async fn settle(&mut self, commit: Option<Oid>, records: &[Record]) -> Head {
        let head = self.head().unwrap_or(Head { size: 0, root: [0; 32] });
        let head = head_of(records, head);
        let Some(commit) = commit else {
            drop(self.sync().await);
            return head;
        };
        let note = records.last().map(|record| record.note.as_str()).unwrap_or_default();
        let kept = self.cache().keep(note).map_err(Fault::Log);
        let imported = kept.and_then(|()| Ok(self.mirror()?.import(records)?));
        if imported.is_ok() {
            drop(self.repository.set_seen(&commit));
        }
        head
    }

    /// Stores large objects where they belong, before anything names them.
    async fn put_large(&self, records: &[Record]) -> Result<(), Fault> {
        for (digest, bytes) in records.iter().flat_map(|record| &record.objects) {
            match &self.log.options.large {
                Some(large) if bytes.len() > LARGE => large.put(*digest, bytes).await?,
                None if bytes.len() > MAX_ON_BRANCH => {
                    return Err(self.refused(&format!(
                        "an object of {} bytes is too large for a branch, where at most {MAX_ON_BRANCH} are stored: configure \
                         `store: {{large_objects: …}}`",
                        bytes.len()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The head after these commits.
fn head_of(records: &[Record], before: Head) -> Head {
    let verified = records.last().and_then(|record| crate::checkpoint::unverified(&record.note).ok());
    verified.unwrap_or(before)
}

/// Whether two pushes at the same moment got in each other's way on the server.
fn is_race(words: &str) -> bool {
    let lower = words.to_lowercase();
    ["lock ref", "failed to update ref", "incorrect old value", "fetch first", "stale info"]
        .iter()
        .any(|sign| lower.contains(sign))
}

/// A message that no other run has, so that no two ever make the same commit: whether one of them arrived could not be told
/// otherwise.
pub(super) fn with_nonce(message: &str) -> String {
    let mut bytes = [0; 8];
    // Without randomness there is still git's own time.
    let _ = rand::fill(&mut bytes);
    format!("{message}\n\nrun: {}", hex::encode(bytes))
}
