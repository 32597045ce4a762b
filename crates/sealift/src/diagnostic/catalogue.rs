//! Every code that Sealift can answer with: its title, the exit code it leads to, and its page.

use std::process::ExitCode;

use sealift_domain::gate;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// An internal error.
    Internal = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// A gate refused.
    GateRefused = 3,
    /// No, or the wrong, authentication.
    Authentication = 4,
    /// Waiting for approval or a condition.
    Waiting = 5,
    /// Failed, and rolled back.
    RolledBack = 6,
    /// A person is needed.
    Stuck = 7,
    /// Another promotion holds the environment.
    Busy = 8,
    /// Failed, and nothing live was changed.
    Failed = 9,
    /// Rejected or cancelled.
    Cancelled = 10,
}

/// A code with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: &'static str,
    /// What it means, in a few words.
    pub title: &'static str,
    /// How a command ends that reports it.
    pub exit: Exit,
    /// Its page, Markdown.
    pub page: &'static str,
}

macro_rules! catalogue {
    ($($code:ident $exit:ident $title:literal)*) => {
        /// The codes, to be used by name.
        pub mod code {
            $(
                #[doc = $title]
                pub const $code: &str = stringify!($code);
            )*
        }

        /// The errors. The codes of gates are in [`gate::ALL`].
        pub const ERRORS: &[Entry] = &[$(Entry {
            code: stringify!($code),
            title: $title,
            exit: Exit::$exit,
            page: include_str!(concat!("../../../../docs/errors/", stringify!($code), ".md")),
        }),*];
    };
}

catalogue! {
    E0001 Internal "an internal error"
    E0002 Usage "wrong usage"

    E0101 Usage "a file is missing, or cannot be read or written"
    E0102 Usage "the configuration is not YAML"
    E0103 Usage "unknown key"
    E0104 Usage "a wrong value, or a missing key"
    E0105 Usage "an impossible policy"
    E0106 Usage "the file differs from the policy accepted in the log"
    E0107 Usage "not initialised: there is no log here"
    E0108 Usage "unknown environment or component"
    E0109 Usage "a secret is missing from the environment variables"
    E0110 Usage "already initialised"

    E0201 Internal "the log is unavailable"
    E0202 Internal "the log is damaged or was edited"
    E0203 Internal "others kept writing to the log"
    E0204 Usage "the signing key is unusable"
    E0205 Usage "the log has an entry of a newer version"
    E0210 Usage "the destination of a copy is no beginning of the log"
    E0211 Usage "this run has not the writer key of the environment"
    E0206 Internal "the place of the log refused to take it"
    E0207 Internal "it is not certain whether the log was written"
    E0208 Internal "the log was rewritten where it lies"
    E0209 Internal "the log cannot be read where it lies"

    E0301 Failed "not in the registry"
    E0302 Authentication "the registry wants credentials"
    E0303 Authentication "the registry denies access"
    E0304 Failed "the registry keeps failing"
    E0305 Failed "bytes do not match their digest"
    E0306 Failed "a manifest is malformed or over a limit"
    E0307 Failed "an immutable tag is taken"
    E0308 Failed "the registry does not support this"
    E0309 Authentication "no trusted connection to the registry"

    E0401 Usage "nothing to promote"
    E0402 Usage "no such promotion"
    E0403 Usage "the promotion cannot do that now"
    E0404 GateRefused "a gate refused"
    E0405 Busy "another promotion holds the environment"
    E0406 Stuck "what runs is not what should run"
    E0407 Stuck "there is nothing to roll back to"
    E0408 Stuck "automatic rollback is switched off"
    E0409 Stuck "a rollback is never rolled back by itself"
    E0410 Failed "the verification failed"
    E0411 Usage "a tag template gives no tag"
    E0412 Usage "no earlier verified release to roll back to"
    E0413 Cancelled "nobody approved in time"
    E0414 Cancelled "rejected or withdrawn"
    E0415 Cancelled "superseded by a newer request"
    E0416 Waiting "waiting for approval"
    E0417 Waiting "waiting for a condition"
    E0418 Waiting "interrupted before it was over"
    E0419 Usage "there is no such thing on record"
    E0420 Stuck "the release before does not work on the migrated database"
    E0421 Failed "the command that was to be measured failed"
    E0422 Usage "the host has nothing that it could go back to by itself"
    E0423 Busy "a rollback without the log is not in it yet"
    E0424 Internal "the record of a rollback without the log does not hold"
    E0425 Stuck "a rollback without the log needs a person"
    E0426 RolledBack "ended by a rollback without the log"

    E0501 Failed "the host cannot pull the image"
    E0502 Failed "the host refuses the deployment"
    E0503 Failed "the service does not start"
    E0504 Failed "the candidate never became healthy"
    E0505 RolledBack "traffic could not be switched"
    E0506 Failed "the migration failed"
    E0507 Busy "a newer deployment owns the host"
    E0508 Failed "the host cannot be reached"
    E0509 Busy "another deployer holds the lock on the host"

    E0601 Usage "the approval does not count"
    E0602 Usage "ssh-keygen failed"
    E0603 Usage "no identity was given"
    E0604 Usage "the key is not in the policy"
    E0611 Usage "the policy has no such way"
    E0612 Usage "this person may not do that"
    E0613 Usage "there is no such proposal"
    E0614 Authentication "the token does not say who asks"
    E0615 Usage "the request file cannot be used"
    E0616 Usage "the request has lapsed"
    E0617 Usage "the log can only be read here"
    E0618 Usage "the answer file cannot be used"
    E0619 Usage "the comment does not count"

    E0701 Ok "a notice was not delivered"

    E0801 Usage "the promotion key is not at hand"
    E0802 GateRefused "the image is not attested as wanted"
    E0803 Failed "the image could not be attested"

    E0901 Usage "the evidence is not taken"
    E0902 Internal "a judgement comes out otherwise than it was recorded"
}

