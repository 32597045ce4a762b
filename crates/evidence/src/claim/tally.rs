//! The packages of an SBOM by their licence.

use std::collections::{BTreeMap, BTreeSet};

use super::read::{Reason, TOO_LONG};

/// The most packages of an SBOM.
const MAX_PACKAGES: u64 = 200_000;
/// The longest licence expression, in bytes. Those of Linux distributions' packages can be longer than other texts.
const MAX_EXPRESSION: usize = 8 * 1024;
/// How much is kept of a name of a licence that is longer than any name, in bytes.
const CUT: usize = 64;

/// Packages by licence.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many.
    pub(super) packages: u64,
    /// Their names by licence, under the empty text those of which nothing is said.
    pub(super) licences: BTreeMap<String, BTreeSet<String>>,
}

impl Tally {
    /// Counts one package.
    pub(super) fn count(&mut self) -> Result<(), Reason> {
        self.add(1)
    }

    /// Puts a package under a licence.
    pub(super) fn put(&mut self, licence: &str, package: String) -> Result<(), Reason> {
        if licence.len() > MAX_EXPRESSION {
            return Err("a licence expression is longer than 8 KiB");
        }
        if let Some(packages) = self.licences.get_mut(licence) {
            packages.insert(package);
        } else {
            self.licences.insert(licence.to_owned(), BTreeSet::from([package]));
        }
        Ok(())
    }

    /// Adds all of another tally.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), Reason> {
        self.add(other.packages)?;
        for (licence, packages) in other.licences {
            self.licences.entry(licence).or_default().extend(packages);
        }
        Ok(())
    }

    fn add(&mut self, packages: u64) -> Result<(), Reason> {
        self.packages += packages;
        if self.packages > MAX_PACKAGES { Err("it lists more than 200000 packages") } else { Ok(()) }
    }
}

/// `name@version`, or the name alone.
pub(super) fn package(group: &str, name: &str, version: &str) -> Result<String, Reason> {
    let length = group.len() + name.len() + version.len();
    if length > super::read::MAX_TEXT - 2 {
        return Err(TOO_LONG);
    }
    let mut package = String::with_capacity(length + 2);
    if !group.is_empty() {
        package.push_str(group);
        package.push('/');
    }
    package.push_str(name);
    if !version.is_empty() {
        package.push('@');
        package.push_str(version);
    }
    Ok(package)
}

/// The name of a licence that is no identifier. Some tools put the whole text of a licence there: its beginning stands
/// for it, with a sign that no name and no expression has, so that it can be mistaken for none.
pub(super) fn licence_name(name: &str) -> String {
    let name = name.trim();
    if name.len() <= super::read::MAX_TEXT {
        return name.to_owned();
    }
    let mut end = CUT;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", &name[..end], name.len())
}
