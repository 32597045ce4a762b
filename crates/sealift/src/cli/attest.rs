//! `sealift attest`

use std::path::{Path, PathBuf};

use sealift_domain::{
    attestation::{Expected, Level},
    digest::Digest,
    name::EnvironmentName,
    reference::{Pinned, Reference, Tag},
    signature::PublicKey,
};
use sealift_engine::{
    attest::{self, Found, NotAttested},
    ports::registry::Registry,
};
use sealift_evidence::public_key::{self, MAX_TEXT};
use serde_json::json;

use super::{Ends, Global, registry_flags::RegistryFlags};
use crate::{
    config::Registries,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    promotion_keys::PromotionKeys,
    report::style::Tone,
    session::Session,
    shell::{Shell, style},
    tls_files, wiring,
};

/// Check what is attested of an image, on a host or in a pipeline; needs nothing but the registry and the public key
#[derive(clap::Subcommand)]
pub enum Args {
    /// Whether an image was admitted to an environment, or verified there
    Verify {
        /// What is asked.
        #[command(flatten)]
        what: What,
        /// Ask the log that `--config` names, too: whether it was withdrawn or is on hold since.
        #[arg(long)]
        log: bool,
    },
    /// Write the signed envelope, for programs that want it in a file
    Export {
        /// What is asked.
        #[command(flatten)]
        what: What,
        /// Where to; standard output unless said otherwise.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What is asked.
#[derive(clap::Args)]
pub struct What {
    /// The image, by digest or by tag; what is started afterwards must be the digest that is printed.
    image: Reference,
    /// The environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// A public key that counts, PEM; more than one while a key is being replaced.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// What is to be attested.
    #[arg(long, value_enum, default_value_t = Wanted::Admitted)]
    level: Wanted,
    #[command(flatten)]
    registries: RegistryFlags,
}

/// What is to be attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// It may be deployed.
    Admitted,
    /// It was deployed, and every check held.
    Verified,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    match args {
        Args::Verify { what, log } => {
            let found = find(&what, shell).await.map_err(|d| vec![d])?;
            if log {
                let session = Session::open(shell, global).await?;
                let ledger = session.ledger().await.map_err(|d| vec![d])?;
                attest::counts(&ledger, &found).map_err(|why| vec![refused(&why, &what)])?;
            }
            shell.print(&told(&found, log, global, shell));
            Ok(Exit::Ok)
        }
        Args::Export { what, out } => {
            let found = find(&what, shell).await.map_err(|d| vec![d])?;
            match out {
                Some(out) => {
                    let path = shell.resolve(&out);
                    let written = std::fs::write(&path, &found.envelope);
                    written.map_err(|error| vec![failure::file("write", &path, &error)])?;
                }
                None => shell.print(&format!("{}\n", String::from_utf8_lossy(&found.envelope))),
            }
            Ok(Exit::Ok)
        }
    }
}

/// The attestation that is asked for.
async fn find(what: &What, shell: &Shell) -> Result<Found, Diagnostic> {
    let keys = what.key.iter().map(|file| key(shell, file)).collect::<Result<Vec<_>, _>>()?;
    let registry = wiring::registry(shell, what.registries.over(Registries::default(), shell)?)?;
    let image = pinned(registry.as_ref(), &what.image).await?;
    let level = match what.level {
        Wanted::Admitted => Level::Admitted,
        Wanted::Verified => Level::Verified,
    };
    let expected = Expected { image: &image, environment: &what.environment, level, policy: None, promotion: None };
    let found = attest::attested(registry.as_ref(), &PromotionKeys::none(), &keys, &expected).await;
    found.map_err(|why| match why {
        NotAttested::Registry(error) => failure::of_registry(&error),
        other => refused(&other, what),
    })
}

fn key(shell: &Shell, file: &Path) -> Result<PublicKey, Diagnostic> {
    let path = shell.resolve(file);
    let unusable = |why: String| {
        failure::usage(format!("{} is no public key: {why}", file.display()))
            .next("name the public half, PEM: `--key promotion.pub`")
    };
    let bytes = tls_files::read(&path, MAX_TEXT).map_err(unusable)?;
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not text".to_owned()))?;
    let key = public_key::PublicKey::from_pem(&text).map_err(|why| unusable(why.to_string()))?;
    key.canonical().map_err(|why| unusable(why.to_string()))
}

/// The image by its digest: a tag is read once.
async fn pinned(registry: &dyn Registry, reference: &Reference) -> Result<Pinned, Diagnostic> {
    if let Some(pinned) = reference.pinned() {
        return Ok(pinned);
    }
    let latest = || "latest".parse::<Tag>().map_err(|why| failure::usage(why.to_string()));
    let tag = reference.tag.clone().map_or_else(latest, Ok)?;
    let digest = registry.resolve(&reference.repository, &tag).await.map_err(|error| failure::of_registry(&error))?;
    let gone = || Diagnostic::new("E0301", format!("{reference} is not in the registry")).state("nothing was changed");
    digest.map(|digest| reference.repository.at(digest)).ok_or_else(gone)
}

fn refused(why: &NotAttested, what: &What) -> Diagnostic {
    let diagnostic = Diagnostic::new("E0802", why.to_string());
    match why {
        NotAttested::Withdrawn { .. } => diagnostic
            .state("nothing was changed; do not start this image there")
            .next("`sealift hold list` shows what is on hold, `sealift status` what is live"),
        _ => diagnostic
            .state("nothing was changed; do not start this image there")
            .next(format!("promote it: `sealift promote --to {}`", what.environment))
            .next("if it was promoted: is this the key that the policy names, and the repository of that environment?"),
    }
}

fn told(found: &Found, log: bool, global: &Global, shell: &Shell) -> String {
    let attestation = &found.attestation;
    let level = attestation.level.name(&attestation.environment);
    if global.json() {
        let statement: serde_json::Value = serde_json::from_slice(&found.statement).unwrap_or_default();
        let value = json!({
            "schema_version": 1,
            "attested": true,
            "image": attestation.image.to_string(),
            "environment": attestation.environment,
            "level": level,
            "promotion": attestation.details.promotion,
            "policy": attestation.policy,
            "verified_at": attestation.verified_at,
            "manifest": found.manifest,
            "statement_digest": Digest::of(&found.statement),
            "statement": statement,
            "log_asked": log,
        });
        return format!("{value}\n");
    }
    let style = style(shell, global.color());
    let head = format!("{level}: {}", attestation.image);
    let mut text = format!("{}\n", style.paint(Tone::Ok, &head));
    let details = &attestation.details;
    text.push_str(&format!("  promotion {} of {}, {}\n", details.promotion, details.app, attestation.verified_at));
    text.push_str(&format!("  {} gates passed, {} approvals\n", details.gates.len(), details.approvals.len()));
    text.push_str(&format!("  entry {} of the log, policy {}\n", details.log.index, attestation.policy.short()));
    text.push_str(match log {
        true => "  the log stands by it\n",
        false => "  the log was not asked: whether it was withdrawn since is told by `--log`\n",
    });
    text
}
