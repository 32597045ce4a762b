//! What was measured, in the order in which it is told.

use std::time::Duration;

use sealift_domain::cost::Cost;

use crate::spread;

/// All series.
#[derive(Default)]
pub(crate) struct Figures {
    series: Vec<Series>,
    /// How many entries the long log had when it was read.
    pub(crate) entries: u64,
    /// Deployments and rebuilds, each by the name of its series, as Sealift recorded them.
    pub(crate) costs: Vec<(&'static str, Cost)>,
    /// What a client saw during the command of this name: requests, and how many of them failed.
    pub(crate) clients: Vec<(String, usize, usize)>,
    /// Why nothing was measured on an engine.
    pub(crate) no_engine: Option<String>,
}

/// One thing that was measured several times.
pub(crate) struct Series {
    /// What, in words.
    pub(crate) name: String,
    /// The table that it belongs to.
    pub(crate) table: Table,
    /// The times, in the order of the runs.
    pub(crate) times: Vec<Duration>,
    /// The requests that registries got in the last run.
    pub(crate) requests: Option<usize>,
    /// The most memory that was seen resident, in bytes.
    pub(crate) memory: Option<u64>,
}

/// Where a series is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// A process of ours from start to end.
    Whole,
    /// A part of such a process, by the time line in the log.
    Part,
    /// A commit, within a process.
    Commit,
    /// Another program that does the same.
    Peer,
    /// A way to another release on a container engine, ours or Compose's.
    Engine,
    /// A part of ours, by the time line in the log.
    EnginePart,
    /// The longest time without an answer that a client saw on such a way; the name is the way's.
    Outage,
}

impl Figures {
    /// Adds a time of a series, which is created where it does not exist.
    pub(crate) fn time(&mut self, table: Table, name: &str, time: Duration) {
        self.series(table, name).times.push(time);
    }

    /// The series of that name.
    pub(crate) fn series(&mut self, table: Table, name: &str) -> &mut Series {
        let at = match self.series.iter().position(|series| series.table == table && series.name == name) {
            Some(at) => at,
            None => {
                let fresh = Series { name: name.to_owned(), table, times: Vec::new(), requests: None, memory: None };
                self.series.push(fresh);
                self.series.len() - 1
            }
        };
        &mut self.series[at]
    }

    /// The series of a table that have figures.
    pub(crate) fn of(&self, table: Table) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(move |series| series.table == table && !series.times.is_empty())
    }

    /// A series by table and name.
    pub(crate) fn find(&self, table: Table, name: &str) -> Option<&Series> {
        self.of(table).find(|series| series.name == name)
    }
}

impl Series {
    /// The middle one; of an even number the mean of the two in the middle.
    pub(crate) fn median(&self) -> Duration {
        spread::median(&self.times)
    }

    /// The shortest.
    pub(crate) fn minimum(&self) -> Duration {
        spread::minimum(&self.times)
    }

    /// The longest.
    pub(crate) fn maximum(&self) -> Duration {
        spread::maximum(&self.times)
    }
}
