//! Views of the progress stream: lines that are drawn again for a terminal, one line a change for a pipe or a pipeline's
//! log, one JSON object a line for programs. They all write to standard error; results go to standard output.

mod json;
mod phases;
mod plain;
mod row;
mod tally;
mod terminal;
#[cfg(test)]
mod tests;
mod ticker;

use std::{io::Write, sync::Arc, time::Duration};

use sealift_engine::{
    ports::{
        clock::Clock,
        copy::{CopyEvent, CopyObserver},
    },
    progress::{Observer, Progress},
};

use super::style::{Mode, Style};
use crate::{
    cli::Global,
    shell::{Shell, Stream},
    system::SystemClock,
};
use ticker::Ticking;

/// An observer that is told when the work is over.
pub trait Watching: Observer {
    /// Ends the view: nothing is drawn afterwards, and no half line is left. Called again, or not at all, it does no harm.
    fn finish(&self);
}

/// A view that has something to do as time passes.
trait Ticks: Watching {
    /// Looks at the clock.
    fn tick(&self);
}

/// How often a terminal's running line is drawn again.
const FRAME: Duration = Duration::from_millis(100);
/// How often a view without a cursor looks whether a heartbeat is due.
const LOOK: Duration = Duration::from_secs(1);

/// The view that fits standard error.
pub fn observer(shell: &Shell, global: &Global) -> Box<dyn Watching> {
    let surroundings = shell.err(global.json(), global.color());
    let (stream, style) = (shell.stderr.clone(), surroundings.style());
    match surroundings.mode() {
        Mode::Terminal => Box::new(Ticking::start(terminal(stream, style, Arc::new(SystemClock)), FRAME)),
        Mode::Plain => Box::new(Ticking::start(plain(stream, style, Arc::new(SystemClock)), LOOK)),
        Mode::Json => Box::new(json(stream, Arc::new(SystemClock))),
    }
}

fn terminal(stream: Stream, style: Style, clock: Arc<dyn Clock>) -> terminal::Terminal {
    terminal::Terminal::new(stream, style, clock)
}

fn plain(stream: Stream, style: Style, clock: Arc<dyn Clock>) -> plain::Plain {
    plain::Plain::new(stream, style, clock)
}

fn json(stream: Stream, clock: Arc<dyn Clock>) -> json::Json {
    json::Json::new(stream, clock)
}

/// Writes in one go. Progress that cannot be shown is no reason to stop what it is about.
fn write(stream: &Stream, text: &str) {
    if !text.is_empty() {
        let mut stream = stream.clone();
        drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
    }
}

/// Watches a copy that belongs to no promotion.
pub struct CopyOnly<'a>(pub &'a dyn Watching);

impl CopyObserver for CopyOnly<'_> {
    fn on(&self, event: CopyEvent) {
        self.0.on(&Progress::Copy { event });
    }
}
