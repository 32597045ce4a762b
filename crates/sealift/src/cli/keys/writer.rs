//! `sealift keys writer`: a key with which facts about an environment are written.

use std::path::PathBuf;

use sealift_domain::name::EnvironmentName;
use sealift_engine::ports::writer::Writer as _;
use sealift_store::{key::SigningKey, key_file, writer::WriterKeys};
use serde_json::{Value, json};

use crate::{
    cli::{Ends, Global},
    config::Config,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, private, session,
    shell::Shell,
    writer_key,
};

/// Makes a pair. The private half never appears anywhere but in its file.
pub(super) fn make(environment: &EnvironmentName, out: Option<PathBuf>, global: &Global, shell: &Shell) -> Ends {
    let config = session::configuration(shell, global)?;
    let one = |diagnostic| vec![diagnostic];
    let Some(rules) = config.policy.environments.get(environment) else {
        let title = format!("the policy has no environment `{environment}`");
        return Err(one(Diagnostic::new("E0108", title)
            .state("no key was made")
            .next("`sealift status` lists the environments")));
    };
    let path = out.map_or_else(|| writer_key::new_file(&config, environment), |out| shell.resolve(&out));
    let key = generate(&config, environment, &path).map_err(one)?;
    let public = key.verifier().to_string();
    if global.json() {
        let value = json!({
            "schema_version": 1, "environment": environment, "private_key": path, "public_key": public,
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let (private, variable) = (path.display(), writer_key::VARIABLE);
    let line = match rules.writer.as_slice() {
        [] => format!("writer: \"{public}\""),
        before => {
            let all: Vec<String> = before.iter().map(ToString::to_string).chain([public.clone()]).collect();
            format!("writer: [\"{}\"]", all.join("\", \""))
        }
    };
    let mut lines = vec![
        format!("private {private} (only you can read it; it signs, so it belongs in no repository)"),
        format!("public  {public}"),
        format!("1. under `environments.{environment}` in sealift.yaml: `{line}`"),
        "2. `sealift policy accept`, with the signatures that the present policy wants".to_owned(),
        format!("3. to the runs of {environment} alone: `gh secret set {variable} --env {environment} < {private}`"),
        format!("   or on the machine that deploys it, as {}", writer_key::usual_file(&config).display()),
    ];
    if !rules.writer.is_empty() {
        lines.push("4. once every run signs with it: the new key alone, and `sealift policy accept`".to_owned());
    }
    shell.print(&format!("{}\n", lines.join("\n")));
    Ok(Exit::Ok)
}

fn generate(config: &Config, environment: &EnvironmentName, path: &std::path::Path) -> Result<SigningKey, Diagnostic> {
    let failed = |why: String| {
        failure::writer_key(&why)
            .state("no key that was there was changed")
            .next(format!("name another file: `sealift keys writer {environment} --out FILE`"))
    };
    let name = format!("{}/{environment}", config.policy.app);
    let key = SigningKey::generate(&name).map_err(|why| failed(why.to_string()))?;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        private::directory(directory).map_err(|why| failure::file("create", directory, &why))?;
    }
    key_file::write_new(path, &key).map_err(|why| failed(why.to_string()))?;
    Ok(key)
}

/// The key at hand, and whose it is.
pub(super) fn shown(keys: &WriterKeys, config: &Config) -> Value {
    let environment = writer_key::environment(keys, &config.policy);
    keys.key().map_or(Value::Null, |key| json!({"public_key": key.to_string(), "environment": environment}))
}

/// The same for people.
pub(super) fn in_words(keys: &WriterKeys, config: &Config) -> String {
    let wanted = config.policy.has_writers();
    match (keys.key(), writer_key::environment(keys, &config.policy)) {
        (Some(key), Some(environment)) => format!("writer  of {environment}: {key}\n"),
        (Some(key), None) => format!("writer  of no environment of the policy: {key}\n"),
        (None, _) if wanted => {
            format!(
                "mind    no writer key: neither ${} nor {} has one\n",
                writer_key::VARIABLE,
                writer_key::usual_file(config).display()
            )
        }
        (None, _) => String::new(),
    }
}
