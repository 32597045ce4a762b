//! The audit: everything is computed again from the stored bytes, in one pass over leaves, links and checkpoints side by
//! side, and one over the objects.

use std::collections::{BTreeSet, HashSet};

use rusqlite::{Connection, Rows, Statement};
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{AuditReport, Head, LogError};

use super::{
    place::{Place, tampered},
    rows::{COMMIT, Commit, Leaf, MAX_OBJECT, leaf_query, number},
};
use crate::{annex::Annex, key::Keyring, merkle::Frontier};

/// Audits the whole log; `kept` is a verified checkpoint from elsewhere.
pub(super) fn audit(
    place: &Place,
    connection: &Connection,
    keys: &Keyring,
    kept: Option<Head>,
) -> Result<AuditReport, LogError> {
    check_pages(place, connection)?;
    let prepare = |text: &str| connection.prepare(text).map_err(|e| place.failed(e));
    let mut leaves = prepare(&leaf_query("ORDER BY idx"))?;
    let mut links = prepare("SELECT idx, digest FROM leaf_object ORDER BY idx, digest")?;
    let mut commits = prepare(&format!("{COMMIT} ORDER BY size"))?;
    let mut commits = commits.query([]).map_err(|e| place.failed(e))?;
    let mut walk = Walk::start(place, keys, kept, &mut leaves, &mut links)?;
    while let Some(row) = commits.next().map_err(|e| place.failed(e))? {
        walk.commit(&Commit::read(place, row)?)?;
    }
    let (report, named) = walk.finish()?;
    let present = objects(place, connection, &named)?;
    let erased = named.into_iter().filter(|(_, digest)| !present.contains(digest)).collect();
    Ok(AuditReport { erased, ..report })
}

/// Lets SQLite check pages and indexes: an index that hides a row would make readers miss what the tables hold.
fn check_pages(place: &Place, connection: &Connection) -> Result<(), LogError> {
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(|e| place.failed(e))?;
    if found == "ok" { Ok(()) } else { Err(tampered(&format!("the database file is damaged: {found}"), None)) }
}

/// Which leaf names which object.
type Links = Vec<(u64, Digest)>;

/// The pass over leaves, links and checkpoints.
struct Walk<'a> {
    place: &'a Place,
    keys: &'a Keyring,
    kept: Option<Head>,
    leaves: Rows<'a>,
    links: Rows<'a>,
    next_link: Option<(u64, Digest)>,
    frontier: Frontier,
    annex: Annex,
    commits: u64,
    newest_key: usize,
    named: Links,
}

impl<'a> Walk<'a> {
    fn start(
        place: &'a Place,
        keys: &'a Keyring,
        kept: Option<Head>,
        leaves: &'a mut Statement<'_>,
        links: &'a mut Statement<'_>,
    ) -> Result<Self, LogError> {
        let sql = |e| place.failed(e);
        let mut walk = Self {
            place,
            keys,
            kept,
            leaves: leaves.query([]).map_err(sql)?,
            links: links.query([]).map_err(sql)?,
            next_link: None,
            frontier: Frontier::default(),
            annex: Annex::default(),
            commits: 0,
            newest_key: 0,
            named: Vec::new(),
        };
        walk.next_link = walk.read_link()?;
        walk.compare_kept()?;
        Ok(walk)
    }

    /// One commit: the leaves up to it, then its checkpoint and annex against what was computed.
    fn commit(&mut self, commit: &Commit) -> Result<(), LogError> {
        let size = self.frontier.size();
        if self.commits == 0 && commit.size != 0 {
            return Err(tampered("the checkpoint of the empty log is missing", None));
        }
        while self.frontier.size() < commit.size {
            self.leaf()?;
        }
        if commit.frontier != self.frontier {
            let what = format!("the tree at {} entries is not the one that was stored", commit.size);
            return Err(tampered(&what, Some(size)));
        }
        let key = commit.verify(self.keys)?;
        if key < self.newest_key {
            return Err(tampered("a replaced key signed after the key that replaced it", Some(size)));
        }
        self.annex.commit(commit.size);
        if commit.annex(self.keys)? != self.annex {
            let what = format!("snapshot marks, object links or checkpoints up to {} entries were edited", commit.size);
            return Err(tampered(&what, None));
        }
        self.newest_key = key;
        self.commits += 1;
        Ok(())
    }

