//! A clone without anything in it.

use std::{fs, io, path::Path};

use super::Remote;

/// An empty repository, as whole as `git init` makes it, in place of what is there.
pub(super) fn lay_out(directory: &Path, config: &str) -> io::Result<()> {
    let new = directory.with_extension("new");
    for path in [&new, &directory.to_owned()] {
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
    }
    fs::create_dir_all(new.join("objects"))?;
    fs::create_dir_all(new.join("refs"))?;
    fs::write(new.join("HEAD"), "ref: refs/heads/none\n")?;
    fs::write(new.join("config"), config)?;
    fs::rename(&new, directory)
}

/// The whole configuration: whoever finds another one in its place makes the repository anew.
pub(super) fn config(remote: &Remote, long_names: bool) -> String {
    let format = if long_names { "\tobjectFormat = sha256\n" } else { "" };
    format!(
        "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = true\n[extensions]\n\tpartialClone = origin\n{format}\
         [remote \"origin\"]\n\turl = \"{}\"\n\tpromisor = true\n\tpartialclonefilter = blob:none\n",
        remote.url()
    )
}
