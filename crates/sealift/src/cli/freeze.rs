//! `sealift freeze`

use std::path::PathBuf;

use jiff::Timestamp;
use sealift_domain::{
    approval::Act,
    freeze::Freeze,
    name::{EnvironmentName, PersonId},
    promotion::{Promotion, PromotionId},
    quantity::Period,
};
use sealift_engine::{decide, exceptions, places, ports::clock::Clock, record};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, identity,
    session::Session,
    shell::Shell,
    system::SystemClock,
};

/// Let nothing enter an environment for a while; rollbacks are exempt
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// The environment.
    #[arg(required = true)]
    environment: Option<EnvironmentName>,
    /// When it begins (RFC 3339); by default now.
    #[arg(long, value_name = "TIME", conflicts_with = "lift")]
    from: Option<Timestamp>,
    /// When it ends (RFC 3339).
    #[arg(long, value_name = "TIME", required_unless_present_any = ["lasting", "lift"], conflicts_with = "lift")]
    until: Option<Timestamp>,
    /// How long it lasts, for instance `2h`.
    #[arg(long = "for", value_name = "PERIOD", conflicts_with_all = ["until", "lift"], id = "lasting")]
    lasting: Option<Period>,
    /// End the freezes of this environment that were placed by this command.
    #[arg(long)]
    lift: bool,
    /// Why.
    #[arg(long, required = true)]
    reason: Option<String>,
}

/// What else can be done about freezes.
#[derive(clap::Subcommand)]
enum Other {
    /// Let one promotion through the freezes in force; each person signs on their own machine
    ///
    /// Only where the policy has `freeze_override`, and only as many of those people as it says.
    Override {
        /// The environment.
        environment: EnvironmentName,
        /// The promotion; without it, the one that is open.
        #[arg(long, value_name = "ID")]
        promotion: Option<PromotionId>,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Your SSH key, private or public (with an agent).
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Option<PathBuf>,
    },
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    let engine = |e| vec![failure::of_engine(e)];
    if let Some(Other::Override { environment, promotion, reason, identity }) = args.other {
        let wish = (environment, promotion, reason, identity);
        override_freeze(shell, global, &session, wish).await.map_err(|d| vec![d])?;
        return Ok(Exit::Ok);
    }
    let (Some(environment), Some(reason)) = (args.environment, args.reason) else {
        return Err(vec![failure::usage("name the environment and say why: `--reason \"…\"`")]);
    };
    if args.lift {
        record::lift_freeze(&session.book, environment.clone(), reason).await.map_err(engine)?;
        say(shell, global, &format!("{environment} is no longer frozen by hand"), json!({"lifted": environment}));
        return Ok(Exit::Ok);
    }
    let from = args.from.unwrap_or_else(|| SystemClock.now());
    let until = match (args.until, args.lasting) {
        (Some(until), _) => until,
        (None, Some(lasting)) => lasting.after(from),
        (None, None) => return Err(vec![failure::usage("say when the freeze ends: `--until TIME` or `--for PERIOD`")]),
    };
    if until <= from {
        return Err(vec![failure::usage(format!("the freeze would end at {until} and begin at {from}"))]);
    }
    let freeze = Freeze { from, until, reason };
    record::freeze(&session.book, environment.clone(), freeze.clone()).await.map_err(engine)?;
    let words = format!("{environment} is frozen from {} until {}", freeze.from, freeze.until);
    say(shell, global, &words, json!({"environment": environment, "freeze": freeze}));
    Ok(Exit::Ok)
}

/// Signs that the freezes in force are not to stop a promotion: each of them that this person has not signed away yet.
async fn override_freeze(
    shell: &Shell,
    global: &Global,
    session: &Session,
    (environment, promotion, reason, key): (EnvironmentName, Option<PromotionId>, String, Option<PathBuf>),
) -> Result<(), Diagnostic> {
    let engine = failure::of_engine;
    let policy = session.same_policy().await?;
    let ledger = session.ledger().await?;
    let open = ledger.open_promotion(&environment).map(|open| open.id);
    let id = promotion.or(open).ok_or_else(|| {
        Diagnostic::new("E0403", format!("no promotion into {environment} is open"))
            .state("nothing was changed")
            .next(format!("ask for it first: `sealift promote --to {environment}`"))
    })?;
    let waiting = decide::promotion(&ledger, id).map_err(engine)?;
    let mut active = exceptions::active_freezes(&ledger, waiting, SystemClock.now()).map_err(engine)?;
    let identity = identity::require(shell, &policy, key.as_deref())?;
    let signed_away = |freeze: &Freeze| {
        let mut given = waiting.overrides.iter();
        given.any(|given| given.by == identity.person && given.freeze == freeze.digest())
    };
    // Where nothing is left to sign, the engine says why.
    if !active.iter().all(signed_away) {
        active.retain(|freeze| !signed_away(freeze));
    }
    let mut missing = 0;
    for freeze in &active {
        show(
            shell,
            global,
            (&environment, freeze),
            (waiting, &places::called(&ledger, &waiting.release), &identity.person),
        );
        let (of, act) = (freeze.digest(), environment.clone());
        let signed =
            identity.act(&ledger, Act::OverrideFreeze { promotion: id, environment: act, freeze: of }, &reason)?;
        let signatures = session.world.signatures.as_ref();
        let done = exceptions::override_freeze(&session.book, signatures, &signed).await.map_err(engine)?;
        missing = done.missing.max(missing);
    }
    let words = match missing {
        0 => format!("promotion {id} is not stopped by this freeze\nnext: sealift promote --to {environment}"),
        more => format!("signed; {more} more must sign: `sealift freeze override {environment} --reason \"…\"`"),
    };
    say(
        shell,
        global,
        &words,
        json!({"promotion": id, "freeze": active.first(), "freezes": active, "missing": missing}),
    );
    Ok(())
}

/// Shows what is signed.
fn show(
    shell: &Shell,
    global: &Global,
    (environment, freeze): (&EnvironmentName, &Freeze),
    (waiting, release, person): (&Promotion, &str, &PersonId),
) {
    if !global.json() {
        let words = format!(
            "{environment} is frozen until {}: {}\n{person} signs that promotion {} ({release}) is not stopped by it\n",
            freeze.until, freeze.reason, waiting.id
        );
        let style = shell.err(false, global.color()).style();
        shell.tell(&words.lines().map(|line| format!("{}\n", style.clean(line))).collect::<String>());
    }
}

fn say(shell: &Shell, global: &Global, words: &str, mut value: serde_json::Value) {
    if global.json() {
        value["schema_version"] = json!(1);
        shell.print(&format!("{value}\n"));
    } else {
        shell.print(&format!("{words}\n"));
    }
}
