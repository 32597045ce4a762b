//! Every failure as people read it: code, words, state of the world, next command. The one place where that is decided.

use std::path::Path;

use sealift_engine::{
    code,
    error::EngineError,
    ports::{
        driver::{DriverError, DriverErrorKind},
        log::LogError,
        registry::{RegistryError, RegistryErrorKind},
    },
};

use crate::diagnostic::Diagnostic;

const UNTOUCHED: &str = "nothing was changed";

/// A use case did not succeed.
pub fn of_engine(error: EngineError) -> Diagnostic {
    let words = error.to_string();
    match error {
        EngineError::Log(error) => of_log(&error),
        EngineError::Registry(error) => of_registry(&error),
        EngineError::Driver(error) => of_driver(&error),
        EngineError::Entry { .. } | EngineError::Illegal { .. } => unreadable_log(&words),
        EngineError::Refused(_) => {
            Diagnostic::new("E0403", words).state(UNTOUCHED).next("`sealift status` shows where the promotion is")
        }
        EngineError::Contended(_) => {
            Diagnostic::new("E0203", words).state("nothing of this command was written").next("run the command again")
        }
        EngineError::NotInitialised => Diagnostic::new("E0107", words).state(UNTOUCHED).next("`sealift init`"),
        EngineError::UnknownEnvironment(_) | EngineError::NoDriver(_) => {
            Diagnostic::new("E0108", words).state(UNTOUCHED).next("see `environments` in sealift.yaml")
        }
        EngineError::NothingToPromote(_) => nothing_to_promote(words),
        EngineError::NoRollbackTarget(_) => Diagnostic::new("E0412", words)
            .state(UNTOUCHED)
            .next("`sealift history` lists what was live; a running release is imported by `sealift record deployment --baseline`"),
        EngineError::NoPromotion(_) => {
            Diagnostic::new("E0402", words).state(UNTOUCHED).next("`sealift history` lists the promotions")
        }
        EngineError::WrongState { id, .. } => {
            Diagnostic::new("E0403", words).state(UNTOUCHED).next(format!("`sealift status {id}`"))
        }
        EngineError::Held { environment, by, .. } => Diagnostic::new("E0405", words)
            .state(UNTOUCHED)
            .next(format!("wait for it: `sealift status {by}`"))
            .next(format!("if its run was interrupted, `sealift promote --to {environment}` resumes it")),
        EngineError::RequesterUnknown(_) => Diagnostic::new("E0603", words)
            .state(UNTOUCHED)
            .next("sign the request with your SSH key: add `--identity ~/.ssh/id_ed25519`"),
        EngineError::Signature(_) | EngineError::Statement(_) | EngineError::NotCounted { .. } => {
            Diagnostic::new("E0601", words).state(UNTOUCHED).next("`sealift status` shows what is wanted, and from whom")
        }
        EngineError::UnknownKey(_) => Diagnostic::new("E0604", words)
            .state(UNTOUCHED)
            .next("sign with a key that stands under `people` in sealift.yaml, or add it there: `sealift policy diff`"),
        EngineError::NotFound(_) => Diagnostic::new("E0401", words).state(UNTOUCHED),
    }
}

fn unreadable_log(words: &str) -> Diagnostic {
    let code = if words.contains("use a newer program") { "E0205" } else { "E0202" };
    Diagnostic::new(code, words.to_owned()).state(UNTOUCHED).next("`sealift audit verify`")
}

fn nothing_to_promote(words: String) -> Diagnostic {
    Diagnostic::new("E0401", words)
        .state(UNTOUCHED)
        .next("record what was built: `sealift record build IMAGE@sha256:…`")
        .next("or record what runs: `sealift record deployment --in ENVIRONMENT --baseline`")
}

/// A registry failed, outside a promotion.
pub fn of_registry(error: &RegistryError) -> Diagnostic {
    let diagnostic = Diagnostic::new(code::of_registry(error.kind), &error.message).state(UNTOUCHED);
    match error.kind {
        RegistryErrorKind::Unauthenticated | RegistryErrorKind::Denied => {
            diagnostic.next("log in: `docker login REGISTRY`, or `skopeo login REGISTRY`")
        }
        RegistryErrorKind::NotFound => diagnostic.next("check the name and the digest: `sealift look IMAGE`"),
        _ => diagnostic.next("run the command again"),
    }
}

/// A driver failed, outside a promotion.
pub fn of_driver(error: &DriverError) -> Diagnostic {
    let diagnostic = Diagnostic::new(code::of_driver(error.kind), &error.message).state(UNTOUCHED);
    match error.kind {
        DriverErrorKind::Preflight => diagnostic.next("correct `deploy` in sealift.yaml"),
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
        LogError::TooLarge(_) => Diagnostic::new("E0001", error.to_string()).state(UNTOUCHED),
        LogError::Unavailable { .. } => Diagnostic::new("E0201", error.to_string())
            .state(UNTOUCHED)
            .next("check that the file is there and that this account may write it"),
    }
}

/// There is no log.
pub fn no_log(path: &Path) -> Diagnostic {
    Diagnostic::new("E0107", format!("there is no log at {}", path.display()))
        .state(UNTOUCHED)
        .next("`sealift init` makes one; elsewhere, name its configuration with `--config`")
}

/// A signing key cannot be used.
pub fn key(why: &str) -> Diagnostic {
    Diagnostic::new("E0204", why.to_owned())
        .state(UNTOUCHED)
        .next("a key file belongs to its owner alone: `chmod 600 .sealift/log.key`")
}

/// A file cannot be used.
pub fn file(what: &str, path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("E0101", format!("cannot {what} {}: {error}", path.display())).state(UNTOUCHED)
}

/// A secret is not what it must be.
pub fn secret(name: &str, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new("E0109", format!("the secret in ${name} cannot be used: {error}"))
        .state(UNTOUCHED)
        .next(format!("export {name}=whsec_…"))
}

/// A webhook cannot be used.
pub fn webhook(error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new("E0104", format!("the webhook cannot be used: {error}")).state(UNTOUCHED).key("notify")
}

/// Something typed is not what it must be.
pub fn usage(what: impl Into<String>) -> Diagnostic {
    Diagnostic::new("E0002", what).state(UNTOUCHED)
}
