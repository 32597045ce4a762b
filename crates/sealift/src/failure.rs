//! Every failure as people read it: code, words, state of the world, next command. The one place where that is decided.

use std::path::Path;

use sealift_domain::{
    approval::NotCounted, entry::EntryError, ledger::IllegalEntry, name::EnvironmentName, promotion::PromotionId,
    schema::Expected, undo::Observed,
};
use sealift_engine::{
    code,
    error::EngineError,
    ports::{
        driver::{DriverError, DriverErrorKind},
        log::LogError,
        registry::{RegistryError, RegistryErrorKind},
    },
    rehearse::RehearsalError,
};

use crate::{config::Store, diagnostic::Diagnostic};

const UNTOUCHED: &str = "nothing was changed";

/// A use case did not succeed.
pub fn of_engine(error: EngineError) -> Diagnostic {
    let words = error.to_string();
    match error {
        EngineError::Log(error) => of_log(&error),
        EngineError::Registry(error) => of_registry(&error),
        EngineError::Driver(error) => of_driver(&error),
        EngineError::Entry { source: EntryError::Version(_), .. } => newer_log(words),
        EngineError::Entry { .. } | EngineError::Illegal { .. } => Diagnostic::new("E0202", words)
            .state("nothing was changed; nothing is promoted on a log that does not hold")
            .next("`sealift audit verify`"),
        EngineError::Refused(IllegalEntry::ForeignWriter { environments, by, .. }) => foreign_writer(&environments, by.as_ref()),
        EngineError::Refused(_) => {
            Diagnostic::new("E0403", words).state(UNTOUCHED).next("`sealift status` shows where the promotion is")
        }
        EngineError::Contended(_) => {
            Diagnostic::new("E0203", words).state("what was to be written last was not written").next("run the command again")
        }
        EngineError::NotInitialised => Diagnostic::new("E0107", words).state(UNTOUCHED).next("`sealift init`"),
        EngineError::UnknownEnvironment(_) => {
            Diagnostic::new("E0108", words).state(UNTOUCHED).next("`sealift status` lists the environments")
        }
        EngineError::NoDriver(environment) => Diagnostic::new("E0108", words)
            .state(UNTOUCHED)
            .next(format!("add `deploy` under `environments.{environment}` in sealift.yaml")),
        EngineError::NothingToPromote(_) => nothing_to_promote(words),
        EngineError::NoRollbackTarget(_) => Diagnostic::new("E0412", words)
            .state(UNTOUCHED)
            .next("`sealift history` lists what was live; a running release is imported by `sealift record deployment --in ENVIRONMENT --baseline`"),
        EngineError::PastDatabase { environment, expected, .. } => {
            let old = match expected {
                Expected::Schema(schema) => schema.at(),
                Expected::Nothing | Expected::Unreadable(_) => 0,
            };
            Diagnostic::new("E0412", words)
                .state(format!("{UNTOUCHED}; {environment} goes on with what runs there"))
                .next(format!("go forward: mend the release, and `sealift promote --to {environment}`"))
                .next(format!(
                    "or restore the database by hand, then `sealift record database --in {environment} --schema {old} \
                     --reason \"…\"` and `sealift rollback --in {environment}`"
                ))
                .next(format!(
                    "a release whose labels are not on record is judged when it is named: `sealift rollback --in {environment} \
                     --digest sha256:…`"
                ))
        }
        EngineError::NoPromotion(_) => {
            Diagnostic::new("E0402", words).state(UNTOUCHED).next("`sealift history` lists the promotions")
        }
        EngineError::WrongState { id, .. } => {
            Diagnostic::new("E0403", words).state(UNTOUCHED).next(format!("`sealift status {id}`"))
        }
        EngineError::Held { by, .. } => Diagnostic::new("E0405", words)
            .state("this run did nothing more to the environment")
            .next(format!("wait for it: `sealift status {by}` shows how far it is"))
            .next("if its run was interrupted, the command that is shown there goes on with it"),
        EngineError::NoPromotionKey { .. } => Diagnostic::new("E0801", words)
            .state("nothing was copied or changed by this run")
            .next(format!("give it to this run: `export {}=\"$(cat promotion.key)\"`", crate::promotion_keys::VARIABLE))
            .next("or name its file in sealift.yaml: `attest: {private_key: FILE}`; `sealift keys show` says what is at hand"),
        EngineError::RequesterUnknown(_) => Diagnostic::new("E0603", words)
            .state(UNTOUCHED)
            .next("sign the request with your SSH key: add `--identity ~/.ssh/id_ed25519`"),
        EngineError::NoSuchWay { key, .. } => Diagnostic::new("E0611", words)
            .state(UNTOUCHED)
            .next(format!("let the policy have `{key}` for it: edit sealift.yaml, then `sealift policy propose --reason \"…\"`"))
            .next("or go the usual way"),
        EngineError::MayNot { .. } => {
            Diagnostic::new("E0612", words).state(UNTOUCHED).next("somebody else signs: `sealift explain E0612`")
        }
        EngineError::NoProposal(_) => Diagnostic::new("E0613", words)
            .state("nothing was changed; the accepted policy counts")
            .next("`sealift status` names the open proposals; `sealift policy propose --reason \"…\"` makes a new one"),
        EngineError::Token(_) => Diagnostic::new("E0614", words)
            .state(UNTOUCHED)
            .next("`sealift explain E0614` says what a token needs")
            .next("or sign the request with an SSH key: `--identity FILE`"),
        EngineError::UnknownZone { .. } => Diagnostic::new("E0105", words)
            .state(UNTOUCHED)
            .next("name another time zone in sealift.yaml, or use a newer version"),
        EngineError::Signature(_) | EngineError::Statement(_) => {
            Diagnostic::new("E0601", words).state(UNTOUCHED).next("`sealift explain E0601` says what a signature needs")
        }
        EngineError::Request(_) => Diagnostic::new("E0615", words)
            .state("nothing was signed")
            .next("let it be exported and sent once more: `sealift request export ID`"),
        EngineError::RequestLapsed(_) => Diagnostic::new("E0616", words)
            .state("nothing was signed")
            .next("let somebody ask again: `sealift promote --to ENVIRONMENT`, then `sealift request export ID`"),
        EngineError::Answer(_) => Diagnostic::new("E0618", words)
            .state(UNTOUCHED)
            .next("take in the file that `sealift approve REQUEST-FILE` wrote: `sealift approve import FILE`"),
        EngineError::Comment(_) => Diagnostic::new("E0619", words)
            .state("nothing was changed; the promotion waits as before")
            .next("`sealift explain E0619` says what a comment needs; `sealift status ID` shows the words to write"),
        EngineError::NotCounted { why: NotCounted::Other(_) | NotCounted::Expired(_) | NotCounted::Revoked(_), .. } => {
            Diagnostic::new("E0601", words)
                .state("nothing was changed; the promotion waits as before")
                .next("decide on what is so now: `sealift approve ID --identity FILE`")
                .next("without a network: `sealift request export ID`, and sign that: `sealift approve REQUEST-FILE`")
        }
        EngineError::NotCounted { .. } => Diagnostic::new("E0601", words)
            .state("nothing was changed; the promotion waits as before")
            .next("somebody else approves: `sealift approve ID --identity FILE`")
            .next("`approval` under the environment in sealift.yaml says who may"),
        EngineError::UnknownKey(_) => Diagnostic::new("E0604", words)
            .state(UNTOUCHED)
            .next("sign with a key that stands under `people` in sealift.yaml")
            .next("or add it there, and let it be accepted: `sealift policy accept --identity FILE`"),
        EngineError::Evidence(_) => Diagnostic::new("E0901", words)
            .state(UNTOUCHED)
            .next("`sealift explain E0901` says what is taken as evidence"),
        EngineError::NothingOnHost(_) => Diagnostic::new("E0422", words)
            .state(UNTOUCHED)
            .next("`sealift explain E0422` says what a host can go back to"),
        EngineError::Unmerged { environment, over: true, .. } => Diagnostic::new("E0423", words)
            .state("this run did nothing more to the environment")
            .next(format!("take it in: `sealift record offline --in {environment}`"))
            .next("then the same command again"),
        EngineError::Unmerged { environment, .. } => Diagnostic::new("E0423", words)
            .state("this run did nothing to the environment; what is live there is what that rollback left so far")
            .next(format!(
                "go on with it on the host: `sealift rollback --in {environment} --offline --identity FILE --reason \"…\"`"
            )),
        EngineError::BadRecord { .. } => Diagnostic::new("E0424", words)
            .state("nothing was changed; the record stays where it is, and the host refuses promotions as long as it is there")
            .next("`sealift explain E0424` says how to find out what happened"),
        EngineError::NotFound(_) => Diagnostic::new("E0419", words)
            .state(UNTOUCHED)
            .next("`sealift status` shows what is there; `sealift hold list` what is on hold"),
    }
}