/// The documentation of the gates: one section for each, under a heading that is the gate's name.
const GATES: &str = include_str!("../../../../docs/gates.md");

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The error with this code, written in any case.
pub fn find(code: &str) -> Option<&'static Entry> {
    ERRORS.iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
}

/// How a command ends that reports this code, be it an error's or a gate's.
pub fn exit(code: &str) -> Exit {
    match find(code) {
        Some(entry) => entry.exit,
        None if find_gate(code).is_some() => Exit::GateRefused,
        None => Exit::Internal,
    }
}

/// The gate with this code or name.
pub fn find_gate(text: &str) -> Option<&'static gate::GateInfo> {
    gate::ALL.iter().find(|gate| gate.code.eq_ignore_ascii_case(text) || gate.name.eq_ignore_ascii_case(text))
}

/// The page of a code or of a gate's name, Markdown; `None` if there is no such code.
pub fn explain(text: &str) -> Option<String> {
    if let Some(entry) = find(text) {
        return Some(entry.page.to_owned());
    }
    find_gate(text).map(|gate| gate_page(gate, GATES))
}

/// Every code with its title: errors first, then gates.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let errors = ERRORS.iter().map(|entry| (entry.code, entry.title));
    errors.chain(gate::ALL.iter().map(|gate| (gate.code, gate.summary)))
}

/// The section of `documentation` about `gate`; if there is none, what the gate says of itself.
fn gate_page(gate: &gate::GateInfo, documentation: &str) -> String {
    let head = format!("# {}: {}\n", gate.code, gate.name);
    let body = match section(documentation, gate.name) {
        Some(text) => text.to_owned(),
        None => {
            let require = gate.require.map_or("Always required.".to_owned(), |line| format!("Required by `{line}`."));
            format!("{}\n\n{require}", gate.summary)
        }
    };
    format!("{head}\n{}\n\nExit code: {}\n", body.trim(), Exit::GateRefused.code())
}

/// What stands under the heading `## name`, up to the next heading of that rank; the heading may hold more words.
fn section<'a>(documentation: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = documentation;
    while let Some(start) = rest.find("## ").filter(|at| *at == 0 || rest[..*at].ends_with('\n')) {
        let (heading, body) = rest[start + 3..].split_once('\n')?;
        let end = if body.starts_with("## ") { Some(0) } else { body.find("\n## ").map(|at| at + 1) };
        let text = &body[..end.unwrap_or(body.len())];
        let is_it = heading.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name);
        if is_it && !text.trim().is_empty() {
            return Some(text.trim());
        }
        rest = &body[end?..];
    }
    None
}

#[cfg(test)]
mod tests;
