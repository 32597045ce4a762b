//! How much of this machine is in use, of the whole of it.

use std::{fs, io};

use sealift_engine::ports::driver::Usage;

/// Reads how much of this machine is in use: `/proc/stat` and `/proc/meminfo`, see proc_stat(5) and proc_meminfo(5). In a
/// container these are the host's, as the kernel knows no others.
///
/// # Errors
/// Where the files are not there or do not say what they should, as on systems other than Linux.
pub(crate) fn of_this_host() -> io::Result<Usage> {
    let ticks_a_second = rustix::param::clock_ticks_per_second();
    parse(&fs::read_to_string("/proc/stat")?, &fs::read_to_string("/proc/meminfo")?, ticks_a_second)
        .ok_or_else(|| io::Error::other("/proc/stat and /proc/meminfo do not say how much is in use"))
}

fn parse(stat: &str, meminfo: &str, ticks_a_second: u64) -> Option<Usage> {
    // The line of all processors: user, nice, system, idle, iowait, irq, softirq, steal, guest and guest_nice, in ticks. Time
    // of guests is in `user` and `nice` already, and stolen time was another machine's.
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    let busy = [user, nice, system, irq, softirq].into_iter().fold(0, u64::saturating_add);
    let total = kib(meminfo, "MemTotal")?;
    let available = kib(meminfo, "MemAvailable")?;
    Some(Usage {
        cpu_ms: busy.saturating_mul(1000).checked_div(ticks_a_second)?,
        memory_bytes: total.saturating_sub(available).saturating_mul(1024),
    })
}

/// A line of `/proc/meminfo`, in units of 1024 bytes.
fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 4000 500 6 7 800 90 9\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n";
    const MEMINFO: &str = "MemTotal:       24000 kB\nMemFree:        1000 kB\nMemAvailable:   14000 kB\n";

    #[test]
    fn busy_time_leaves_out_idling_stolen_and_guests() {
        let usage = parse(STAT, MEMINFO, 100).unwrap();
        assert_eq!(usage, Usage { cpu_ms: (100 + 20 + 30 + 6 + 7) * 10, memory_bytes: 10_000 * 1024 });
        assert_eq!(parse(STAT, MEMINFO, 1000).unwrap().cpu_ms, 163);
    }

    #[test]
    fn what_is_missing_is_no_zero() {
        for (stat, meminfo, ticks) in [
            ("", MEMINFO, 100),
            ("cpu 1 2 3\n", MEMINFO, 100),
            ("cpu0 1 2 3 4 5 6 7 8\n", MEMINFO, 100),
            (STAT, "", 100),
            (STAT, "MemTotal: 24000 kB\n", 100),
            (STAT, "MemTotal: 24000\nMemAvailable: 1 kB\n", 100),
            (STAT, MEMINFO, 0),
        ] {
            assert_eq!(parse(stat, meminfo, ticks), None, "{stat:?} {meminfo:?} {ticks}");
        }
    }

    #[test]
    fn this_machine_gets_busier_while_it_works() {
        let before = of_this_host().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while of_this_host().unwrap().cpu_ms <= before.cpu_ms {
            assert!(std::time::Instant::now() < deadline, "the processors never worked");
        }
        assert!(before.memory_bytes > 0);
    }
}
