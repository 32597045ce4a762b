//! The view for people at a terminal: what is settled stays, and one line below it is drawn again while a phase runs.
//!
//! Only that one line is ever drawn over (carriage return and "erase in line", ECMA-48 8.3.41), so nothing is lost if
//! something else writes in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealift_engine::{
    ports::clock::Clock,
    progress::{Observer, Progress},
};

use super::{
    Ticks, Watching,
    phases::{Phases, Settled},
    write,
};
use crate::{
    report::{
        style::{Style, Tone},
        text::{cut, width},
    },
    shell::Stream,
};

/// To the first column, and nothing on the line.
const ERASE: &str = "\r\u{1b}[2K";
/// Between the parts of the header.
const GAP: &str = "   ";

/// The view.
pub(super) struct Terminal {
    stream: Stream,
    style: Style,
    clock: Arc<dyn Clock>,
    screen: Mutex<Screen>,
}

#[derive(Default)]
struct Screen {
    phases: Phases,
    /// Whether the cursor stands on a line that is to be drawn over.
    drawn: bool,
    ticks: usize,
    over: bool,
}

impl Terminal {
    pub(super) fn new(stream: Stream, style: Style, clock: Arc<dyn Clock>) -> Self {
        Self { stream, style, clock, screen: Mutex::default() }
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `settled` where the running line was, and that line again below it.
    fn draw(&self, screen: &mut Screen, settled: &str) {
        let mut text = String::new();
        if screen.drawn {
            text.push_str(ERASE);
        }
        text.push_str(settled);
        let live = if screen.over { None } else { screen.phases.live(self.clock.now()) };
        screen.drawn = live.is_some();
        if let Some(live) = live {
            text.push_str(&live.render(&self.style, screen.ticks));
        }
        write(&self.stream, &text);
    }

    fn render(&self, settled: &Settled) -> String {
        match settled {
            Settled::Row(row) => row.render(&self.style),
            Settled::Header { change, rest } => self.header(change, rest),
        }
    }

    /// On one line if there is room, else on two.
    fn header(&self, change: &str, rest: &[String]) -> String {
        let style = &self.style;
        let (change, rest) = (style.clean(change), style.clean(&rest.join(GAP)));
        if width(&change) + GAP.len() + width(&rest) <= style.width {
            return format!("{}{GAP}{rest}\n", style.paint(Tone::Strong, &change));
        }
        let change = cut(&change, style.width, style.unicode);
        let rest = cut(&rest, style.width.saturating_sub(2), style.unicode);
        format!("{}\n  {rest}\n", style.paint(Tone::Strong, &change))
    }
}

impl Observer for Terminal {
    fn on(&self, progress: &Progress) {
        let mut screen = self.screen();
        if screen.over {
            return;
        }
        let settled = screen.phases.on(progress, self.clock.now());
        // Bytes come many times a second: the next tick shows them.
        if settled.is_empty() && screen.drawn && matches!(progress, Progress::Copy { .. }) {
            return;
        }
        let settled: String = settled.iter().map(|settled| self.render(settled)).collect();
        self.draw(&mut screen, &settled);
    }
}

impl Watching for Terminal {
    fn finish(&self) {
        let mut screen = self.screen();
        let rows: String = screen.phases.finish().iter().map(|row| row.render(&self.style)).collect();
        screen.over = true;
        self.draw(&mut screen, &rows);
    }
}

impl Ticks for Terminal {
    fn tick(&self) {
        let mut screen = self.screen();
        screen.ticks = screen.ticks.wrapping_add(1);
        if screen.drawn {
            self.draw(&mut screen, "");
        }
    }
}
