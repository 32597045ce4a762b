//! What a state directory keeps for the time when there is neither log nor registry, in its directory `offline`:
//!
//! ```text
//! definitions/<64 hex>            what deployments were started from, by digest
//! database.json                   the newest schema that the database may have been migrated to
//! records/<fence>-<key>.json      rollbacks that the log does not know yet
//! floor.json                      the index in the log under which the last of them came in: lower fencing numbers are refused
//! merged/<fence>-<key>.json       the newest ones that it knows
//! lock                            held by the one rollback that is under way
//! ```
//!
//! Every file is replaced by rename. A record bars everybody else by its name alone, so that a damaged one bars as well.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use sealift_domain::{digest::Digest, schema::Schema};
use sealift_engine::ports::{
    driver::{DriverError, DriverErrorKind},
    offline::{Kept, MAX_RECORD},
};
use serde::{Deserialize, Serialize};

use crate::{failure, files};

/// The version of the small files.
const FORMAT: u32 = 1;
/// The largest small file, in bytes.
const MAX_SMALL: u64 = 4096;
/// The largest definition, in bytes.
const MAX_DEFINITION: u64 = 4 << 20;
/// How many records wait for the log at most. Whoever goes back that often has another problem.
const MAX_RECORDS: usize = 32;
/// How many records are kept after they came into the log.
const MAX_MERGED: usize = 16;
/// How many digits a fencing number has in a name, so that names sort as numbers do.
const DIGITS: usize = 20;

/// The directory `offline` of a state directory.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    state: PathBuf,
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Database {
    format: u32,
    schema: Option<Schema>,
}

#[derive(Serialize, Deserialize)]
struct Floor {
    format: u32,
    fence: u64,
}

