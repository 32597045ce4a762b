//! `sealift plan`

use sealift_domain::{
    gate::Judged,
    name::EnvironmentName,
    promotion::{Next, Step, Wait},
    quantity::{ByteSize, Period},
};
use sealift_engine::{
    database, places,
    ports::copy::{CopyPlan, CopyRequest},
    usual::usual,
};
use serde_json::json;

use super::{Ends, Global, check};
use crate::{
    config::Config,
    diagnostic::catalogue::Exit,
    failure,
    report::{
        human,
        style::{Style, Tone},
    },
    session::Session,
    shell::{Shell, style},
    writer_key,
};

/// Show what a promotion would change, cost and need; nothing is written
#[derive(clap::Args)]
pub struct Args {
    /// The target environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: EnvironmentName,
    /// The digest, to be compared with the verified one.
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<String>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    session.same_policy().await.map_err(one)?;
    let trial = check::trial(&session, &args.to, None, &args.digest).await.map_err(one)?;
    let ledger = session.ledger().await.map_err(one)?;
    let engine = |e| one(failure::of_engine(e));
    let sources = places::sources(&ledger, &trial.promotion).map_err(engine)?;
    let targets = places::targets(&ledger, &trial.promotion.release, &args.to).map_err(engine)?;
    let mut price = CopyPlan::default();
    for (name, source) in &sources {
        let Some(target) = targets.get(name) else { continue };
        let plan = session.world.registry.plan_copy(&CopyRequest::pinned(source, &target.repository)).await;
        price += plan.map_err(|e| one(failure::of_registry(&e)))?;
    }
    let live = ledger.environments.get(&args.to).and_then(|record| record.live.as_ref());
    let before = live.map(|live| places::called(&ledger, &live.release));
    let after = places::called(&ledger, &trial.promotion.release);
    let outlook = database::outlook(&ledger, &args.to, trial.schema);
    let usually = usual(&ledger, &args.to, Step::Copy, None);
    let rule = places::environment(&ledger, &args.to).map_err(engine)?.attest.as_ref();
    let attests = rule.map(|rule| session.world.attestor.key_among(&rule.keys).map(drop));
    let passed = trial.gates.iter().all(Judged::passed);
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "to": args.to,
            "live": live.map(|live| live.release.clone()),
            "release": trial.promotion.release,
            "images": targets,
            "copy": {
                "bytes": price.bytes, "missing": price.blobs_missing, "mountable": price.blobs_mountable,
                "present": price.blobs_present, "manifests": price.manifests, "referrers": price.referrers,
                "requests": price.requests, "usual_seconds": usually.map(|time| time.as_duration().as_secs_f64()),
            },
            "gates": trial.gates,
            "next": trial.next,
            "attest": attests.as_ref().map(|key| json!({"key_at_hand": key.is_ok()})),
            "database": outlook.map(|outlook| json!({
                "before": outlook.before, "after": outlook.after, "automatic_way_back": outlook.is_open(),
            })),
        });
        shell.print(&format!("{value}\n"));
    } else {
        let style = style(shell, global.color());
        let mut text = change(&before, &after, &args.to, &style);
        for (name, image) in &targets {
            text.push_str(&format!("  {}\n", style.clean(&format!("{name}: {image}"))));
        }
        text.push_str(&check::gates_table(&trial.gates, &style));
        text.push_str(&format!("  copy     {}\n", price_in_words(&price, usually)));
        if let Some(outlook) = outlook {
            let tone = if outlook.is_open() { Tone::Dim } else { Tone::Warn };
            text.push_str(&format!("  schema   {}\n", style.paint(tone, &outlook.to_string())));
        }
        match &attests {
            Some(Ok(())) => text.push_str("  attest   with the promotion key, which is at hand\n"),
            Some(Err(why)) => {
                let words = format!("the promotion key is not at hand here [E0801]: {why}");
                text.push_str(&format!("  attest   {}\n", style.paint(Tone::Warn, &style.clean(&words))));
            }
            None => {}
        }
        if let Some(words) = writer(shell, &session.config, &args.to) {
            text.push_str(&format!("  writer   {}\n", style.paint(Tone::Warn, &style.clean(&words))));
        }
        text.push_str(&format!("  then     {}\n", then(&trial.next)));
        shell.print(&text);
    }
    Ok(if passed { Exit::Ok } else { Exit::GateRefused })
}

/// What stands against writing facts about the environment here, if something does.
fn writer(shell: &Shell, config: &Config, to: &EnvironmentName) -> Option<String> {
    let wanted = config.policy.environments.get(to).is_some_and(|rules| !rules.writer.is_empty());
    let ours = writer_key::of(shell, config).ok()?;
    if !wanted || writer_key::environment(&ours, &config.policy) == Some(to) {
        return None;
    }
    Some(format!("the writer key of {to} is not at hand here [E0211]; asking and approving go without"))
}

fn change(before: &Option<String>, after: &str, to: &EnvironmentName, style: &Style) -> String {
    let line = match before {
        Some(before) if before == after => format!("= {to} already runs {after}"),
        Some(before) => format!("~ {to}: {before} → {after}"),
        None => format!("+ {to}: {after}, where nothing runs yet"),
    };
    format!("{}\n", style.paint(Tone::Strong, &style.clean(&line)))
}

fn price_in_words(price: &CopyPlan, usually: Option<Period>) -> String {
    let blobs = price.blobs_missing + price.blobs_mountable + price.blobs_present;
    let mut words = match price.blobs_missing {
        0 => format!(
            "nothing to move: {} of {blobs} blobs present, {} to mount",
            price.blobs_present, price.blobs_mountable
        ),
        missing => format!("{missing} of {blobs} blobs, {} to move", ByteSize::from_bytes(price.bytes).human()),
    };
    if price.referrers > 0 {
        words.push_str(&format!("; {} along", human::count(price.referrers, "referrer")));
    }
    words.push_str(&format!("; about {}", human::count(price.requests, "request")));
    if let Some(usually) = usually {
        words.push_str(&format!("; usually {}", human::duration(usually)));
    }
    words
}

fn then(next: &Next) -> String {
    match next {
        Next::Admit { .. } => "it goes ahead without an approval".to_owned(),
        Next::Wait(Wait::Approval { missing: 1, .. }) => "it waits for an approval".to_owned(),
        Next::Wait(Wait::Approval { missing, .. }) => format!("it waits for {missing} approvals"),
        Next::Wait(Wait::Condition { until, .. }) => format!("it waits until {until}"),
        Next::Refuse(failure) => format!("it is refused: {}", failure.message),
    }
}