/// A run over a promotion broke off. What it had committed by then counts, so no error may say that nothing was changed.
pub fn broken_off(error: EngineError, id: PromotionId) -> Diagnostic {
    let mut diagnostic = of_engine(error).state(format!(
        "this run has stopped; promotion {id} is as far as the log says, and a step that was under way may have been done"
    ));
    let status = format!("`sealift status {id}` shows how far it came, and the command that goes on with it");
    if !diagnostic.next.iter().any(|next| next.contains("sealift status")) {
        diagnostic.next.push(status);
    }
    diagnostic
}

/// How many lines of a release's log are shown with its failure.
const LOG_LINES: usize = 10;

/// A rehearsal did not come to its end.
pub fn of_rehearsal(error: RehearsalError, to: &EnvironmentName) -> Diagnostic {
    let words = error.to_string();
    let again = format!("`sealift rehearse --to {to}`");
    match error {
        RehearsalError::Engine(error) => of_engine(error),
        RehearsalError::NotUp { error, left, .. } => {
            let log = String::from_utf8_lossy(&error.output).into_owned();
            let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
            let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
            let diagnostic = Diagnostic::new(code::of_driver(error.kind), words)
                .state(removed("what is live was not touched", left.as_ref()))
                .next(format!("mend what its log says, then {again} again"));
            last.iter().fold(diagnostic, |diagnostic, line| diagnostic.note(format!("| {line}")))
        }
        RehearsalError::Interrupted { left } => {
            Diagnostic::new("E0418", words).state(removed("what is live was not touched", left.as_ref())).next(again)
        }
        RehearsalError::Overtaken { by, .. } => Diagnostic::new("E0405", words)
            .state("the rehearsal moved no traffic; what it started is removed, or makes room for the promotion's candidate")
            .next(format!("wait for it: `sealift status {by}` shows how far it is"))
            .next(again),
        RehearsalError::LiveChanged { environment, before, after } => {
            let title = format!("something else is live in {environment} than before the rehearsal");
            Diagnostic::new("E0406", title)
                .found(format!("before: {}; after: {}", observed(&before), observed(&after)))
                .state("what was rehearsed is removed; the rehearsal moved no traffic, but it shared the host with what is live")
                .next("`sealift status` and the service's own log say more")
        }
    }
}