    /// The next leaf with its links.
    fn leaf(&mut self) -> Result<(), LogError> {
        let expected = self.frontier.size();
        let row = self.leaves.next().map_err(|e| self.place.failed(e))?;
        let row = row.ok_or_else(|| tampered("a checkpoint covers it and it is missing", Some(expected)))?;
        let leaf = Leaf::read(row, expected)?;
        let mut digests = BTreeSet::new();
        while let Some((_, digest)) = self.next_link.filter(|(idx, _)| *idx == expected) {
            digests.insert(digest);
            self.named.push((expected, digest));
            self.next_link = self.read_link()?;
        }
        self.annex.leaf(leaf.snapshot, &digests);
        self.frontier.push(leaf.hash);
        self.compare_kept()
    }

    fn read_link(&mut self) -> Result<Option<(u64, Digest)>, LogError> {
        let sql = |e| self.place.failed(e);
        let Some(row) = self.links.next().map_err(sql)? else { return Ok(None) };
        Ok(Some((number(self.place, row)?, Digest::from_bytes(row.get(1).map_err(sql)?))))
    }

    /// Compares with the kept checkpoint when its size is reached.
    fn compare_kept(&mut self) -> Result<(), LogError> {
        let size = self.frontier.size();
        match self.kept {
            Some(kept) if kept.size == size && kept.root != self.frontier.root() => {
                let what = format!("it is forked: its first {size} entries are not those of the kept checkpoint");
                Err(tampered(&what, None))
            }
            _ => Ok(()),
        }
    }

    /// Nothing may be left over, and nothing may be missing.
    fn finish(mut self) -> Result<(AuditReport, Links), LogError> {
        let size = self.frontier.size();
        if self.commits == 0 {
            return Err(tampered("no checkpoint is left", None));
        }
        if self.leaves.next().map_err(|e| self.place.failed(e))?.is_some() {
            return Err(tampered("no checkpoint covers it", Some(size)));
        }
        if let Some((idx, digest)) = self.next_link {
            return Err(tampered(&format!("the object {digest} is named by no entry"), Some(idx)));
        }
        if let Some(kept) = self.kept.filter(|kept| kept.size > size) {
            let what = format!("it is truncated or forked: the kept checkpoint covers {} entries", kept.size);
            return Err(tampered(&what, Some(size)));
        }
        let report = AuditReport { size, root: self.frontier.root(), checkpoints: self.commits, erased: Vec::new() };
        Ok((report, self.named))
    }
}

/// The digests of all stored objects, each rehashed. An object that no leaf names was not stored by us.
fn objects(place: &Place, connection: &Connection, named: &Links) -> Result<HashSet<Digest>, LogError> {
    let sql = |e| place.failed(e);
    let named: HashSet<Digest> = named.iter().map(|(_, digest)| *digest).collect();
    let query = format!("SELECT digest, CASE WHEN length(bytes) <= {MAX_OBJECT} THEN bytes END FROM object");
    let mut statement = connection.prepare(&query).map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    let mut present = HashSet::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let digest = Digest::from_bytes(row.get(0).map_err(sql)?);
        let bytes = row.get_ref(1).map_err(sql)?.as_blob().map_err(|e| tampered(&e.to_string(), None))?;
        if Digest::of(bytes) != digest {
            return Err(tampered(&format!("the object {digest} has other content"), None));
        }
        if !named.contains(&digest) || !present.insert(digest) {
            return Err(tampered(&format!("the object {digest} is named by no entry"), None));
        }
    }
    Ok(present)
}
