//! What deployments and rebuilds took, in words for people.

use sealift_domain::{
    cost::{Cost, Rebuild},
    quantity::{ByteSize, Period},
};

use super::human;

/// How many words of a command are shown.
const WORDS: usize = 2;

/// Processor time: `0.9 CPU s`.
pub fn cpu(cost: &Cost) -> String {
    let tenths = cost.cpu_ms.saturating_add(50) / 100;
    format!("{}.{} CPU s", tenths / 10, tenths % 10)
}

/// A cost: `0.9 CPU s, 25.1 MB memory, 12.0 MB pulled, 2.1 s`. What nobody could tell is left out.
pub fn words(cost: &Cost) -> String {
    let size = |bytes| ByteSize::from_bytes(bytes).human();
    let mut words = vec![cpu(cost), format!("{} memory", size(cost.peak_memory_bytes))];
    words.extend(cost.pulled_bytes.map(|bytes| format!("{} pulled", size(bytes))));
    words.push(human::duration(Period::from_millis(cost.elapsed_ms)));
    words.join(", ")
}

/// A rebuild beside the deployment that replaces it, compared only where both were measured:
/// `95.0 CPU s, 1.2 GB memory, 61 s (docker build …): the deployment took 99 % less CPU`.
pub fn rebuild(rebuild: &Rebuild, deployment: Option<&Cost>) -> String {
    let shown = rebuild.command.iter().take(WORDS).map(String::as_str).collect::<Vec<_>>().join(" ");
    let more = if rebuild.command.len() > WORDS { " …" } else { "" };
    let compared = match deployment.and_then(|cost| cost.less_cpu_than(&rebuild.cost)) {
        Some(less) if less > 0 => format!(": the deployment took {less} % less CPU"),
        Some(0) => ": the deployment took as much CPU".to_owned(),
        Some(more) => format!(": the deployment took {} % more CPU", more.unsigned_abs()),
        None => String::new(),
    };
    format!("{} ({shown}{more}){compared}", words(&rebuild.cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu_ms: u64, pulled_bytes: Option<u64>) -> Cost {
        Cost { cpu_ms, peak_memory_bytes: 25_100_000, pulled_bytes, elapsed_ms: 2100 }
    }

    fn built(cpu_ms: u64, command: &str) -> Rebuild {
        Rebuild { command: command.split(' ').map(str::to_owned).collect(), cost: cost(cpu_ms, None) }
    }

    #[test]
    fn a_cost_reads_in_one_line() {
        assert_eq!(words(&cost(940, Some(12_000_000))), "0.9 CPU s, 25.1 MB memory, 12.0 MB pulled, 2.1 s");
        assert_eq!(words(&cost(95_000, None)), "95.0 CPU s, 25.1 MB memory, 2.1 s");
        assert_eq!(words(&Cost::default()), "0.0 CPU s, 0 B memory, 0.0 s");
    }

    #[test]
    fn a_rebuild_is_compared_only_with_what_was_measured() {
        let build = built(95_000, "docker build --pull .");
        let alone = "95.0 CPU s, 25.1 MB memory, 2.1 s (docker build …)";
        assert_eq!(rebuild(&build, None), alone);
        let less = rebuild(&build, Some(&cost(900, None)));
        assert_eq!(less, format!("{alone}: the deployment took 99 % less CPU"));
        let quick = built(1000, "make image");
        let compared = |cpu_ms| rebuild(&quick, Some(&cost(cpu_ms, None)));
        assert_eq!(compared(3000), "1.0 CPU s, 25.1 MB memory, 2.1 s (make image): the deployment took 200 % more CPU");
        assert!(compared(1000).ends_with("as much CPU"));
        assert!(rebuild(&built(0, "true"), Some(&cost(9, None))).ends_with("(true)"));
    }
}
