//! `sealift record`

mod evidence;
mod rebuild;

use sealift_domain::{
    event::EvidenceKind,
    name::{EnvironmentName, PersonId},
    record::Build,
    reference::Reference,
    schema::Schema,
    undo::Observed,
};
use sealift_engine::{ports::registry::RegistryErrorKind, record};
use serde_json::json;

use super::{
    Ends, Global, look,
    offline::{self, RecordArgs},
};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    session::Session,
    shell::Shell,
};

/// Put facts on record that others established
#[derive(clap::Subcommand)]
pub enum Args {
    /// That an image was built: the origin of every release
    Build(BuildArgs),
    /// What a scanner found in an image: a report of Trivy or Grype, or a signed statement with one
    Scan(evidence::Args),
    /// What is in an image: SPDX or CycloneDX
    Sbom(evidence::Args),
    /// How tests of an image went: an in-toto test result
    Test(evidence::Args),
    /// How an image was built: SLSA provenance
    Provenance(evidence::Args),
    /// Which vulnerabilities of an image do not matter, and why: OpenVEX
    Vex(evidence::Args),
    /// What runs in an environment without Sealift having brought it there
    Deployment(DeploymentArgs),
    /// That the database of an environment is at another schema, because a person restored or migrated it
    Database(DatabaseArgs),
    /// What was rolled back without the log: from the hosts, or from a file
    ///
    /// Each record is verified as any signed statement. Taken in twice, it is there once.
    Offline(RecordArgs),
    /// What a rebuild takes of the host, to compare deployments with
    ///
    /// Runs the command on this machine, not through a shell, and records what it took if it succeeds. Processor time and
    /// memory are the whole machine's, so nothing else should run meanwhile. The words of the command go into the log: no
    /// secrets in them.
    Rebuild(rebuild::Args),
}

/// See [`Args::Build`].
#[derive(clap::Args)]
pub struct BuildArgs {
    /// The image; a tag is resolved once, here, and never again.
    image: Reference,
    /// The source commit; by default the image's label `org.opencontainers.image.revision`.
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// The run of the pipeline that built it.
    #[arg(long, value_name = "ID", env = "GITHUB_RUN_ID")]
    run_id: Option<String>,
    /// The version that people call it by; by default the label `org.opencontainers.image.version`.
    #[arg(long = "as", value_name = "VERSION")]
    called: Option<String>,
    /// Who wrote the commit: a person of the policy.
    #[arg(long, value_name = "PERSON")]
    author: Option<PersonId>,
    /// Who put the commit into the repository: a person of the policy.
    #[arg(long, value_name = "PERSON")]
    committer: Option<PersonId>,
    /// Who started the run that built it: a person of the policy.
    #[arg(long, value_name = "PERSON")]
    actor: Option<PersonId>,
}

/// See [`Args::Deployment`].
#[derive(clap::Args)]
pub struct DeploymentArgs {
    /// Where.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// The digest that runs; without it, the driver reads it.
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<String>,
    /// Take it as the first release to go back to.
    #[arg(long)]
    baseline: bool,
    /// What the tool that deployed it reported; kept beside the log as it is.
    #[arg(long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
}

/// See [`Args::Database`].
#[derive(clap::Args)]
pub struct DatabaseArgs {
    /// Where.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// The schema that it is at now, as the label `dev.sealift.schema` counts.
    #[arg(long, value_name = "N")]
    schema: u64,
    /// The oldest schema whose releases work on it; without it, that schema only.
    #[arg(long, value_name = "M")]
    compatible_from: Option<u64>,
    /// Why, for whoever reads the log.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    // What was rolled back has happened, whatever the file says by now.
    let policy = match &args {
        Args::Offline(_) => session.accepted_policy(shell).await,
        _ => session.same_policy().await,
    };
    policy.map_err(|d| vec![d])?;
    match args {
        Args::Build(args) => build(args, global, shell, &session).await.map_err(|d| vec![d]),
        Args::Scan(args) => hand_in(args, EvidenceKind::Scan, global, shell, &session).await,
        Args::Sbom(args) => hand_in(args, EvidenceKind::Sbom, global, shell, &session).await,
        Args::Test(args) => hand_in(args, EvidenceKind::Test, global, shell, &session).await,
        Args::Provenance(args) => hand_in(args, EvidenceKind::Provenance, global, shell, &session).await,
        Args::Vex(args) => hand_in(args, EvidenceKind::Vex, global, shell, &session).await,
        Args::Deployment(args) => deployment(args, global, shell, &session).await.map_err(|d| vec![d]),
        Args::Database(args) => database(args, global, shell, &session).await.map_err(|d| vec![d]),
        Args::Offline(args) => offline::record(args, global, shell, &session).await.map_err(|d| vec![d]),
        Args::Rebuild(args) => rebuild::run(args, global, shell, &session).await.map_err(|d| vec![d]),
    }
}

async fn hand_in(args: evidence::Args, kind: EvidenceKind, global: &Global, shell: &Shell, session: &Session) -> Ends {
    evidence::run(args, kind, global, shell, session).await.map_err(|d| vec![d])
}

