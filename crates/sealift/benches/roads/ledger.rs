//! `--ledger`: what it costs when the log lies on a branch: from an empty disk to the gates, the same again, and a push. The log is
//! the long one, copied to a bare repository on this disk; what a network adds is not in it.

use std::{path::PathBuf, process::Command, time::Duration};

use sealift_domain::digest::Digest;

use crate::{
    Failed, Options, long_log,
    place::Place,
    process::{Ran, Run, SEALIFT},
    say,
    spread::{maximum, median, minimum},
    table::{aligned, mebibytes, milliseconds},
};

/// Where the branch is, and a checkout that knows it.
struct Branch {
    repository: PathBuf,
    checkout: PathBuf,
    cache: PathBuf,
}

/// Measures, and returns the table.
pub(crate) async fn measure(place: &Place, options: &Options) -> Result<String, Failed> {
    let long = long_log::build(place, options.entries).await?;
    let branch = Branch::of(place, &long.directory).await?;
    let mut rows = Vec::new();
    let (mut cold, mut warm, mut push) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.runs {
        say(&format!("round {} of {}", round + 1, options.runs));
        drop(std::fs::remove_dir_all(&branch.cache));
        cold.push(branch.run(place, &["check", "--to", "production"]).await?.wall);
        warm.push(branch.run(place, &["check", "--to", "production"]).await?.wall);
        let held = Digest::of(&round.to_be_bytes()).to_string();
        push.push(branch.run(place, &["hold", "place", &held, "--reason", "measured"]).await?.wall);
    }
    let row = |what: &str, times: &[Duration]| {
        let times = [median(times), minimum(times), maximum(times)].map(milliseconds);
        [vec![what.to_owned()], times.to_vec()].concat()
    };
    rows.push(row("empty disk to the verdict of the gates (`check`)", &cold));
    rows.push(row("the same with what was read before", &warm));
    rows.push(row("an entry more (`hold place`), pushed", &push));
    let table = aligned(&[&format!("{} entries", long.entries), "median", "min", "max"], &rows);
    let received = size(&branch.repository)?;
    git(&branch.repository, &["gc", "--quiet"])?;
    let sizes = format!(
        "The repository has {} as it was received and {} after `git gc`.\n",
        mebibytes(received),
        mebibytes(size(&branch.repository)?)
    );
    Ok(format!("{table}\n{sizes}"))
}

impl Branch {
    /// Copies the log in `from` to a new repository.
    async fn of(place: &Place, from: &std::path::Path) -> Result<Self, Failed> {
        let repository = place.within("ledger.git")?;
        git(&repository, &["init", "--quiet", "--bare"])?;
        git(&repository, &["config", "uploadpack.allowFilter", "true"])?;
        let store = format!("git+file://{}#sealift", repository.display());
        let copy = ["store", "copy", "--to", &store];
        let copied = Run { program: SEALIFT, arguments: &copy, directory: from, expected: 0, watched: false };
        copied.measure(place).await?;
        let checkout = place.within("checkout")?;
        std::fs::create_dir_all(checkout.join(".sealift"))?;
        for name in ["log.key", "log.pub"] {
            std::fs::copy(from.join(".sealift").join(name), checkout.join(".sealift").join(name))?;
        }
        let yaml = std::fs::read_to_string(from.join("sealift.yaml"))?;
        std::fs::write(checkout.join("sealift.yaml"), format!("{yaml}store: \"{store}\"\n"))?;
        Ok(Self { repository, checkout, cache: place.directory.join(".cache") })
    }

    async fn run(&self, place: &Place, arguments: &[&str]) -> Result<Ran, Failed> {
        let run = Run { program: SEALIFT, arguments, directory: &self.checkout, expected: 0, watched: false };
        run.measure(place).await
    }
}

fn git(directory: &std::path::Path, arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new("git").args(arguments).current_dir(directory).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// The bytes of a repository's objects, loose and packed (`git count-objects -v` says KiB).
fn size(repository: &std::path::Path) -> Result<u64, Failed> {
    let counted = git(repository, &["count-objects", "-v"])?;
    let of = |name: &str| {
        let line = counted.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    Ok((of("size:") + of("size-pack:")) * 1024)
}
