//! The stable codes of failures that happen within a promotion.

use sealift_domain::failure::{Code, Failure};

use crate::ports::{
    driver::{DriverError, DriverErrorKind},
    registry::{RegistryError, RegistryErrorKind},
};

/// A gate, or what a gate asks for, stands against it.
pub const REFUSED: &str = "E0404";
/// What runs is not what should run.
pub const NOT_RUNNING: &str = "E0406";
/// A check does not hold.
pub const VERIFICATION: &str = "E0410";
/// A tag template gives no tag.
pub const TAG_TEMPLATE: &str = "E0411";

/// An image is not attested as its environment wants it.
pub const NOT_ATTESTED: &str = "E0802";
/// An image could not be attested.
pub const ATTESTING: &str = "E0803";
/// The policy does not have a way around the usual one.
pub const NO_SUCH_WAY: &str = "E0611";

/// The code of a registry's failure.
pub fn of_registry(kind: RegistryErrorKind) -> &'static str {
    match kind {
        RegistryErrorKind::NotFound => "E0301",
        RegistryErrorKind::Unauthenticated => "E0302",
        RegistryErrorKind::Denied => "E0303",
        RegistryErrorKind::Transient => "E0304",
        RegistryErrorKind::Corrupt => "E0305",
        RegistryErrorKind::Malformed => "E0306",
        RegistryErrorKind::TagTaken => "E0307",
        RegistryErrorKind::Unsupported => "E0308",
        RegistryErrorKind::Untrusted => "E0309",
    }
}

/// The code of a driver's failure.
pub fn of_driver(kind: DriverErrorKind) -> &'static str {
    match kind {
        DriverErrorKind::Pull => "E0501",
        DriverErrorKind::Preflight => "E0502",
        DriverErrorKind::Start => "E0503",
        DriverErrorKind::Unhealthy => "E0504",
        DriverErrorKind::Switch => "E0505",
        DriverErrorKind::Migrate => "E0506",
        DriverErrorKind::Fenced => "E0507",
        DriverErrorKind::Unreachable => "E0508",
        DriverErrorKind::Locked => "E0509",
    }
}

/// A failure by its code and words.
pub fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: Code::new(code), message: message.into(), evidence: Vec::new() }
}

/// A registry's failure.
pub fn registry_failure(error: &RegistryError) -> Failure {
    failure(of_registry(error.kind), &error.message)
}

/// A driver's failure.
pub fn driver_failure(error: &DriverError) -> Failure {
    failure(of_driver(error.kind), &error.message)
}