impl Shelf {
    /// The shelf of a state directory. Nothing is created before something is kept.
    pub(crate) fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), dir: state.join("offline") }
    }

    /// Why a deployment may not do anything here, if so: a rollback that the log does not know yet, or one that it came to know
    /// after the deployment's lease was taken.
    pub(crate) fn bars(&self, fence: u64, key: Option<&str>) -> Result<Option<String>, DriverError> {
        let names = self.names("records").map_err(|e| self.unusable(&e))?;
        if let Some((record_fence, record_key)) = names.last() {
            let own = *record_fence == fence && key.is_none_or(|key| key == record_key);
            let why = format!(
                "this host was rolled back without the log ({record_key}, fencing number {record_fence}), and the log does not \
                 have that yet: `sealift record offline` takes it in"
            );
            return Ok((!own).then_some(why));
        }
        let floor = self.floor()?;
        Ok((fence < floor).then(|| {
            format!("this host was rolled back without the log, which came to know it at entry {floor}; this deployment's number is {fence}")
        }))
    }

    /// The same as an error.
    pub(crate) fn admit(&self, fence: u64, key: &str) -> Result<(), DriverError> {
        match self.bars(fence, Some(key))? {
            Some(why) => Err(failure(DriverErrorKind::Fenced, why)),
            None => Ok(()),
        }
    }

    /// The fencing number below which everybody is refused.
    pub(crate) fn floor(&self) -> Result<u64, DriverError> {
        Ok(self.small::<Floor>("floor.json")?.map_or(0, |floor| floor.fence))
    }

    /// Takes the lock of the one rollback without the log.
    pub(crate) fn reserve(&self) -> Result<fs::File, DriverError> {
        files::private_dir(&self.dir).map_err(|e| self.unusable(&e))?;
        let path = self.dir.join("lock");
        let lock = files::try_lock(&path).map_err(|e| self.unusable(&e))?;
        lock.ok_or_else(|| {
            let why = format!("another rollback without the log is at work here and holds {}", path.display());
            failure(DriverErrorKind::Locked, why)
        })
    }

    /// Keeps a definition.
    pub(crate) fn keep_definition(&self, bytes: &[u8]) -> Result<Digest, DriverError> {
        let digest = Digest::of(bytes);
        let dir = self.dir.join("definitions");
        let path = dir.join(digest.hex());
        if !path.exists() {
            files::private_dir(&dir).and_then(|()| files::replace(&path, bytes)).map_err(|e| self.unusable(&e))?;
        }
        Ok(digest)
    }

    /// A definition that was kept, if it still is what its name says.
    pub(crate) fn definition(&self, digest: Digest) -> Result<Option<Vec<u8>>, DriverError> {
        let path = self.dir.join("definitions").join(digest.hex());
        let bytes = files::read_bounded(&path, MAX_DEFINITION).map_err(|e| self.unusable(&e))?;
        Ok(bytes.filter(|bytes| Digest::of(bytes) == digest))
    }

    /// Removes all definitions but those that the journal names.
    pub(crate) fn prune_definitions(&self, named: &BTreeSet<Digest>) -> Result<(), DriverError> {
        let named: BTreeSet<String> = named.iter().map(Digest::hex).collect();
        for entry in read_dir(&self.dir.join("definitions")).map_err(|e| self.unusable(&e))? {
            if !named.contains(&entry) {
                // One that cannot be removed is only larger than need be.
                let _ = fs::remove_file(self.dir.join("definitions").join(entry));
            }
        }
        Ok(())
    }

    /// What the database may have been migrated to.
    pub(crate) fn database(&self) -> Result<Option<Schema>, DriverError> {
        Ok(self.small::<Database>("database.json")?.and_then(|database| database.schema))
    }

    /// A release that expects `schema` is about to be started: it may migrate the database.
    pub(crate) fn may_migrate(&self, schema: Schema) -> Result<(), DriverError> {
        let before = self.database()?;
        let after = schema.after(before);
        if before == Some(after) {
            return Ok(());
        }
        self.write("database.json", &Database { format: FORMAT, schema: Some(after) })
    }

    /// The records that the log does not have yet, by their fencing numbers.
    pub(crate) fn records(&self) -> Result<Vec<Kept>, DriverError> {
        self.kept_in("records")
    }

    /// The newest of those that it has.
    pub(crate) fn merged(&self) -> Result<Vec<Kept>, DriverError> {
        self.kept_in("merged")
    }

    fn kept_in(&self, directory: &str) -> Result<Vec<Kept>, DriverError> {
        let names = self.names(directory).map_err(|e| self.unusable(&e))?;
        let read = |(fence, key): (u64, String)| {
            let path = self.place(directory, fence, &key);
            let bytes = files::read_bounded(&path, MAX_RECORD).map_err(|e| self.unusable(&e))?;
            Ok(bytes.map(|bytes| Kept { key, fence, bytes }))
        };
        names.into_iter().map(read).filter_map(Result::transpose).collect()
    }

    /// Keeps a record.
    pub(crate) fn keep(&self, record: &Kept) -> Result<(), DriverError> {
        let names = self.names("records").map_err(|e| self.unusable(&e))?;
        let known = names.iter().any(|(fence, key)| *fence == record.fence && *key == record.key);
        if !known && names.len() >= MAX_RECORDS {
            let why = format!("{} rollbacks wait here for the log, no more are kept; nothing was changed", names.len());
            return Err(failure(DriverErrorKind::Preflight, why));
        }
        if record.bytes.len() as u64 > MAX_RECORD {
            let why = format!("the record has more than {MAX_RECORD} bytes; nothing was changed");
            return Err(failure(DriverErrorKind::Preflight, why));
        }
        let path = self.place("records", record.fence, &record.key);
        let kept = files::private_dir(&self.dir.join("records")).and_then(|()| files::replace(&path, &record.bytes));
        kept.map_err(|e| self.unusable(&e))
    }

    /// Removes a record under which nothing was done.
    pub(crate) fn withdraw(&self, record: &Kept) -> Result<(), DriverError> {
        match fs::remove_file(self.place("records", record.fence, &record.key)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.unusable(&e)),
            _ => Ok(()),
        }
    }

    /// The log has a record, at entry `fence`.
    pub(crate) fn settle(&self, record: &Kept, fence: u64) -> Result<(), DriverError> {
        // First the floor: between the two, both refuse.
        if self.floor()? < fence {
            self.write("floor.json", &Floor { format: FORMAT, fence })?;
        }
        let merged = self.dir.join("merged");
        files::private_dir(&merged).map_err(|e| self.unusable(&e))?;
        let from = self.place("records", record.fence, &record.key);
        match fs::rename(&from, self.place("merged", record.fence, &record.key)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.unusable(&e)),
            _ => {}
        }
        if let Some(records) = from.parent().filter(|records| records.exists()) {
            files::sync_dir(records).map_err(|e| self.unusable(&e))?;
        }
        let names = self.names("merged").map_err(|e| self.unusable(&e))?;
        for (fence, key) in names.iter().take(names.len().saturating_sub(MAX_MERGED)) {
            let _ = fs::remove_file(self.place("merged", *fence, key));
        }
        Ok(())
    }

    fn place(&self, directory: &str, fence: u64, key: &str) -> PathBuf {
        self.dir.join(directory).join(format!("{fence:0DIGITS$}-{key}.json"))
    }

    /// Fencing numbers and keys of the records in a directory, in order. What no record is called is none.
    fn names(&self, directory: &str) -> io::Result<Vec<(u64, String)>> {
        let mut names: Vec<(u64, String)> =
            read_dir(&self.dir.join(directory))?.iter().filter_map(|name| parse(name)).collect();
        names.sort();
        Ok(names)
    }

    fn small<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, DriverError> {
        let path = self.dir.join(name);
        let Some(bytes) = files::read_bounded(&path, MAX_SMALL).map_err(|e| self.unusable(&e))? else {
            return Ok(None);
        };
        let refuse = |why: String| {
            let why = format!("{} cannot be used: {why}; nothing was changed", path.display());
            failure(DriverErrorKind::Preflight, why)
        };
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        if value.get("format").and_then(serde_json::Value::as_u64) != Some(u64::from(FORMAT)) {
            return Err(refuse(format!("its format is not {FORMAT}")));
        }
        serde_json::from_value(value).map(Some).map_err(|e| refuse(e.to_string()))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), DriverError> {
        let bytes = serde_json::to_vec(value).map_err(|e| failure(DriverErrorKind::Preflight, e.to_string()))?;
        let path = self.dir.join(name);
        files::private_dir(&self.dir).and_then(|()| files::replace(&path, &bytes)).map_err(|e| self.unusable(&e))
    }

    fn unusable(&self, error: &io::Error) -> DriverError {
        let why = format!("the state directory {} cannot be used: {error}", self.state.display());
        failure(DriverErrorKind::Unreachable, why)
    }
}