async fn build(args: BuildArgs, global: &Global, shell: &Shell, session: &Session) -> Result<Exit, Diagnostic> {
    let registry = session.world.registry.as_ref();
    let pinned = look::pin(registry, &args.image).await?.ok_or_else(|| {
        Diagnostic::new("E0301", format!("{} is not in its registry", args.image))
            .state("nothing was changed")
            .next("push it first, then record it")
    })?;
    let image = registry.inspect(&pinned).await.map_err(|error| failure::of_registry(&error))?;
    let label = |key: &str| {
        let labels = image.platforms.first().map(|platform| &platform.labels);
        labels.and_then(|labels| labels.get(key)).filter(|text| !text.is_empty()).cloned()
    };
    if let (Some(given), Some(labelled)) = (&args.commit, label("org.opencontainers.image.revision"))
        && *given != labelled
    {
        return Err(failure::usage(format!("the image says that it was built from {labelled}, not from {given}")));
    }
    let people = &session.config.policy.people;
    let named = [&args.author, &args.committer, &args.actor];
    if let Some(stranger) = named.into_iter().flatten().find(|person| !people.contains_key(person)) {
        return Err(failure::usage(format!("`{stranger}` is not under `people` in sealift.yaml")));
    }
    let build = Build {
        repository: pinned.repository.clone(),
        digest: pinned.digest,
        commit: args.commit.or_else(|| label("org.opencontainers.image.revision")),
        run_id: args.run_id.or_else(|| label("dev.sealift.run-id")),
        author: args.author,
        committer: args.committer,
        actor: args.actor,
        version: args.called.or_else(|| label("org.opencontainers.image.version")),
    };
    if let Some(version) = build.version.as_ref().filter(|text| text.len() > 128 || text.chars().any(char::is_control))
    {
        return Err(failure::usage(format!(
            "a version has at most 128 printable characters, this one has {}",
            version.len()
        )));
    }
    let ledger = session.ledger().await?;
    if let Some(known) = ledger.builds.get(&build.digest).filter(|known| known.fact != build) {
        let on_record = known.fact.version.as_deref().or(known.fact.commit.as_deref()).unwrap_or("without a version");
        return Err(failure::usage(format!(
            "{} is on record already, otherwise: {on_record}, at {}",
            build.digest, known.at
        ))
        .next("what was built does not change; a new build has a new digest"));
    }
    record::build(&session.book, &session.world, build).await.map_err(|error| match error {
        sealift_engine::error::EngineError::Registry(error) if error.kind == RegistryErrorKind::NotFound => {
            failure::of_registry(&error).next("push it first, then record it")
        }
        other => failure::of_engine(other),
    })?;
    if global.json() {
        shell.print(&format!("{}\n", json!({"schema_version": 1, "recorded": pinned})));
    } else {
        shell.print(&format!("recorded {pinned}\n"));
    }
    Ok(Exit::Ok)
}

async fn deployment(
    args: DeploymentArgs,
    global: &Global,
    shell: &Shell,
    session: &Session,
) -> Result<Exit, Diagnostic> {
    let environment = &args.environment;
    let named = session.named_release(environment, &args.digest)?;
    let (release, definition) = match named {
        Some(release) => {
            let runs = record::really_runs(&session.world, environment, &release).await;
            runs.map_err(failure::of_engine)?;
            (release, None)
        }
        None => match record::observe(&session.world, environment).await.map_err(failure::of_engine)? {
            Observed::Running { release, .. } => {
                let driver = session.world.driver(environment).map_err(failure::of_engine)?;
                let definition = driver.definition().map_err(|error| failure::of_driver(&error))?;
                (release, Some(definition))
            }
            Observed::Nothing => {
                return Err(
                    failure::usage(format!("nothing runs in {environment}")).next("name it: `--digest sha256:…`")
                );
            }
            Observed::Unknown { what } => {
                return Err(failure::usage(format!("what runs in {environment} has no digest: {what}"))
                    .next("name it: `--digest sha256:…`"));
            }
        },
    };
    let report = args.file.as_deref().map(|file| evidence::read(shell, file)).transpose()?;
    let found = record::Found { release: release.clone(), definition, baseline: args.baseline, report };
    record::deployment(&session.book, &session.world, environment, found).await.map_err(failure::of_engine)?;
    if global.json() {
        let value =
            json!({"schema_version": 1, "environment": environment, "release": release, "baseline": args.baseline});
        shell.print(&format!("{value}\n"));
    } else {
        let word = if args.baseline { "baseline" } else { "deployment" };
        shell.print(&format!("recorded {release} as {word} in {environment}\n"));
        if !args.baseline {
            shell.print(&format!("next: sealift verify --in {environment}\n"));
        }
    }
    Ok(Exit::Ok)
}

async fn database(args: DatabaseArgs, global: &Global, shell: &Shell, session: &Session) -> Result<Exit, Diagnostic> {
    let environment = &args.environment;
    let schema = Schema::new(args.schema, args.compatible_from.unwrap_or(args.schema))
        .map_err(|error| failure::usage(error.to_string()))?;
    record::schema(&session.book, environment, schema, args.reason).await.map_err(failure::of_engine)?;
    if global.json() {
        shell.print(&format!("{}\n", json!({"schema_version": 1, "environment": environment, "database": schema})));
    } else {
        shell.print(&format!("recorded the database of {environment} at {schema}\n"));
    }
    Ok(Exit::Ok)
}
