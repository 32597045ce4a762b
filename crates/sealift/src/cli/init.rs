//! `sealift init`

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sealift_domain::{
    name::{AppName, EnvironmentName, PersonId},
    personal::Personal,
    policy::{Contact, Environment, Excluded},
    reference::Repository,
};
use sealift_engine::{book::Book, init, ports::clock::Entropy};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    config::{self, Config},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, promotion_keys, session,
    shell::Shell,
    system::{SystemClock, SystemEntropy},
    wiring,
};

/// Write a minimal configuration, create the log and its keys, and make the configuration the first policy
///
/// An existing configuration is taken as it is. What is accepted here is trusted on first use; from then on a change of the
/// policy needs the signatures that the policy wants.
#[derive(clap::Args)]
pub struct Args {
    /// The application; by default the name of this directory.
    #[arg(long)]
    app: Option<AppName>,
    /// Where staging's image is kept.
    #[arg(long, value_name = "REPOSITORY")]
    staging: Option<Repository>,
    /// Where production's image is kept; by default the same repository.
    #[arg(long, value_name = "REPOSITORY")]
    production: Option<Repository>,
    /// The first approver: a handle.
    #[arg(long, value_name = "PERSON", requires = "ssh_key")]
    approver: Option<PersonId>,
    /// The approver's SSH public key, a file.
    #[arg(long, value_name = "FILE", requires = "approver")]
    ssh_key: Option<std::path::PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let path = session::configuration_path(shell, global);
    let mut told = Vec::new();
    if !path.exists() {
        let text = minimal(shell, &args).map_err(one)?;
        let directory = path.parent().unwrap_or(std::path::Path::new(""));
        let made = promotion_key(directory).map_err(one)?;
        // What is written must be readable, before it is written.
        let written = Config::parse(&text, &global.config.display().to_string(), directory)
            .and_then(|_| write_new(&path, &text).map_err(one));
        if let (Err(_), Some(pair)) = (&written, &made) {
            // Nobody is left with a key that nothing names.
            pair.iter().for_each(|file| drop(std::fs::remove_file(file)));
        }
        written?;
        told.push(format!("wrote   {}", global.config.display()));
        if made.is_some() {
            told.push(format!(
                "created .sealift/promotion.key, which signs what enters production; public {PROMOTION_PUB}"
            ));
        }
    }
    let config = session::configuration(shell, global)?;
    let log_path = config.directory.join(&config.store);
    if log_path.exists() {
        return Err(one(Diagnostic::new("E0110", format!("there is a log already: {}", config.store.display()))
            .state(if told.is_empty() {
                "nothing was changed"
            } else {
                "the configuration was written, the log is as it was"
            })
            .next("`sealift status` shows what it holds; `sealift policy diff` compares the policy")));
    }
    let log = wiring::stores::create_log(&log_path, &format!("{}.sealift", config.policy.app)).map_err(one)?;
    ignore_state(&config).map_err(one)?;
    let entropy = Arc::new(SystemEntropy);
    let book = Book::open(log, Arc::new(SystemClock), entropy.clone(), "init".to_owned());
    let book = book.await.map_err(|e| one(failure::of_engine(e)))?;
    init::first(&book, config.policy.clone(), contacts(&config, entropy.as_ref()))
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "app": config.policy.app,
            "log": config.store,
            "public_key": wiring::stores::verifier_path(&config.store),
            "policy": config.policy.digest(),
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    told.push(format!("created {} and its key", config.store.display()));
    told.push(format!("public  {}", wiring::stores::verifier_path(&config.store).display()));
    told.push("policy  accepted on first use; changes need `sealift policy accept`".to_owned());
    for (name, environment) in &config.policy.environments {
        if environment.from.is_some() && environment.approval.is_none() {
            told.push(format!("mind    {name} is entered without an approval"));
        }
    }
    told.extend(alone(&config));
    told.push("next: sealift record build IMAGE@sha256:…".to_owned());
    shell.print(&format!("{}\n", told.join("\n")));
    Ok(Exit::Ok)
}

