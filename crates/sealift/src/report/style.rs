//! How output may look: terminal or not, colour or not, Unicode or ASCII, and how wide.

use anstyle::{AnsiColor, Effects, Style as Ansi};

/// What is known about the surroundings of the process. Nothing in here is read by this module: tests set it as they like.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Whether the stream in question is a terminal.
    pub is_terminal: bool,
    /// The width of the terminal in columns, if it is known.
    pub columns: Option<usize>,
    /// What `--color` says.
    pub color: ColorChoice,
    /// Whether `--output json` was given.
    pub json: bool,
    /// `CI`: set to anything but `false` by the runners of hosted pipelines.
    pub ci: Option<String>,
    /// `NO_COLOR`, see <https://no-color.org>: any value but the empty one turns colour off.
    pub no_color: Option<String>,
    /// `CLICOLOR_FORCE`, see <https://bixense.com/clicolors/>: any value but `0` and the empty one turns colour on.
    pub clicolor_force: Option<String>,
    /// `TERM`; `dumb` has neither colours nor a cursor.
    pub term: Option<String>,
    /// The locale in force: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set and not empty (POSIX.1-2017, 8.2).
    pub locale: Option<String>,
}

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Colour if the surroundings want it.
    #[default]
    Auto,
    /// Colour.
    Always,
    /// No colour.
    Never,
}

/// The form of the progress output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Lines that are drawn again as things go on.
    Terminal,
    /// One line for each change, with its time.
    Plain,
    /// One JSON object a line.
    Json,
}

/// How text is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether escape sequences for colour may be written.
    pub color: bool,
    /// Whether characters beyond ASCII may be written.
    pub unicode: bool,
    /// The columns of a line.
    pub width: usize,
}

/// What a piece of text means. The word and its mark say the same, so that nothing depends on seeing colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Ok,
    /// Deserves a look.
    Warn,
    /// Wrong.
    Bad,
    /// Of less weight.
    Dim,
    /// Of more weight.
    Strong,
    /// Something to type.
    Command,
}

/// A sign in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Done and well.
    Ok,
    /// Deserves a look.
    Warn,
    /// Failed.
    Bad,
    /// Went back.
    Back,
    /// Waits.
    Waiting,
    /// Nothing yet.
    None,
}

/// The width where none is known.
const USUAL_WIDTH: usize = 100;
/// Below this, nothing can be laid out.
const LEAST_WIDTH: usize = 40;
/// Above this, lines become hard to read.
const GREATEST_WIDTH: usize = 140;

const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPINNER_ASCII: [char; 4] = ['|', '/', '-', '\\'];

impl Surroundings {
    /// The surroundings of a stream, with environment variables as `variable` gives them.
    pub fn of(is_terminal: bool, columns: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|text| !text.is_empty());
        Self {
            is_terminal,
            columns,
            ci: set("CI"),
            no_color: set("NO_COLOR"),
            clicolor_force: set("CLICOLOR_FORCE"),
            term: set("TERM"),
            locale: set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")),
            ..Self::default()
        }
    }

    /// The form of the progress output.
    pub fn mode(&self) -> Mode {
        let ci = self.ci.as_deref().is_some_and(|value| !value.is_empty() && value != "false");
        match (self.json, self.is_terminal && !ci && !self.is_dumb()) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Terminal,
            (false, false) => Mode::Plain,
        }
    }

    /// How text is drawn.
    pub fn style(&self) -> Style {
        let width = self.columns.unwrap_or(USUAL_WIDTH).clamp(LEAST_WIDTH, GREATEST_WIDTH);
        Style { color: self.has_color(), unicode: self.has_unicode(), width }
    }

    fn is_dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }

    fn has_color(&self) -> bool {
        let given = |value: &Option<String>| value.as_deref().is_some_and(|text| !text.is_empty());
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if given(&self.no_color) => false,
            ColorChoice::Auto if given(&self.clicolor_force) && self.clicolor_force.as_deref() != Some("0") => true,
            ColorChoice::Auto => self.is_terminal && !self.is_dumb(),
        }
    }

    /// Without a locale nothing is known, and a hosted runner, which often has none, shows UTF-8 all the same.
    fn has_unicode(&self) -> bool {
        match &self.locale {
            None => !self.is_dumb(),
            Some(locale) => {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }
        }
    }
}

impl Style {
    /// No colour, Unicode, 100 columns.
    pub const fn plain() -> Self {
        Self { color: false, unicode: true, width: USUAL_WIDTH }
    }

