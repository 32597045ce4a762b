//! What a commit costs, in a log that has just begun and in a long one: a decision on the ledger, the fold, two signatures,
//! and a sync to disk.

use std::{sync::Arc, time::Instant};

use sealift::{
    config::Config,
    system::{SystemClock, SystemEntropy},
    wiring,
};
use sealift_domain::freeze::HoldScope;
use sealift_engine::{book::Book, init, record};

use crate::{
    Failed, Options,
    figures::{Figures, Table},
    long_log::LongLog,
    place::Place,
};

/// Commits for each run asked for.
const EACH: u32 = 10;

/// Measures both, in turn.
pub(crate) async fn measure(
    place: &Place,
    long: &LongLog,
    options: &Options,
    figures: &mut Figures,
) -> Result<(), Failed> {
    let directory = place.within("short")?;
    let yaml = std::fs::read_to_string(place.directory.join("sealift.yaml"))?;
    let config =
        Config::parse(&yaml, "sealift.yaml", &place.directory).map_err(|_| "the configuration cannot be read")?;
    let log = wiring::stores::create_log(&directory.join("log.sqlite"), "hello.sealift").map_err(|_| "no log")?;
    let short = Book::open(log, Arc::new(SystemClock), Arc::new(SystemEntropy), "bench".to_owned()).await?;
    init::first(&short, config.policy, std::collections::BTreeMap::new()).await?;
    let scope = HoldScope::Digest(sealift_domain::digest::Digest::of(b"measured"));
    for _ in 0..options.runs * EACH {
        for (book, name) in [
            (&short, "to a log that has just begun".to_owned()),
            (&long.book, format!("to a log of {} entries", long.entries)),
        ] {
            let began = Instant::now();
            let wish = (scope.clone(), "measured".to_owned());
            record::hold(book, wiring::signatures().as_ref(), wish, None).await?;
            figures.time(Table::Commit, &name, began.elapsed());
        }
    }
    Ok(())
}
