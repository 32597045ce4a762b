//! `sealift keys`

mod writer;

use std::path::{Path, PathBuf};

use sealift_domain::name::EnvironmentName;
use sealift_evidence::public_key::PublicKey;
use serde_json::json;

use super::{Ends, Global};
use crate::{
    config::{self, Config},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, promotion_keys, session,
    shell::Shell,
    writer_key,
};

/// The keys that promotions are attested with, and that facts about an environment are written with
#[derive(clap::Subcommand)]
pub enum Args {
    /// Make a promotion key: the private half for you alone, and the public half beside the configuration
    Generate {
        /// The file of the private half; by default `promotion.key` beside the log.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show which keys are at hand, and which environments take them
    Show,
    /// Make a further promotion key, and say how to replace the one that is in use
    ///
    /// For as long as images are deployed that the old key attested, the policy takes both.
    Rotate {
        /// The file of the new private half.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make a writer key for an environment, and say where its halves belong
    ///
    /// Facts about an environment with such a key are accepted only from who has it.
    Writer {
        /// The environment.
        environment: EnvironmentName,
        /// The file of the private half; by default `writer-ENVIRONMENT.key` beside the log.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    match args {
        Args::Generate { out } => generate(out, global, shell),
        Args::Show => show(global, shell),
        Args::Rotate { out } => rotate(&out, global, shell),
        Args::Writer { environment, out } => writer::make(&environment, out, global, shell),
    }
}

/// Makes a key and says where it is. The private half never appears anywhere but in its file.
fn make(private: &Path, public: &Path) -> Result<PublicKey, Diagnostic> {
    let failed = |why: String| Diagnostic::new("E0801", why).state("no key that was there was changed");
    let pem = promotion_keys::generate(private, public)
        .map_err(|why| failed(why).next("name another file: `sealift keys generate --out FILE`"))?;
    PublicKey::from_pem(&pem).map_err(|why| failed(why.to_string()))
}

fn generate(out: Option<PathBuf>, global: &Global, shell: &Shell) -> Ends {
    let (private, public) = match out {
        Some(out) => {
            let private = shell.resolve(&out);
            let public = private.with_extension("pub");
            (private, public)
        }
        None => {
            // The file may name the key that is made here, so it need not be in order yet. One that is not there is an error.
            let path = session::configuration_path(shell, global);
            let Ok(text) = std::fs::read_to_string(&path) else { return made_nowhere(shell, global) };
            let directory = path.parent().unwrap_or(Path::new(""));
            (promotion_keys::beside(&directory.join(config::store_of(&text).state())), directory.join("promotion.pub"))
        }
    };
    let key = make(&private, &public).map_err(|d| vec![d])?;
    if global.json() {
        let value = json!({
            "schema_version": 1, "private_key": private, "public_key": public, "fingerprint": key.fingerprint(),
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let lines = [
        format!("private {} (only you can read it; it signs, so it belongs in no repository)", private.display()),
        format!("public  {} ({})", public.display(), key.fingerprint().short()),
        format!("next: under the environment in sealift.yaml, `attest: {{key: {}}}`", name_of(&public)),
        "next: `sealift policy accept`, with the signatures that the present policy wants".to_owned(),
    ];
    shell.print(&format!("{}\n", lines.join("\n")));
    Ok(Exit::Ok)
}

/// There is no configuration to make a key beside.
fn made_nowhere(shell: &Shell, global: &Global) -> Ends {
    session::configuration(shell, global).map(|_| Exit::Usage)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The environments that take a key.
fn takers<'a>(config: &'a Config, key: &PublicKey) -> Vec<&'a str> {
    let takes = |rule: &sealift_domain::policy::AttestRule| rule.keys.iter().any(|one| one.pem() == key.to_pem());
    let environments = config.policy.environments.iter();
    environments.filter(|(_, rules)| rules.attest.as_ref().is_some_and(takes)).map(|(name, _)| name.as_str()).collect()
}

fn show(global: &Global, shell: &Shell) -> Ends {
    let config = session::configuration(shell, global)?;
    let keys = promotion_keys::PromotionKeys::of(shell, &config);
    let writer = writer_key::of(shell, &config).map_err(|d| vec![d])?;
    if global.json() {
        let at_hand = keys.public();
        let at_hand = at_hand.iter().map(|key| {
            json!({"fingerprint": key.fingerprint(), "public_key": key.to_pem(), "environments": takers(&config, key)})
        });
        let value = json!({
            "schema_version": 1, "at_hand": at_hand.collect::<Vec<_>>(), "not_at_hand": keys.why_not(),
            "writer": writer::shown(&writer, &config),
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for key in keys.public() {
        let takers = takers(&config, key);
        let words = if takers.is_empty() { "no environment takes it".to_owned() } else { takers.join(", ") };
        text.push_str(&format!("at hand {} for {words}\n{}", key.fingerprint().short(), key.to_pem()));
    }
    for why in keys.why_not() {
        text.push_str(&format!("mind    {why}\n"));
    }
    text.push_str(&writer::in_words(&writer, &config));
    shell.print(&text);
    Ok(Exit::Ok)
}

fn rotate(out: &Path, global: &Global, shell: &Shell) -> Ends {
    let config = session::configuration(shell, global)?;
    let attesting: Vec<&str> = config
        .policy
        .environments
        .iter()
        .filter(|(_, rules)| rules.attest.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    if attesting.is_empty() {
        let none = failure::usage("no environment attests, so there is no key to replace");
        return Err(vec![none.next("begin: under an environment in sealift.yaml, `attest: {key: FILE}`")]);
    }
    let private = shell.resolve(out);
    let public = private.with_extension("pub");
    let key = make(&private, &public).map_err(|d| vec![d])?;
    if global.json() {
        let value = json!({
            "schema_version": 1, "private_key": private, "public_key": public,
            "fingerprint": key.fingerprint(), "environments": attesting,
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let new = public.display();
    let lines = [
        format!("private {} (only you can read it)", private.display()),
        format!("public  {new} ({})", key.fingerprint().short()),
        format!(
            "1. under {} in sealift.yaml, both keys: `attest: {{keys: [{new}, OLD.pub]}}`",
            attesting.join(" and ")
        ),
        "2. `sealift policy accept`: the change is signed and stands in the log".to_owned(),
        format!("3. give {new} to the hosts and clusters that check, beside the old one"),
        format!(
            "4. sign with it: put the private half into ${}, or name it: `attest: {{private_key: FILE}}`",
            promotion_keys::VARIABLE
        ),
        "5. once nothing is deployed that only the old key attested: the new key alone, and `sealift policy accept`"
            .to_owned(),
    ];
    shell.print(&format!("{}\n", lines.join("\n")));
    Ok(Exit::Ok)
}