    /// `text` in the colour of its meaning, if there are colours.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let ansi = tone.ansi();
        format!("{}{text}{}", ansi.render(), ansi.render_reset())
    }

    /// The sign, in its colour.
    pub fn mark(&self, mark: Mark) -> String {
        let (unicode, ascii, tone) = match mark {
            Mark::Ok => ("✓", "+", Tone::Ok),
            Mark::Warn => ("!", "!", Tone::Warn),
            Mark::Bad => ("✗", "x", Tone::Bad),
            Mark::Back => ("↩", "<", Tone::Warn),
            Mark::Waiting => ("◷", "?", Tone::Warn),
            Mark::None => (" ", " ", Tone::Dim),
        };
        self.paint(tone, if self.unicode { unicode } else { ascii })
    }

    /// The frame of the spinner that follows `ticks` others.
    pub fn spinner(&self, ticks: usize) -> char {
        if self.unicode { SPINNER[ticks % SPINNER.len()] } else { SPINNER_ASCII[ticks % SPINNER_ASCII.len()] }
    }

    /// `text` as this output can show it: control characters escaped, and beyond ASCII only where that is possible.
    pub fn clean(&self, text: &str) -> String {
        super::text::clean(text, self.unicode)
    }
}

impl Tone {
    fn ansi(self) -> Ansi {
        let color = |color: AnsiColor| Ansi::new().fg_color(Some(color.into()));
        match self {
            Self::Ok => color(AnsiColor::Green),
            Self::Warn => color(AnsiColor::Yellow),
            Self::Bad => color(AnsiColor::Red).bold(),
            Self::Dim => Ansi::new().effects(Effects::DIMMED),
            Self::Strong => Ansi::new().bold(),
            Self::Command => color(AnsiColor::Cyan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(variables: &[(&str, &str)]) -> Surroundings {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Surroundings::of(true, Some(80), lookup)
    }

    #[test]
    fn the_form_follows_terminal_ci_and_output() {
        assert_eq!(terminal(&[]).mode(), Mode::Terminal);
        assert_eq!(terminal(&[("CI", "true")]).mode(), Mode::Plain);
        assert_eq!(terminal(&[("CI", "false")]).mode(), Mode::Terminal);
        assert_eq!(terminal(&[("TERM", "dumb")]).mode(), Mode::Plain);
        assert_eq!(Surroundings::default().mode(), Mode::Plain);
        assert_eq!(Surroundings { json: true, ..terminal(&[]) }.mode(), Mode::Json);
    }

    #[test]
    fn colour_follows_the_flag_then_no_color_then_force_then_the_terminal() {
        let color = |surroundings: Surroundings| surroundings.style().color;
        assert!(color(terminal(&[])) && !color(Surroundings::default()));
        assert!(!color(terminal(&[("NO_COLOR", "1")])) && color(terminal(&[("NO_COLOR", "")])));
        assert!(!color(terminal(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")])));
        let pipe = |value: &str| Surroundings { clicolor_force: Some(value.to_owned()), ..Surroundings::default() };
        assert!(color(pipe("1")) && !color(pipe("0")) && !color(pipe("")));
        assert!(!color(terminal(&[("TERM", "dumb")])));
        assert!(color(Surroundings { color: ColorChoice::Always, ..terminal(&[("NO_COLOR", "1")]) }));
        assert!(!color(Surroundings { color: ColorChoice::Never, ..pipe("1") }));
    }

    #[test]
    fn ascii_where_the_locale_is_not_utf8_and_widths_are_bounded() {
        assert!(terminal(&[("LANG", "de_DE.UTF-8")]).style().unicode);
        assert!(terminal(&[("LC_ALL", "en_US.utf8"), ("LANG", "C")]).style().unicode);
        assert!(!terminal(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).style().unicode);
        assert!(terminal(&[]).style().unicode && !terminal(&[("TERM", "dumb")]).style().unicode);
        let width = |columns| Surroundings { columns, ..Surroundings::default() }.style().width;
        assert_eq!((width(None), width(Some(1)), width(Some(60)), width(Some(999))), (100, 40, 60, 140));
        let ascii = Style { unicode: false, ..Style::plain() };
        assert_eq!((ascii.mark(Mark::Ok), ascii.spinner(5)), ("+".to_owned(), '/'));
        assert_eq!(Style { color: true, ..Style::plain() }.paint(Tone::Ok, "x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
