//! From image and configuration to a program with arguments, environment and working directory.

use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    config::Config,
    image::{Unpacked, resolve},
};

/// The search path of a program that the image does not set (as container engines do).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to start. `HOST` and `PORT` are added where it is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The program, an absolute path of this machine.
    pub program: PathBuf,
    /// Its arguments, the program's own name first.
    pub argv: Vec<String>,
    /// Its whole environment, without secrets.
    pub env: BTreeMap<String, String>,
    /// Its working directory, an absolute path of this machine.
    pub directory: PathBuf,
}

/// Environment variables whose values are nobody's business.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// The values of `names` in the environment of this process; the names that are not set otherwise.
    pub(crate) fn from_environment(names: &[String]) -> Result<Self, Vec<String>> {
        let found: BTreeMap<String, String> =
            names.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect();
        let missing: Vec<String> = names.iter().filter(|name| !found.contains_key(*name)).cloned().collect();
        if missing.is_empty() { Ok(Self(found)) } else { Err(missing) }
    }

    /// Names and values, to be handed to a program and nowhere else.
    pub(crate) fn expose(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Launch {
    /// The service: the configured command, or what the image starts by itself.
    pub(crate) fn service(image: &Unpacked, config: &Config) -> Result<Self, String> {
        let execution = &image.execution;
        let own = || {
            let parts = [&execution.entrypoint, &execution.cmd];
            parts.into_iter().flatten().flatten().cloned().collect()
        };
        let argv = config.command.clone().unwrap_or_else(own);
        Self::program(image, config, argv)
    }

    /// Any program of the image.
    pub(crate) fn program(image: &Unpacked, config: &Config, argv: Vec<String>) -> Result<Self, String> {
        let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
            return Err("the image has no entrypoint and no command: set `command`".to_owned());
        };
        let mut env = variables(image.execution.env.as_deref().unwrap_or_default())?;
        env.extend(config.env.clone());
        let inside = Path::new(image.execution.working_dir.as_deref().unwrap_or("/")).to_owned();
        let directory = in_image(image, &inside)?;
        if !directory.is_dir() {
            return Err(format!("the working directory {} is not in the image", inside.display()));
        }
        let program = find(image, name, &inside, env.get("PATH").map_or(DEFAULT_PATH, String::as_str))?;
        Ok(Self { program, argv, env, directory })
    }
}

/// `NAME=value` pairs of an image configuration.
fn variables(pairs: &[String]) -> Result<BTreeMap<String, String>, String> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty() && !text.contains('\0'))?;
        Some((name.to_owned(), value.to_owned()))
    };
    let all: Option<BTreeMap<_, _>> = pairs.iter().map(pair).collect();
    all.ok_or_else(|| "the image configuration has a malformed environment variable".to_owned())
}

fn in_image(image: &Unpacked, path: &Path) -> Result<PathBuf, String> {
    resolve(&image.root, path, true).map_err(|e| e.to_string())
}

/// The file of the image that `name` stands for: a path, or a name to look up in `search`. Never a file of the host.
fn find(image: &Unpacked, name: &str, directory: &Path, search: &str) -> Result<PathBuf, String> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![directory.join(name)]
    } else {
        search.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new("/").join(dir).join(name)).collect()
    };
    for candidate in candidates {
        let file = in_image(image, &candidate)?;
        if fs::metadata(&file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0) {
            return Ok(file);
        }
    }
    Err(format!("the image has no program `{name}`"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{super::image::Execution, *};

    fn image(root: &Path, execution: Execution) -> Unpacked {
        for (name, mode) in [("app/serve", 0o755), ("usr/bin/tool", 0o755), ("app/data", 0o644)] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Unpacked { root: root.to_owned(), execution, expects: sealift_domain::schema::Expected::Nothing }
    }

    fn config() -> Config {
        serde_json::from_str(r#"{"listen":1,"ports":[2,3],"state":"s","env":{"B":"ours"}}"#).unwrap()
    }

    #[test]
    fn the_image_says_what_runs_and_the_configuration_may_say_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let execution = Execution {
            env: Some(vec!["A=1".to_owned(), "B=image".to_owned(), "EQ=a=b".to_owned()]),
            entrypoint: Some(vec!["./serve".to_owned()]),
            cmd: Some(vec!["--fast".to_owned()]),
            working_dir: Some("/app".to_owned()),
            labels: None,
        };
        let image = image(dir.path(), execution);
        let launch = Launch::service(&image, &config()).unwrap();
        assert_eq!((launch.program, launch.directory), (dir.path().join("app/./serve"), dir.path().join("app")));
        assert_eq!(launch.argv, ["./serve", "--fast"]);
        let env: Vec<_> = launch.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=1", "B=ours", "EQ=a=b"]);
        let own = Config { command: Some(vec!["tool".to_owned()]), ..config() };
        assert_eq!(Launch::service(&image, &own).unwrap().program, dir.path().join("usr/bin/tool"));
    }

    #[test]
    fn a_program_of_the_host_is_never_taken() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), Execution::default());
        symlink("/bin/sh", dir.path().join("app/link")).unwrap();
        let refused = |name: &str| Launch::program(&image, &config(), vec![name.to_owned()]).unwrap_err();
        for name in ["/bin/sh", "sh", "../../../../../../bin/sh", "/app/link", "/app/data", "/app"] {
            assert!(refused(name).contains("no program"), "{name}");
        }
        assert!(Launch::service(&image, &config()).unwrap_err().contains("no entrypoint"));
        let lost =
            Unpacked { execution: Execution { working_dir: Some("/nowhere".into()), ..Execution::default() }, ..image };
        assert!(Launch::program(&lost, &config(), vec!["tool".into()]).unwrap_err().contains("/nowhere"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let secrets = Secrets(BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]));
        assert_eq!(format!("{secrets:?}"), r#"{"TOKEN"}"#);
        let missing = Secrets::from_environment(&["SEALIFT_TEST_UNSET".to_owned()]).unwrap_err();
        assert_eq!(missing, ["SEALIFT_TEST_UNSET"]);
    }
}
