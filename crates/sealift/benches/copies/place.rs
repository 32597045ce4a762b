//! Where it is measured: two registries, the proxies that make them far, a directory.

use std::path::{Path, PathBuf};

use crate::{Failed, proxy::Proxy, registry::Registry};

/// The place. Registries end with it, then their directory goes, however the run ends.
pub(crate) struct Place {
    /// Where the images are.
    pub(crate) source: Registry,
    /// Where they are copied to.
    pub(crate) target: Registry,
    /// The way to `source` that takes 20 ms.
    pub(crate) source_far: Proxy,
    /// The way to `target` that takes 20 ms.
    pub(crate) target_far: Proxy,
    directory: Directory,
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Place {
    pub(crate) async fn new() -> Result<Self, Failed> {
        let directory = Directory(std::env::temp_dir().join(format!("sealift-bench-copies-{}", std::process::id())));
        let source = Registry::start(&directory.0.join("source")).await?;
        let target = Registry::start(&directory.0.join("target")).await?;
        let source_far = Proxy::start(&source.address).await?;
        let target_far = Proxy::start(&target.address).await?;
        Ok(Self { source, target, source_far, target_far, directory })
    }

    /// An empty home directory for one run of a program.
    pub(crate) fn home(&self) -> Result<PathBuf, Failed> {
        let home = self.directory.0.join("home");
        drop(std::fs::remove_dir_all(&home));
        std::fs::create_dir_all(&home)?;
        Ok(home)
    }

    /// The directory in which everything lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory.0
    }
}