/// Where too few could approve what one of them asks for.
fn alone(config: &Config) -> Vec<String> {
    let policy = &config.policy;
    let words = |(name, rules): (&EnvironmentName, &Environment)| {
        let rule = rules.approval.as_ref().filter(|rule| rule.not.contains(&Excluded::Requester))?;
        let approvers = policy.people.values().filter(|person| !person.roles.is_disjoint(&rule.roles)).count();
        let others = policy.people.len() > approvers;
        (approvers <= rule.count as usize && !others).then(|| {
            format!(
                "mind    {name}: nobody approves what they asked for, so a further person is needed to ask or to approve: \
                 add them under `people`, then `sealift policy accept`"
            )
        })
    };
    policy.environments.iter().filter_map(words).collect()
}

/// The file of the public key that a new configuration names.
const PROMOTION_PUB: &str = "promotion.pub";

/// Makes the key that a new configuration attests with, unless there is one; the files that were made.
fn promotion_key(directory: &Path) -> Result<Option<[std::path::PathBuf; 2]>, Diagnostic> {
    let (private, public) = (directory.join(".sealift/promotion.key"), directory.join(PROMOTION_PUB));
    if public.exists() {
        return Ok(None);
    }
    match promotion_keys::generate(&private, &public) {
        Ok(_) => Ok(Some([private, public])),
        Err(why) => Err(Diagnostic::new("E0801", why)
            .state("nothing was changed")
            .next("put the public half beside it, or make a pair elsewhere: `sealift keys generate --out FILE`")),
    }
}

fn minimal(shell: &Shell, args: &Args) -> Result<String, Diagnostic> {
    let wanted =
        "name the image: `sealift init --staging ghcr.io/acme/web --approver ana --ssh-key ~/.ssh/id_ed25519.pub`";
    let Some(staging) = &args.staging else {
        return Err(failure::usage("there is no sealift.yaml, and no image was named to write one for").next(wanted));
    };
    let app = match &args.app {
        Some(app) => app.clone(),
        None => directory_name(&shell.directory).ok_or_else(|| {
            failure::usage("the directory's name is no name for an application").next("add `--app NAME`")
        })?,
    };
    let approver = match (&args.approver, &args.ssh_key) {
        (Some(person), Some(file)) => {
            let path = shell.resolve(file);
            let text = std::fs::read_to_string(&path).map_err(|error| failure::file("read", &path, &error))?;
            Some((person.clone(), text.trim().to_owned()))
        }
        _ => None,
    };
    let production = args.production.as_ref().unwrap_or(staging);
    Ok(config::minimal(
        &app,
        staging,
        production,
        approver.as_ref().map(|(id, key)| (id, key.as_str())),
        Some(PROMOTION_PUB),
    ))
}

fn directory_name(directory: &Path) -> Option<AppName> {
    let name = directory.file_name()?.to_str()?.to_ascii_lowercase();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    plain.trim_matches('-').parse().ok()
}

fn write_new(path: &Path, text: &str) -> Result<(), Diagnostic> {
    use std::io::Write;
    let mut file = std::fs::File::create_new(path).map_err(|error| failure::file("write", path, &error))?;
    file.write_all(text.as_bytes()).map_err(|error| failure::file("write", path, &error))
}

/// The state holds a private key: keep it out of git, if it lies in a directory of its own.
fn ignore_state(config: &Config) -> Result<(), Diagnostic> {
    let Some(directory) = config.directory.join(&config.store).parent().map(Path::to_owned) else { return Ok(()) };
    if directory == config.directory {
        return Ok(());
    }
    let path = directory.join(".gitignore");
    match std::fs::File::create_new(&path) {
        Ok(_) => std::fs::write(&path, "*\n").map_err(|error| failure::file("write", &path, &error)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failure::file("write", &path, &error)),
    }
}

/// How to reach the people of a configuration, each text under a salt of its own.
pub(super) fn contacts(config: &Config, entropy: &dyn Entropy) -> BTreeMap<PersonId, Contact> {
    let personal = |text: &Option<String>| text.as_ref().map(|text| Personal::new(text.clone(), entropy.salt()));
    let contact = |(id, plain): (&PersonId, &config::PlainContact)| {
        (id.clone(), Contact { email: personal(&plain.email), github: personal(&plain.github) })
    };
    config.contacts.iter().map(contact).collect()
}
