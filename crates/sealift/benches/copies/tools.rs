//! The programs that copy, and how each is told to.

use std::{path::Path, process::Command};

use sealift_domain::digest::Digest;

use crate::{
    Failed,
    cases::{Case, Kind, MANY_FAR},
    launch,
};

/// The optimised binary.
const SEALIFT: &str = env!("CARGO_BIN_EXE_sealift");

/// What a peer is tuned to, where it can be: requests, jobs or layers at once.
const AT_ONCE: &str = "32";

/// A program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Sealift,
    Skopeo,
    Crane,
    Regctl,
    Oras,
}

/// How it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// A peer as it comes; this program without looking for referrers, which no peer does by default.
    Plain,
    /// A peer with 32 things at once.
    Tuned,
    /// This program as it comes, which looks for referrers.
    Referrers,
}

/// A program in one use.
pub(crate) struct Tool {
    /// As people write it.
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) variant: Variant,
    /// Arguments of this use.
    extra: Vec<String>,
}

/// What is here and what is not.
pub(crate) struct Tools {
    /// This program first.
    pub(crate) all: Vec<Tool>,
    /// The names of programs that are not on `PATH`.
    pub(crate) absent: Vec<&'static str>,
}

impl Program {
    /// The name or path of the binary.
    fn binary(self) -> &'static str {
        match self {
            Self::Sealift => SEALIFT,
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
            Self::Regctl => "regctl",
            Self::Oras => "oras",
        }
    }

    /// The words that begin a copy.
    fn copy(self) -> &'static [&'static str] {
        match self {
            Self::Sealift | Self::Skopeo | Self::Crane => &["copy"],
            Self::Regctl => &["image", "copy"],
            Self::Oras => &["cp"],
        }
    }

    /// The option that says how much is done at once, and the command that has it.
    fn concurrency(self) -> Option<(&'static [&'static str], &'static str)> {
        match self {
            Self::Sealift => None,
            Self::Skopeo => Some((&["copy"], "--image-parallel-copies")),
            Self::Crane => Some((&["copy"], "--jobs")),
            Self::Regctl => Some((&["registry", "set"], "--req-concurrent")),
            Self::Oras => Some((&["cp"], "--concurrency")),
        }
    }

    fn shown(self) -> &'static str {
        if self == Self::Sealift { "sealift" } else { self.binary() }
    }

    fn version(self) -> Option<String> {
        let word = if matches!(self, Self::Sealift | Self::Skopeo) { "--version" } else { "version" };
        said(self.binary(), &[word]).map(|text| text.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Whether a command has an option, by its own help.
    fn has(self, command: &[&str], option: &str) -> bool {
        let help = said(self.binary(), &[command, &["--help"]].concat()).unwrap_or_default();
        help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == option)
    }
}

impl Tools {
    /// Looks what is installed.
    pub(crate) fn found() -> Result<Self, Failed> {
        let mut tools = Self { all: ours(), absent: Vec::new() };
        for peer in [Program::Skopeo, Program::Crane, Program::Regctl, Program::Oras] {
            if peer.version().is_none() {
                tools.absent.push(peer.binary());
                continue;
            }
            tools.all.push(Tool::new(peer, Variant::Plain, &[]));
            if let Some((command, option)) = peer.concurrency().filter(|(command, option)| peer.has(command, option)) {
                tools.all.push(Tool::tuned(peer, command, option));
            }
        }
        Ok(tools)
    }

    /// The tools that take part in a case; which goes first changes from round to round.
    pub(crate) fn of(&self, case: &Case, round: u32) -> Vec<&Tool> {
        let mut tools: Vec<&Tool> = self.all.iter().filter(|tool| tool.takes_part(case)).collect();
        let first = usize::try_from(round).unwrap_or_default() % tools.len().max(1);
        tools.rotate_left(first);
        tools
    }

