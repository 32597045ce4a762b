//! The machine that the figures are of.

use std::process::Command;

/// A line each: processor, kernel, compiler, commit, date.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    vec![
        ("processor", format!("{}, {cores} cores, load {load} at the end", processor())),
        ("memory", memory()),
        ("kernel", format!("Linux {kernel}")),
        ("compiler", said("rustc", &["--version"])),
        ("commit", commit()),
        ("date", jiff::Timestamp::now().strftime("%F").to_string()),
    ]
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model).to_owned();
    let virtual_machine = text.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    if virtual_machine { format!("{model} (a virtual machine)") } else { model }
}

fn memory() -> String {
    let text = read("/proc/meminfo");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    format!("{:.1} GiB", total.unwrap_or(0.0_f64) / (1024.0 * 1024.0))
}

fn commit() -> String {
    let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    format!("{}{}", said("git", &["rev-parse", "--short=12", "HEAD"]), if changed { ", with changes" } else { "" })
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(crate::repository()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
