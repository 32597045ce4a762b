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
    config::{self, Config, Store},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, private, promotion_keys, session,
    shell::Shell,
    system::{SystemClock, SystemEntropy},
    wiring::{
        self,
        stores::{self, KEY_VARIABLE, KeyFiles, Opened},
    },
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
    /// Where the log is kept: `sqlite:FILE`, or `git+URL#BRANCH` where machines share no disk; by default a file beside.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
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
        let directory = path.parent().unwrap_or(std::path::Path::new(""));
        let text = minimal(shell, &args, directory).map_err(one)?;
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
    if let Some(store) =
        args.store.as_deref().filter(|store| Store::parse(store).as_ref() != Some(&config.store.short()))
    {
        let why = format!("there is a configuration, and its log is {}, not {store}", config.store);
        return Err(one(failure::usage(why)
            .state("nothing was changed")
            .next("change `store` in sealift.yaml, or leave `--store` out")));
    }
    let files = KeyFiles::of(&config);
    // Before the first key is there.
    ignore_state(&config).map_err(one)?;
    let store = log(shell, &config, told.is_empty()).await.map_err(one)?;
    let entropy = Arc::new(SystemEntropy);
    let trust = wiring::trust(shell, &config).map_err(one)?;
    let (log, clock) = (store.log(), Arc::new(SystemClock));
    let book = Book::open_with(log, clock, entropy.clone(), "init".to_owned(), trust);
    let book = book.await.map_err(|e| one(failure::of_engine(e)))?;
    if book.ledger().await.map_err(|e| one(failure::of_engine(e)))?.policy.is_some() {
        return Err(one(there_already(&config, told.is_empty())));
    }
    init::first(&book, config.policy.clone(), contacts(&config, entropy.as_ref()))
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "app": config.policy.app,
            "log": config.store.to_string(),
            "public_key": beside(&config, &files.public),
            "policy": config.policy.digest(),
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    told.extend(made(&config, &files, shell.variable(KEY_VARIABLE).is_none()).map_err(one)?);
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

/// Makes the log. One that an earlier `init` has begun and not ended, for instance because the network broke off, is taken up.
async fn log(shell: &Shell, config: &Config, untouched: bool) -> Result<Opened, Diagnostic> {
    let begun = match &config.store {
        Store::Sqlite(path) => config.directory.join(path).exists(),
        Store::Git(_) => false,
    };
    if begun {
        return Err(there_already(config, untouched));
    }
    match stores::create(shell, config, &origin(&config.policy.app)).await {
        Ok(made) => Ok(made),
        // Where there is nothing to take up, why it could not be made is what matters.
        Err(error) => stores::open(shell, config).await.map_err(|_| error),
    }
}

fn there_already(config: &Config, untouched: bool) -> Diagnostic {
    Diagnostic::new("E0110", format!("there is a log already: {}", config.store))
        .state(if untouched { "nothing was changed" } else { "the configuration was written, the log is as it was" })
        .next("`sealift status` shows what it holds; `sealift policy diff` compares the policy")
        .next("to use a log that others made: take their sealift.yaml, and for writing the key of the log, as docs/ledger.md says")
}

/// A path as it is from the directory of the configuration.
fn beside(config: &Config, path: &Path) -> String {
    path.strip_prefix(&config.directory).unwrap_or(path).display().to_string()
}

/// What was made, and where its keys belong.
fn made(config: &Config, files: &KeyFiles, key_here: bool) -> Result<Vec<String>, Diagnostic> {
    let (private, public) = (beside(config, &files.private), beside(config, &files.public));
    let Store::Git(git) = &config.store else {
        let mut told = vec![format!("created {} and its key", config.store), format!("public  {public}")];
        if config.store.state() == Path::new("") {
            told.push(format!("mind    {private} lies in this directory: keep it out of git"));
        }
        return Ok(told);
    };
    let mut told = vec![format!("created {}", config.store)];
    if key_here {
        told.push(format!("private {private}: a secret of the repository, `gh secret set {KEY_VARIABLE} < {private}`"));
        told.push(format!("public  {public}"));
    }
    if git.key.is_none() && key_here {
        let text = std::fs::read_to_string(&files.public);
        let text = text.map_err(|error| failure::file("read", &files.public, &error))?;
        told.push("add     to sealift.yaml, so that whoever only reads knows whose log it is:".to_owned());
        told.push(format!("          store: {{url: \"{}\", key: \"{}\"}}", git.url, text.trim()));
    }
    Ok(told)
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

/// The directory of what belongs to this machine.
const STATE: &str = ".sealift";

/// The file of the public key that a new configuration names.
const PROMOTION_PUB: &str = "promotion.pub";

/// Makes the key that a new configuration attests with, unless there is one; the files that were made.
fn promotion_key(directory: &Path) -> Result<Option<[std::path::PathBuf; 2]>, Diagnostic> {
    let (private, public) = (directory.join(".sealift/promotion.key"), directory.join(PROMOTION_PUB));
    if public.exists() {
        return Ok(None);
    }
    ignore(&directory.join(STATE))?;
    match promotion_keys::generate(&private, &public) {
        Ok(_) => Ok(Some([private, public])),
        Err(why) => Err(Diagnostic::new("E0801", why)
            .state("nothing was changed")
            .next("put the public half beside it, or make a pair elsewhere: `sealift keys generate --out FILE`")),
    }
}

fn minimal(shell: &Shell, args: &Args, directory: &Path) -> Result<String, Diagnostic> {
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
    let store = args.store.as_deref().map(|store| store_line(shell, store, &app, directory)).transpose()?;
    let text = config::minimal(
        &app,
        staging,
        production,
        approver.as_ref().map(|(id, key)| (id, key.as_str())),
        Some(PROMOTION_PUB),
    );
    Ok(text + &store.unwrap_or_default())
}

/// What a new configuration says of its store. A branch is named with its public key, so its key is made before it.
fn store_line(shell: &Shell, text: &str, app: &AppName, directory: &Path) -> Result<String, Diagnostic> {
    let store = Store::parse(text).ok_or_else(|| {
        failure::usage(format!("`{text}` is no store")).next("write `sqlite:FILE` or `git+URL#BRANCH`")
    })?;
    let quoted = serde_json::Value::from(text);
    if let Store::Sqlite(_) = store {
        return Ok(format!("store: {quoted}\n"));
    }
    ignore(&directory.join(STATE))?;
    let key = stores::key_of_branch(shell, directory, &store, &origin(app))?;
    Ok(format!("store: {{url: {quoted}, key: {}}}\n", serde_json::Value::from(key.to_string())))
}

/// The name of an application's log, which its checkpoints bear.
fn origin(app: &AppName) -> String {
    format!("{app}.sealift")
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
    let directory = config.directory.join(config.store.state());
    if directory == config.directory { Ok(()) } else { ignore(&directory) }
}

/// Keeps a directory, which is made for its owner alone if it is not there, out of git.
fn ignore(directory: &Path) -> Result<(), Diagnostic> {
    private::directory(directory).map_err(|error| failure::file("create", directory, &error))?;
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