/// The names in a directory; none if it is not there.
fn read_dir(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Fencing number and key of a record, by its name.
fn parse(name: &str) -> Option<(u64, String)> {
    let (fence, key) = name.strip_suffix(".json")?.split_once('-')?;
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let numbered = fence.len() == DIGITS && fence.bytes().all(|b| b.is_ascii_digit());
    (plain && numbered).then(|| Some((fence.parse().ok()?, key.to_owned())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(fence: u64) -> Kept {
        Kept { key: format!("offline-{fence}"), fence, bytes: format!("{{\"n\":{fence}}}").into_bytes() }
    }

    #[test]
    fn a_record_bars_everybody_but_its_own_deployment_until_the_log_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        assert_eq!(shelf.bars(0, Some("p1")).unwrap(), None);
        shelf.keep(&kept(8)).unwrap();
        for (fence, key) in [(7, "p1"), (8, "p1"), (9, "p1"), (900, "p1")] {
            assert!(shelf.bars(fence, Some(key)).unwrap().unwrap().contains("sealift record offline"), "{fence}");
        }
        assert_eq!(shelf.bars(8, Some("offline-8")).unwrap(), None);
        // Not even the record's own, once a later one is there.
        shelf.keep(&kept(9)).unwrap();
        assert!(shelf.bars(8, Some("offline-8")).unwrap().is_some());
        assert_eq!(shelf.records().unwrap(), [kept(8), kept(9)]);
        shelf.settle(&kept(8), 40).unwrap();
        shelf.settle(&kept(9), 41).unwrap();
        shelf.settle(&kept(9), 41).unwrap();
        assert_eq!((shelf.records().unwrap(), shelf.floor().unwrap()), (vec![], 41));
        assert!(shelf.bars(40, Some("p1")).unwrap().unwrap().contains("entry 41"));
        assert_eq!(shelf.bars(41, Some("p1")).unwrap(), None);
    }

    #[test]
    fn a_damaged_record_bars_too_and_strange_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        shelf.keep(&Kept { bytes: b"{".to_vec(), ..kept(3) }).unwrap();
        let records = dir.path().join("offline/records");
        for name in ["00000000000000000009-../x.json", "9-x.json", "x", "00000000000000000009-x.new"] {
            let _ = fs::write(records.join(name), b"");
        }
        assert_eq!(shelf.records().unwrap().len(), 1);
        assert!(shelf.bars(100, Some("p1")).unwrap().is_some());
        fs::write(dir.path().join("offline/floor.json"), b"{}").unwrap();
        assert_eq!(shelf.floor().unwrap_err().kind, DriverErrorKind::Preflight);
    }

    #[test]
    fn no_more_records_are_kept_than_fit_and_old_ones_are_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        (0..32).for_each(|n| shelf.keep(&kept(n)).unwrap());
        assert!(shelf.keep(&kept(32)).unwrap_err().message.contains("nothing was changed"));
        shelf.keep(&kept(31)).unwrap();
        (0..32).for_each(|n| shelf.settle(&kept(n), 100 + n).unwrap());
        assert_eq!(shelf.names("merged").unwrap().len(), MAX_MERGED);
    }

    #[test]
    fn the_newest_schema_stays_and_definitions_are_what_their_names_say() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        let schema = |at, from| Schema::new(at, from).unwrap();
        assert_eq!(shelf.database().unwrap(), None);
        for next in [schema(3, 3), schema(8, 7), schema(7, 7)] {
            shelf.may_migrate(next).unwrap();
        }
        assert_eq!(shelf.database().unwrap(), Some(schema(8, 7)));
        let (a, b) = (shelf.keep_definition(b"a").unwrap(), shelf.keep_definition(b"b").unwrap());
        assert_eq!(shelf.definition(a).unwrap().unwrap(), b"a");
        fs::write(dir.path().join("offline/definitions").join(a.hex()), b"other").unwrap();
        assert_eq!(shelf.definition(a).unwrap(), None);
        shelf.prune_definitions(&BTreeSet::from([a])).unwrap();
        assert_eq!(shelf.definition(b).unwrap(), None);
    }

    #[test]
    fn one_rollback_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        let held = shelf.reserve().unwrap();
        assert_eq!(shelf.reserve().unwrap_err().kind, DriverErrorKind::Locked);
        drop(held);
        shelf.reserve().unwrap();
    }
}