/// What became of what a rehearsal started.
fn removed(state: &str, left: Option<&DriverError>) -> String {
    match left {
        None => format!("{state}, and what was started beside it is removed"),
        Some(error) => format!("{state}; what was started beside it may be left, until the next deployment: {error}"),
    }
}

fn observed(observed: &Observed) -> String {
    match observed {
        Observed::Nothing => "nothing".to_owned(),
        Observed::Running { release, .. } => release.to_string(),
        Observed::Unknown { what } => format!("something unknown, {what}"),
    }
}

/// The policy in force does not accept a change.
pub fn of_policy_change(error: EngineError) -> Diagnostic {
    match error {
        EngineError::Statement(why) => Diagnostic::new("E0601", why)
            .state("nothing was changed; the accepted policy counts")
            .next("sign with a key of each approver: `sealift policy accept --identity FILE --identity FILE`"),
        other => of_engine(other),
    }
}

fn newer_log(words: String) -> Diagnostic {
    Diagnostic::new("E0205", words)
        .state(UNTOUCHED)
        .next("install the newer version here too: `sealift --version` shows which one this is")
}

fn nothing_to_promote(words: String) -> Diagnostic {
    Diagnostic::new("E0401", words)
        .state(UNTOUCHED)
        .next("record what was built: `sealift record build IMAGE@sha256:…`")
        .next("or fill the environment before: `sealift promote --to ENVIRONMENT`")
}

