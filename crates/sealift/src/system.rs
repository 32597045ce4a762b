//! The machine: its clock, its random numbers, its processes.

use async_trait::async_trait;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::Timestamp;
use sealift_domain::{digest::Digest, event::Holder, personal::Salt, quantity::Period};
use sealift_engine::ports::{
    clock::{Clock, Entropy},
    host::Host,
};

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Milliseconds are what people can read and machines can agree on.
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    async fn sleep(&self, period: Period) {
        tokio::time::sleep(period.as_duration()).await;
    }
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn salt(&self) -> Salt {
        let mut bytes = [0; 32];
        // The generator fails only where the system has no source of randomness at all. Zeros would then be the salt of a
        // name that could be guessed, so mix in what differs from process to process and from call to call.
        if SystemRandom::new().fill(&mut bytes).is_err() {
            let weak = format!("{:?} {}", std::time::Instant::now(), std::process::id());
            bytes = *Digest::of(weak.as_bytes()).as_bytes();
        }
        Salt(bytes)
    }
}

/// 32 random hexadecimal digits.
pub fn nonce() -> String {
    hex::encode(SystemEntropy.salt().0).chars().take(32).collect()
}

/// This machine and this process.
#[derive(Clone, Debug)]
pub struct ThisHost(Holder);

impl ThisHost {
    /// Reads who we are.
    pub fn new() -> Self {
        let pid = std::process::id();
        Self(Holder { run: nonce(), machine: machine(), pid, started: started(pid).unwrap_or_default() })
    }
}

impl Default for ThisHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for ThisHost {
    fn holder(&self) -> Holder {
        self.0.clone()
    }

    fn is_gone(&self, holder: &Holder) -> bool {
        // A process number says something only on the machine, and since the boot, that gave it.
        holder.machine == self.0.machine && holder.run != self.0.run && started(holder.pid) != Some(holder.started)
    }
}

/// The machine since its last boot, and the process namespace in it: within these, a process number means one process. A
/// container without `/etc/machine-id` has both. Where they cannot be read, no other process is ever taken for one of ours.
fn machine() -> Digest {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok();
    let (Some(boot), Some(namespace)) = (boot, namespace) else { return Digest::of(nonce().as_bytes()) };
    Digest::of(format!("{} {}", boot.trim(), namespace.display()).as_bytes())
}

/// When a process began, in clock ticks since boot: field 22 of `/proc/<pid>/stat`, proc(5). A zombie counts as gone.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, so count from its end.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_not_gone_and_a_dead_one_is() {
        let host = ThisHost::new();
        let me = host.holder();
        assert_eq!(ThisHost::new().holder().machine, me.machine, "two runs on one machine know that they are");
        assert!(me.started > 0);
        assert!(!host.is_gone(&me));
        let other_run = Holder { run: "other".into(), ..me.clone() };
        assert!(!host.is_gone(&other_run), "the process runs");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(host.is_gone(&Holder { run: "other".into(), pid, started: 1, ..me.clone() }));
        let elsewhere = Holder { run: "other".into(), machine: Digest::of(b"x"), pid, started: 1 };
        assert!(!host.is_gone(&elsewhere), "nobody knows what runs on another machine");
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
