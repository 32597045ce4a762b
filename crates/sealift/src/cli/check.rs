//! `sealift check`

use sealift_domain::{
    gate::{Facts, Judged, Verdict},
    name::EnvironmentName,
    promotion::{Kind, Next, Promotion, PromotionId, Request, Requester},
    schema::Schema,
};
use sealift_engine::{gather, judge, places, ports::clock::Clock, proven::Proven, request};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{
        style::{Mark, Style, Tone},
        table::{Cell, Table},
    },
    session::Session,
    shell::{Shell, style},
    system::SystemClock,
};

/// Judge the gates of a promotion without asking for it; nothing is written
#[derive(clap::Args)]
pub struct Args {
    /// The target environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: EnvironmentName,
    /// The environment it comes from, to be compared with the configuration.
    #[arg(long, value_name = "ENVIRONMENT")]
    from: Option<EnvironmentName>,
    /// The digest, to be compared with the verified one.
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<String>,
}

/// A promotion as it would be judged now.
pub(super) struct Trial {
    /// As if it had been requested.
    pub(super) promotion: Promotion,
    /// The gates.
    pub(super) gates: Vec<Judged>,
    /// What they judged.
    pub(super) facts: Facts,
    /// What would follow.
    pub(super) next: Next,
    /// What the labels of its images say of the database.
    pub(super) schema: Option<Schema>,
}

/// Judges a promotion that nobody asked for.
pub(super) async fn trial(
    session: &Session,
    to: &EnvironmentName,
    from: Option<EnvironmentName>,
    digests: &[String],
) -> Result<Trial, Diagnostic> {
    let ledger = session.ledger().await?;
    let engine = failure::of_engine;
    let named = session.named_release(to, digests)?;
    let by_hand = named.is_some();
    let release = request::choose(&ledger, to, named).map_err(engine)?;
    let environment = places::environment(&ledger, to).map_err(engine)?;
    let request = Request {
        kind: Kind::Promote,
        from: environment.from.clone(),
        asked_from: from,
        to: to.clone(),
        release,
        by_hand,
        requester: Requester::Unknown,
        reason: None,
        run_id: None,
        policy: places::policy(&ledger).map_err(engine)?.digest(),
        expedited: false,
    };
    let now = SystemClock.now();
    let promotion = Promotion::request(PromotionId(ledger.size), request, now);
    let gathered = gather::gather(&session.book, &session.world, &ledger, &promotion).await.map_err(engine)?;
    let facts = judge::facts(&ledger, &promotion, gathered, now).map_err(engine)?;
    let definition = judge::definition(&session.world, &promotion).map_err(engine)?;
    let judgement =
        judge::judge(&ledger, &promotion, &facts, definition, (false, &Proven::default())).map_err(engine)?;
    Ok(Trial { promotion, gates: judgement.gates, facts, next: judgement.next, schema: judgement.schema })
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    session.same_policy().await.map_err(one)?;
    let trial = trial(&session, &args.to, args.from, &args.digest).await.map_err(one)?;
    let passed = trial.gates.iter().all(Judged::passed);
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "to": args.to,
            "release": trial.promotion.release,
            "passed": passed,
            "gates": trial.gates,
            "next": trial.next,
        });
        shell.print(&format!("{value}\n"));
        return Ok(if passed { Exit::Ok } else { Exit::GateRefused });
    }
    shell.print(&gates_table(&trial.gates, &style(shell, global.color())));
    if passed {
        return Ok(Exit::Ok);
    }
    Err(trial
        .gates
        .iter()
        .filter(|judged| !judged.passed())
        .map(|judged| refused(&session, &args.to, judged))
        .collect())
}

/// The gates, one a line.
pub(super) fn gates_table(gates: &[Judged], style: &Style) -> String {
    let mut table = Table::new([]);
    for judged in gates {
        let (mark, tone, word) = match judged.finding.verdict {
            _ if judged.waived => (Mark::Warn, Tone::Warn, "waived"),
            Verdict::Pass { .. } => (Mark::Ok, Tone::Ok, "pass"),
            Verdict::Fail { .. } => (Mark::Bad, Tone::Bad, "fail"),
            Verdict::Error { .. } => (Mark::Bad, Tone::Bad, "error"),
        };
        table.row([Cell::word(mark, tone, word), judged.gate.as_str().into(), judged.words().into()]);
    }
    table.render(style)
}

/// A gate's refusal, at the line that requires it.
pub(super) fn refused(session: &Session, to: &EnvironmentName, judged: &Judged) -> Diagnostic {
    let key = format!("environments.{to}.gates.{}", judged.gate);
    let configured = session
        .config
        .policy
        .environments
        .get(to)
        .is_some_and(|environment| environment.gates.not_required().iter().all(|gate| gate.name != judged.gate));
    let mut diagnostic = Diagnostic::new(judged.code.as_str(), format!("gate `{}` refuses", judged.gate))
        .found(judged.words().to_owned())
        .state(format!("nothing was changed in {to}"));
    if configured && let Some(at) = session.config.spans.locate(&key) {
        diagnostic = diagnostic.at(at).key(key);
    }
    if let Some(remedy) = judged.remedy() {
        diagnostic = diagnostic.next(remedy.to_owned());
    }
    diagnostic.next(format!("`sealift explain {}` says more", judged.code))
}