/// A registry failed, outside a promotion.
pub fn of_registry(error: &RegistryError) -> Diagnostic {
    let diagnostic = Diagnostic::new(code::of_registry(error.kind), &error.message).state(UNTOUCHED);
    match error.kind {
        RegistryErrorKind::Unauthenticated | RegistryErrorKind::Denied => {
            diagnostic.next("log in: `docker login REGISTRY`, or `skopeo login REGISTRY`")
        }
        RegistryErrorKind::NotFound => diagnostic.next("check the name and the digest: `sealift look IMAGE`"),
        RegistryErrorKind::Transient => diagnostic.next("run the command again when the registry answers"),
        RegistryErrorKind::Untrusted => diagnostic
            .next("trust the authority of its certificate: `--ca-file FILE`, or `registries: {ca_file: FILE}` in sealift.yaml")
            .next("where it asks for a certificate of yours: `--client-cert FILE --client-key FILE`")
            .next("where it speaks plain HTTP, and only on a network that you trust: `--plain-http HOST`"),
        RegistryErrorKind::Corrupt => diagnostic.next("run the command again; if it stays so, push the image again"),
        RegistryErrorKind::Malformed => diagnostic.next("build and push the image again, with another tool if need be"),
        RegistryErrorKind::TagTaken => diagnostic.next("use another tag: one that never moves is not overwritten"),
        RegistryErrorKind::Unsupported => diagnostic.next("switch it on in the registry, or use another registry"),
    }
}

/// A driver failed, outside a promotion.
pub fn of_driver(error: &DriverError) -> Diagnostic {
    let diagnostic = Diagnostic::new(code::of_driver(error.kind), &error.message).state(UNTOUCHED);
    match error.kind {
        DriverErrorKind::Preflight => diagnostic.next("correct `deploy` in sealift.yaml, or set what it names"),
        DriverErrorKind::Unreachable => diagnostic.next("bring the host back, then run the command again"),
        _ => diagnostic.next("`sealift status`"),
    }
}

