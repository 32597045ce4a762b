//! What this program is meant to reach, beside what it reached in this run.

use crate::{
    cases::{INDEX_FAR, LARGE, MANY, MANY_FAR, MOUNT_FAR, REPEAT_FAR},
    figures::{Figures, Series},
    tools::Program,
};

/// The most memory that a copy may take, in bytes.
const MEMORY: f64 = 48e6;

/// A target: what, the value that was reached if it was measured, and the most that it may be.
struct Target {
    what: &'static str,
    reached: Option<f64>,
    most: f64,
    /// Decimals that are shown.
    decimals: usize,
}

/// The targets as rows: what, at most, reached, whether.
pub(crate) fn rows(figures: &Figures) -> Vec<Vec<String>> {
    let targets = far(figures).into_iter().chain([Target {
        what: "every case: peak memory, MB",
        reached: figures.most_memory().map(bytes),
        most: MEMORY / 1e6,
        decimals: 1,
    }]);
    near(figures).into_iter().chain(targets).map(Target::row).collect()
}

fn near(figures: &Figures) -> Vec<Target> {
    let of = |case| figures.find(case, Program::Sealift);
    let ratio = |what, most, case| Target { what, reached: beside_skopeo(figures, case), most, decimals: 2 };
    let requests = |what, most, case| Target { what, reached: of(case).and_then(requests), most, decimals: 0 };
    let baseline = figures.baseline_cpu();
    let cpu = of(LARGE).zip(baseline).map(|(ours, least)| ours.cpu().as_secs_f64() / least.as_secs_f64());
    vec![
        Target { what: "10 × 100 MB, loopback: CPU ÷ (hash + plain stream)", reached: cpu, most: 1.3, decimals: 2 },
        requests("10 × 100 MB, loopback: requests", 38.0, LARGE),
        ratio("10 × 100 MB, loopback: wall ÷ skopeo", 1.0, LARGE),
        ratio("60 × 200 KB, loopback: wall ÷ skopeo", 0.45, MANY),
        requests("60 × 200 KB, loopback: requests", 188.0, MANY),
    ]
}

fn far(figures: &Figures) -> Vec<Target> {
    let of = |case| figures.find(case, Program::Sealift);
    let ratio = |what, most, case| Target { what, reached: beside_skopeo(figures, case), most, decimals: 2 };
    let requests = |what, most, case| Target { what, reached: of(case).and_then(requests), most, decimals: 0 };
    let trips = |what, most, case| Target { what, reached: of(case).and_then(trips), most, decimals: 0 };
    vec![
        ratio("60 × 200 KB, 40 ms: wall ÷ skopeo", 0.08, MANY_FAR),
        ratio("index, 40 ms: wall ÷ skopeo", 0.15, INDEX_FAR),
        requests("index, 40 ms: requests", 170.0, INDEX_FAR),
        requests("same registry, 40 ms: requests", 15.0, MOUNT_FAR),
        trips("same registry, 40 ms: round trips", 4.0, MOUNT_FAR),
        requests("there already, 40 ms: requests", 3.0, REPEAT_FAR),
        trips("there already, 40 ms: round trips", 2.0, REPEAT_FAR),
    ]
}

fn beside_skopeo(figures: &Figures, case: &str) -> Option<f64> {
    Some(figures.find(case, Program::Sealift)?.times(figures.find(case, Program::Skopeo)?))
}

/// The most that a copy took.
fn requests(series: &Series) -> Option<f64> {
    series.requests().map(|(_, most)| count(most))
}

fn trips(series: &Series) -> Option<f64> {
    series.trips().map(|(_, most)| count(most))
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn bytes(n: u64) -> f64 {
    n as f64 / 1e6
}

impl Target {
    fn row(self) -> Vec<String> {
        let Self { what, reached, most, decimals } = self;
        let shown = |value: f64| format!("{value:.decimals$}");
        let reaches = reached.map_or("not measured", |value| if value <= most { "yes" } else { "no" });
        vec![what.to_owned(), shown(most), reached.map_or_else(String::new, shown), reaches.to_owned()]
    }
}
