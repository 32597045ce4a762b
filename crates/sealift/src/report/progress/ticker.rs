//! Time passes: a thread that lets a view look at its clock, and ends with it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use sealift_engine::progress::{Observer, Progress};

use super::{Ticks, Watching};

/// A view and the thread that ticks it.
pub(super) struct Ticking<V: Ticks + 'static> {
    view: Arc<V>,
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl<V: Ticks + 'static> Ticking<V> {
    /// Lets `view` tick every `interval`. Where no thread can be had, it goes without.
    pub(super) fn start(view: V, interval: Duration) -> Self {
        let view = Arc::new(view);
        let (stop, stopped) = mpsc::channel();
        let ticked = Arc::clone(&view);
        let run = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                ticked.tick();
            }
        };
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(run).ok();
        Self { view, running: Mutex::new(thread.map(|thread| (stop, thread))) }
    }
}

impl<V: Ticks + 'static> Observer for Ticking<V> {
    fn on(&self, progress: &Progress) {
        self.view.on(progress);
    }
}

impl<V: Ticks + 'static> Watching for Ticking<V> {
    fn finish(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            drop(thread.join());
        }
        self.view.finish();
    }
}

impl<V: Ticks + 'static> Drop for Ticking<V> {
    fn drop(&mut self) {
        self.finish();
    }
}