/// The log failed.
pub fn of_log(error: &LogError) -> Diagnostic {
    match error {
        LogError::Tampered { .. } => Diagnostic::new("E0202", error.to_string())
            .state("nothing was changed; nothing is promoted on a log that does not hold")
            .next("keep the file as it is, and compare it with a copy: `sealift audit verify --checkpoint FILE`"),
        LogError::Conflict { .. } => {
            Diagnostic::new("E0203", error.to_string()).state(UNTOUCHED).next("run the command again")
        }
        LogError::TooLarge(_) => Diagnostic::new("E0001", error.to_string())
            .state("the entry was not written")
            .next("make what it names shorter, for instance the reason"),
        LogError::Unavailable { why, .. } if why.contains("public key only") => {
            Diagnostic::new("E0201", error.to_string())
                .state(UNTOUCHED)
                .next("give the private key of the log to this run: the variable SEALIFT_LOG_KEY, or its file, as `sealift explain E0204` says")
        }
        LogError::Unavailable { .. } => Diagnostic::new("E0201", error.to_string())
            .state(UNTOUCHED)
            .next("check that the file is there and that this account may write it"),
        LogError::Refused { .. } => Diagnostic::new("E0206", error.to_string())
            .state("the entry was not written")
            .next("`sealift explain E0206` says what a push needs; then run the command again, it goes on where it stopped"),
        LogError::Uncertain { .. } => Diagnostic::new("E0207", error.to_string())
            .state("the entry is in the log as a whole or not at all; nothing is lost or doubled")
            .next("run the command again when the place answers: it finds out, and goes on from there"),
        LogError::Rewritten { .. } => Diagnostic::new("E0208", error.to_string())
            .state("nothing was changed, here or there; nothing is promoted on a log that does not continue")
            .next("keep the cache and find out who pushed by force: `sealift explain E0208`"),
        LogError::Unreachable { .. } => Diagnostic::new("E0209", error.to_string())
            .state(UNTOUCHED)
            .next("run the command again when the place answers; `sealift explain E0209` says what to look at"),
    }
}

/// There is no log.
pub fn no_log(store: &Store) -> Diagnostic {
    Diagnostic::new("E0107", format!("there is no log at {store}"))
        .state(UNTOUCHED)
        .next("`sealift init` makes one; elsewhere, name its configuration with `--config`")
}

/// Nothing says which key a log on a branch is signed with.
pub fn no_log_key(variable: &str) -> Diagnostic {
    Diagnostic::new("E0204", "nothing here says which key the log on the branch is signed with")
        .state(UNTOUCHED)
        .next("name its public key in sealift.yaml: `store: {url: \"git+…\", key: \"…\"}`; `sealift init` printed it")
        .next(format!("or give the private key to this run: the variable {variable}, a secret of the repository"))
}

/// There is no directory for copies of what lies elsewhere.
pub fn no_cache(variable: &str) -> Diagnostic {
    Diagnostic::new(
        "E0101",
        "there is no directory to keep a copy of the log in: neither HOME nor XDG_CACHE_HOME is set",
    )
    .state(UNTOUCHED)
    .next(format!("name one: `export {variable}=DIRECTORY`"))
}

/// A checkpoint that was to be compared is none.
pub fn checkpoint(variable: &str) -> Diagnostic {
    Diagnostic::new("E0109", format!("what ${variable} holds is no checkpoint, so nothing can be compared with it"))
        .state(UNTOUCHED)
        .next("it holds the text itself, as `sealift audit checkpoint` prints it, and no name of a file")
}

/// A copy of the log does not belong to it.
pub fn foreign_copy(error: &LogError, to: &Store) -> Diagnostic {
    let why = match error {
        LogError::Unavailable { why, .. } => why.clone(),
        other => other.to_string(),
    };
    Diagnostic::new("E0210", format!("{to} is no beginning of this log: {why}"))
        .state("both are as they were")
        .next("name a store that does not exist yet, or remove that one if nobody needs it")
        .next("if it has what this one has not, it is the one to copy from: name it as `store` in sealift.yaml")
}

/// An environment's writer has the key of the log.
pub fn writer_is_log(environment: &EnvironmentName) -> Diagnostic {
    Diagnostic::new(
        "E0105",
        format!("the writer of {environment} is the key of the log, which every run that writes has"),
    )
    .state(UNTOUCHED)
    .key(format!("environments.{environment}.writer"))
    .next(format!("make one of its own: `sealift keys writer {environment}`"))
}

/// A token for git is none.
pub fn token(variable: &str) -> Diagnostic {
    Diagnostic::new("E0109", format!("the token in ${variable} cannot be used: it has characters that no token has"))
        .state(UNTOUCHED)
        .next("set it to the token alone, on one line")
}

