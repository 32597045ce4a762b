//! Compose itself, version 1 or 2.

use std::{ffi::OsString, path::Path, time::Duration};

use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use serde_json::Value;

use super::{
    command::{Call, Leash, Ran},
    engine::Engine,
};
use crate::failure;

/// How long Compose may take to resolve a file.
const QUICK: Duration = Duration::from_secs(60);
/// How long Compose may take to create or start containers. What is pulled or waited for is done elsewhere.
const UP_WITHIN: Duration = Duration::from_secs(600);

/// A Compose that was found.
#[derive(Clone, Debug)]
pub(super) struct Compose {
    argv: Vec<String>,
    /// Its version as it says it, for instance `2.26.1`.
    pub(super) version: String,
    /// 1 or 2 (or more).
    pub(super) major: u32,
    variables: Vec<(String, String)>,
    leash: Leash,
}

/// A project file of this driver, and the project that it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProjectFile<'a> {
    pub(super) project: &'a str,
    pub(super) path: &'a Path,
    /// Where relative paths of the file begin.
    pub(super) directory: &'a Path,
}

impl Compose {
    /// Finds Compose: `argv` if it is given, else the client's plugin, else the program of version 1.
    pub(super) async fn find(argv: Option<&[String]>, engine: &Engine) -> Result<Self, DriverError> {
        let plugin = ["docker", "compose"].map(str::to_owned).to_vec();
        let program = vec!["docker-compose".to_owned()];
        let candidates = argv.map_or_else(|| vec![plugin, program], |argv| vec![argv.to_vec()]);
        let mut said = Vec::new();
        for argv in candidates {
            let call = Call::new(&argv, QUICK).args(["version", "--short"]).variables(engine.variables());
            let found = match call.run().await {
                Ok(ran) if ran.code == Some(0) => ran.text().trim_start_matches('v').to_owned(),
                Ok(ran) => {
                    said.push(format!("`{}`: {}", call.words(), ran.words()));
                    continue;
                }
                Err(error) => {
                    said.push(error.message);
                    continue;
                }
            };
            match found.split('.').next().and_then(|major| major.parse().ok()) {
                Some(major) => {
                    let variables = engine.variables().into_iter().collect();
                    return Ok(Self { argv, version: found, major, variables, leash: engine.leash.clone() });
                }
                None => said.push(format!("`{}` names no version: {found}", call.words())),
            }
        }
        let why = format!("the host has no Docker Compose: {}; install it, or name it with `compose`", said.join("; "));
        Err(failure(DriverErrorKind::Preflight, why))
    }

    fn call(&self, file: ProjectFile<'_>, within: Duration) -> Call {
        let before: [OsString; 6] = [
            "--project-name".into(),
            file.project.into(),
            "--project-directory".into(),
            file.directory.into(),
            "--file".into(),
            file.path.into(),
        ];
        Call::new(&self.argv, within).args(before).variables(self.variables.clone()).under(&self.leash)
    }

    /// The file as Compose understands it, with `variables` put in.
    ///
    /// # Errors
    /// [`DriverErrorKind::Preflight`] if Compose refuses it, or if it uses a variable that has no value.
    pub(super) async fn resolve(
        &self,
        file: ProjectFile<'_>,
        variables: &[(String, String)],
    ) -> Result<Value, DriverError> {
        let refused = |why: String| failure(DriverErrorKind::Preflight, why);
        let call = self.call(file, QUICK).variables(variables.iter().cloned()).args(["config"]);
        let call = if self.major >= 2 { call.args(["--format", "json"]) } else { call };
        let ran = call.succeed(DriverErrorKind::Preflight).await?;
        if let Some(name) = unset_variable(&ran) {
            let why = format!(
                "the Compose file uses the variable {name}, which has no value; set it and name it under `env_from`, or \
                 give it a default: ${{{name}:-}}"
            );
            return Err(refused(why));
        }
        if self.major >= 2 {
            serde_json::from_slice(&ran.stdout).map_err(|e| refused(format!("`{}`: {e}", call.words())))
        } else {
            let text = String::from_utf8_lossy(&ran.stdout);
            serde_saphyr::from_str(&text).map_err(|e| refused(format!("`{}`: {e}", call.words())))
        }
    }

    /// Creates the container of `service` without starting it, in place of one of another image.
    pub(super) async fn create(&self, file: ProjectFile<'_>, service: &str) -> Result<(), DriverError> {
        let call = self.call(file, UP_WITHIN).args(["up", "--no-start", "--no-build", "--no-deps", service]);
        call.succeed(DriverErrorKind::Preflight).await.map(drop)
    }

    /// Creates networks, volumes, and those of `services` that are missing; of all, if none is named. What is there stays
    /// as it is.
    pub(super) async fn up_missing(&self, file: ProjectFile<'_>, services: &[String]) -> Result<(), DriverError> {
        let call = self.call(file, UP_WITHIN).args(["up", "--detach", "--no-build", "--no-recreate"]).args(services);
        call.succeed(DriverErrorKind::Preflight).await.map(drop)
    }

    /// Starts one container of `service` with another program, under a name of its own, and does not wait for it.
    pub(super) async fn run_once(
        &self,
        file: ProjectFile<'_>,
        service: &str,
        once: Once<'_>,
    ) -> Result<(), DriverError> {
        let Some((program, arguments)) = once.argv.split_first() else {
            return Err(failure(DriverErrorKind::Migrate, "the migration names no program"));
        };
        let call = self.call(file, UP_WITHIN).args(["run", "--detach", "--no-deps", "--name", once.name]);
        let call = call.args(once.labels.iter().flat_map(|label| ["--label", label.as_str()]));
        let call = call.args(["--entrypoint", program, service]).args(arguments);
        call.succeed(DriverErrorKind::Migrate).await.map(drop)
    }
}

/// A program to run once in a container of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Once<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a [String],
    pub(super) argv: &'a [String],
}

/// The first variable that Compose put in as nothing. It says so and goes on; a service that lacks its database's address
/// should not get that far.
fn unset_variable(ran: &Ran) -> Option<String> {
    let text = String::from_utf8_lossy(&ran.stderr);
    text.lines().find_map(|line| {
        let (before, _) = line.split_once(" variable is not set")?;
        let name = before.rsplit_once(' ').map_or(before, |(_, name)| name);
        Some(name.trim_matches(|c: char| c == '"' || c == '\\').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_of_unset_variables() {
        let said = |text: &str| unset_variable(&Ran { stderr: text.as_bytes().to_vec(), ..Ran::default() });
        let v2 = r#"time="2026-01-01T00:00:00Z" level=warning msg="The \"DB_URL\" variable is not set. Defaulting to a blank string.""#;
        assert_eq!(said(v2).as_deref(), Some("DB_URL"));
        assert_eq!(said("WARNING: The DB variable is not set. Defaulting to a blank string.").as_deref(), Some("DB"));
        assert_eq!(said("WARNING: all is well"), None);
    }
}
