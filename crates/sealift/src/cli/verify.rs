//! `sealift verify`

use sealift_domain::name::EnvironmentName;
use sealift_engine::record;
use serde_json::json;

use super::{Ends, Global, offline};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{
        style::{Mark, Tone},
        table::{Cell, Table},
    },
    session::Session,
    shell::{Shell, style},
};

/// Run an environment's checks against what is live there, and record the verdict
#[derive(clap::Args)]
pub struct Args {
    /// The environment.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    session.accepted_policy(shell).await.map_err(|d| vec![d])?;
    offline::take_in(shell, &session, &args.environment).await.map_err(|d| vec![d])?;
    let (passed, results) = record::verify(&session.book, &session.world, &(), &args.environment)
        .await
        .map_err(|e| vec![failure::of_engine(e)])?;
    if global.json() {
        let value = json!({"schema_version": 1, "environment": args.environment, "passed": passed, "checks": results});
        shell.print(&format!("{value}\n"));
        return Ok(if passed { Exit::Ok } else { Exit::Failed });
    }
    let mut table = Table::new([]);
    for result in &results {
        let (mark, tone, word) =
            if result.passed { (Mark::Ok, Tone::Ok, "holds") } else { (Mark::Bad, Tone::Bad, "fails") };
        table.row([Cell::word(mark, tone, word), result.check.as_str().into(), result.found.as_str().into()]);
    }
    shell.print(&table.render(&style(shell, global.color())));
    if passed {
        return Ok(Exit::Ok);
    }
    let found = results.iter().find(|result| !result.passed).map(|result| result.found.clone());
    let found = found.unwrap_or_else(|| "no check is configured under `verify`, and nothing proves nothing".to_owned());
    Err(vec![
        Diagnostic::new("E0410", format!("{} is not verified", args.environment))
            .found(found)
            .state("nothing live was changed; the verdict is on record, and what runs there is not promoted")
            .next(format!("`sealift rollback --in {}` goes back", args.environment)),
    ])
}