/// The name of a branch that holds a log is none.
pub fn remote(why: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new("E0104", format!("`store` names no branch: {why}"))
        .state(UNTOUCHED)
        .key("store")
        .next("write it as `git+https://github.com/acme/web.git#sealift`")
}

/// The log can only be read here, and there is nowhere to hand in what is signed.
pub fn read_only() -> Diagnostic {
    Diagnostic::new("E0617", "this log can only be read here: its private key is not at hand, and it has no inbox")
        .state("nothing was signed, and nothing was changed")
        .next("sign a file instead: `sealift request export ID`, then `sealift approve REQUEST-FILE`")
        .next("and take the answer in where the key of the log is: `sealift approve import FILE`")
}

/// A signing key cannot be used.
pub fn key(why: &str) -> Diagnostic {
    Diagnostic::new("E0204", why.to_owned())
        .state(UNTOUCHED)
        .next("a key file belongs to its owner alone: `chmod 600 .sealift/log.key`")
}

/// The writer key of this run cannot be used.
pub fn writer_key(why: &str) -> Diagnostic {
    Diagnostic::new("E0204", why.to_owned())
        .state(UNTOUCHED)
        .next(format!(
            "${} has the whole text of the file that `sealift keys writer ENVIRONMENT` wrote",
            crate::writer_key::VARIABLE
        ))
        .next("a key file belongs to its owner alone: `chmod 600 .sealift/writer.key`")
}

/// A fact was to be written with another environment's key, or with none.
fn foreign_writer(environments: &[EnvironmentName], by: Option<&EnvironmentName>) -> Diagnostic {
    let names: Vec<&str> = environments.iter().map(EnvironmentName::as_str).collect();
    let title = format!("facts about {} are written with its writer key, which this run has not", names.join(" or "));
    let has = by.map_or("no writer key of the policy".to_owned(), |by| format!("the writer key of {by}"));
    Diagnostic::new("E0211", title)
        .found(format!("this run has {has}"))
        .state("nothing was written that needs the key, and nothing was done to the environment")
        .next(format!("give the key to the run: `export {}=\"$(cat writer.key)\"`", crate::writer_key::VARIABLE))
        .next("or run it where the key is, for instance in the pipeline's job for that environment")
        .next("`sealift keys show` says whose key is at hand here")
}

/// A file cannot be used.
pub fn file(what: &str, path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("E0101", format!("cannot {what} {}: {error}", path.display()))
        .state("no environment was changed")
        .next("mend the path or its permissions, then run the command again")
}

/// A secret is not what it must be.
pub fn secret(name: &str, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new("E0109", format!("the secret in ${name} cannot be used: {error}"))
        .state(UNTOUCHED)
        .next(format!("set it, and run the command again: `export {name}=whsec_…`"))
}

/// A webhook cannot be used.
pub fn webhook(error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new("E0104", format!("the webhook cannot be used: {error}"))
        .state(UNTOUCHED)
        .key("notify")
        .next("correct its address under `notify` in sealift.yaml")
}

/// Something typed is not what it must be.
pub fn usage(what: impl Into<String>) -> Diagnostic {
    Diagnostic::new("E0002", what).state(UNTOUCHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_in_which_a_log_far_away_fails_has_a_code_of_its_own() {
        let (place, why) = (|| "git+https://host/a.git#log".to_owned(), || "so it said".to_owned());
        let errors = [
            ("E0206", LogError::Refused { place: place(), why: why() }),
            ("E0207", LogError::Uncertain { place: place(), why: why() }),
            ("E0208", LogError::Rewritten { place: place(), seen: "9 entries".into(), found: "there are 3".into() }),
            ("E0209", LogError::Unreachable { place: place(), why: why() }),
        ];
        for (code, error) in errors {
            let diagnostic = of_log(&error);
            assert_eq!(diagnostic.code.to_string(), code);
            assert!(diagnostic.title.contains(&place()), "{}", diagnostic.title);
        }
    }
}