    /// What each program and the registry say of themselves.
    pub(crate) fn versions(&self) -> Vec<(&'static str, String)> {
        let plain = self.all.iter().filter(|tool| tool.variant == Variant::Plain);
        let programs = plain.map(|tool| (tool.program.shown(), tool.program.version().unwrap_or_default()));
        let registry = said("docker-registry", &["--version"]).unwrap_or_default().trim().to_owned();
        programs.chain([("registries", registry)]).collect()
    }
}

/// This program without looking for referrers, and with; one use only where it does not look for them at all.
fn ours() -> Vec<Tool> {
    if Program::Sealift.has(&["copy"], "--no-referrers") {
        // Not a command line that anybody types: its places are missing.
        let name = "sealift, no referrers".to_owned();
        let without = Tool { name, ..Tool::new(Program::Sealift, Variant::Plain, &["--no-referrers"]) };
        vec![without, Tool::new(Program::Sealift, Variant::Referrers, &[])]
    } else {
        vec![Tool::new(Program::Sealift, Variant::Plain, &[])]
    }
}

impl Tool {
    fn new(program: Program, variant: Variant, extra: &[&str]) -> Self {
        let words = [&[program.shown()], program.copy(), extra].concat();
        Self { name: words.join(" "), program, variant, extra: extra.iter().map(|word| (*word).to_owned()).collect() }
    }

    fn tuned(program: Program, command: &[&str], option: &str) -> Self {
        if program == Program::Regctl {
            // It is a setting of the registry there, made before the copy.
            let name = format!("{} {option} {AT_ONCE}", [&[program.shown()], command].concat().join(" "));
            return Self { name, ..Self::new(program, Variant::Tuned, &[]) };
        }
        Self::new(program, Variant::Tuned, &[option, AT_ONCE])
    }

    fn takes_part(&self, case: &Case) -> bool {
        self.variant != Variant::Referrers || case.name == MANY_FAR
    }

    /// A short name for repositories: lower-case letters and digits.
    pub(crate) fn slug(&self) -> String {
        self.name.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).collect()
    }

    /// What has to be set before the copy, in this home, for registries that speak plain HTTP.
    pub(crate) fn prepare(&self, home: &Path, addresses: [&str; 2]) -> Result<(), Failed> {
        for address in addresses.iter().filter(|_| self.program == Program::Regctl) {
            let mut set = vec!["registry", "set", "--tls", "disabled"];
            if self.variant == Variant::Tuned {
                set.extend(["--req-concurrent", AT_ONCE]);
            }
            set.push(address);
            let mut command = Command::new(self.program.binary());
            let output = command.args(&set).env_clear().envs(launch::environment(home)).output()?;
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(format!("`{} {}`: {told}", self.program.binary(), set.join(" ")).into());
            }
        }
        Ok(())
    }

    /// The command that copies; both names are `host:port/repository:tag`.
    pub(crate) fn command(&self, image: Kind, from: &str, to: &str) -> Vec<String> {
        let skopeo = ["--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let options: Vec<&str> = match self.program {
            Program::Sealift | Program::Regctl => Vec::new(),
            Program::Skopeo if image == Kind::Index => [&skopeo[..], &["--preserve-digests", "--all"]].concat(),
            Program::Skopeo => [&skopeo[..], &["--preserve-digests"]].concat(),
            Program::Crane => vec!["--insecure"],
            Program::Oras => vec!["--from-plain-http", "--to-plain-http"],
        };
        let scheme = if self.program == Program::Skopeo { "docker://" } else { "" };
        let words = [&[self.program.binary()], self.program.copy(), &options].concat();
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        words.extend(self.extra.iter().cloned());
        words.extend([from, to].map(|image| format!("{scheme}{image}")));
        words
    }
}

/// What the binary of this program is, by its bytes: a build that goes on meanwhile would put another in its place.
pub(crate) fn measured() -> Result<Digest, Failed> {
    Ok(Digest::of(&std::fs::read(SEALIFT)?))
}

/// What a command printed, if it ended well.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
