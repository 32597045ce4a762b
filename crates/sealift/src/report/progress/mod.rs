//! shim
use crate::{cli::Global, shell::Shell};
use sealift_engine::{
    ports::registry::{CopyEvent, CopyObserver},
    progress::{Observer, Progress},
};
use std::sync::Mutex;

/// shim
pub trait Watching: Observer {
    /// shim
    fn finish(&self) {}
}
struct Plain(Shell, Mutex<()>, bool);
impl Watching for Plain {}
impl Observer for Plain {
    fn on(&self, p: &Progress) {
        if matches!(p, Progress::Copy { .. }) {
            return;
        }
        if self.2 {
            self.0.tell(&format!("{}\n", serde_json::to_string(p).unwrap_or_default()));
        } else {
            self.0.tell(&format!("  {p:?}\n").chars().take(180).collect::<String>().trim_end().to_owned());
            self.0.tell("\n");
        }
    }
}
/// shim
pub fn observer(shell: &Shell, global: &Global) -> Box<dyn Watching> {
    Box::new(Plain(shell.clone(), Mutex::new(()), global.json()))
}
/// shim
pub struct CopyOnly<'a>(pub &'a dyn Watching);
impl CopyObserver for CopyOnly<'_> {
    fn on(&self, event: CopyEvent) {
        self.0.on(&Progress::Copy { event });
    }
}
