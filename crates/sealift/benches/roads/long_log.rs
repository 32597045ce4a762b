//! A log with thousands of entries, written by the engine as it writes any other: releases that were built, went to staging
//! and production, some of which failed there and were rolled back, with signed approvals and the snapshots that come with
//! time. Registry, log and signatures are real; the service and its checks are made up, and the clock is turned forward, so
//! that months of releases take seconds.

mod world;

use std::{path::PathBuf, sync::Arc};

use sealift::{config::Config, demo::images, system::SystemEntropy, wiring};
use sealift_domain::{
    approval::{APPROVAL_NAMESPACE, Decision},
    digest::Digest,
    name::EnvironmentName,
    promotion::{Kind, Requester, Status},
    record::Build,
};
use sealift_engine::{
    act::Signed,
    book::Book,
    decide, init,
    ports::clock::Clock as _,
    record,
    request::{self, Ask},
    worker::{RunOptions, Worker},
    world::World,
};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use crate::{Failed, place::Place, say};
use world::TurnedClock;

/// The log, in a directory of its own with a configuration.
pub(crate) struct LongLog {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// How many entries it has.
    pub(crate) entries: u64,
    /// What reads and writes it.
    pub(crate) book: Book,
}

/// One release in so many fails in production.
const ONE_FAILS_OF: u32 = 10;

/// When the made-up history begins: after the demo's images were created, by their labels.
const BEGAN: &str = "2026-01-02T00:00:00Z";

/// Hours between two releases.
const HOURS: i64 = 2;
/// Where the configuration of the place has its log.
const STORE: &str = ".sealift/log.sqlite";

/// Writes a log of at least `entries` entries.
pub(crate) async fn build(place: &Place, entries: u64) -> Result<LongLog, Failed> {
    say(&format!("writing a log of {entries} entries"));
    let directory = place.within("long")?;
    let yaml = std::fs::read_to_string(place.directory.join("sealift.yaml"))?;
    std::fs::write(directory.join("sealift.yaml"), &yaml)?;
    let config =
        Config::parse(&yaml, "sealift.yaml", &place.directory).map_err(|_| "the configuration cannot be read")?;
    let log = wiring::stores::create_log(&directory.join(STORE), "hello.sealift").map_err(|_| "no log")?;
    let clock = Arc::new(TurnedClock::from(BEGAN.parse()?));
    let book = Book::open(log, clock.clone(), Arc::new(SystemEntropy), "bench".to_owned()).await?;
    init::first(&book, config.policy.clone(), std::collections::BTreeMap::new()).await?;
    let ana = PrivateKey::read_openssh_file(&place.directory.join("keys/ana"))?;
    let history = History { place, book: &book, world: world::made_up(clock.clone())?, clock: &clock, ana };
    let mut release = 0;
    while book.ledger().await?.size < entries {
        history.release(release).await?;
        release += 1;
    }
    let entries = book.ledger().await?.size;
    Ok(LongLog { directory, entries, book })
}

struct History<'a> {
    place: &'a Place,
    book: &'a Book,
    world: World,
    clock: &'a TurnedClock,
    ana: PrivateKey,
}

impl History<'_> {
    /// One release from its build to production, or back.
    async fn release(&self, number: u32) -> Result<(), Failed> {
        let fails = number % ONE_FAILS_OF == ONE_FAILS_OF - 1;
        let version = format!("2.{number}.0{}", if fails { world::BAD } else { "" });
        let image = images::service(&version, None).build();
        self.place.staging.push("hello", &image, Some(&version));
        let build = Build {
            repository: self.place.staging.repository("hello")?,
            digest: image.digest,
            // As the image's label says.
            commit: Some(Digest::of(version.as_bytes()).hex().chars().take(40).collect()),
            run_id: Some(format!("{}", 100_000 + number)),
            author: None,
            committer: None,
            actor: None,
            version: Some(version),
        };
        record::build(self.book, &self.world, build).await?;
        self.promote("staging", Status::Completed).await?;
        self.clock.forward(HOURS / 2);
        let expected = if fails { Status::RolledBack } else { Status::Completed };
        self.promote("production", expected).await?;
        self.clock.forward(HOURS / 2);
        Ok(())
    }

    async fn promote(&self, to: &str, expected: Status) -> Result<(), Failed> {
        let to: EnvironmentName = to.parse()?;
        let ledger = self.book.ledger().await?;
        let release = request::choose(&ledger, &to, None)?;
        let ask = Ask {
            kind: Kind::Promote,
            from: None,
            to,
            release,
            by_hand: false,
            requester: self.bob(ledger.size)?,
            proof: Vec::new(),
            reason: Some("a release like any other".to_owned()),
            run_id: None,
            expedited: false,
        };
        let id = request::ask(self.book, &ask).await?.id();
        let mut status = self.work(id).await?;
        if status == Status::Pending {
            self.approve(id).await?;
            status = self.work(id).await?;
        }
        if status == expected {
            return Ok(());
        }
        let stage = self.book.ledger().await?.promotions.get(&id).map(|promotion| promotion.stage.clone());
        Err(format!("promotion {id} is {status}, not {expected}: {stage:?}").into())
    }

    async fn work(&self, id: sealift_domain::promotion::PromotionId) -> Result<Status, Failed> {
        Ok(Worker::new(self.book, &self.world, &(), RunOptions::default()).run(id).await?)
    }

    /// The requester; his signature would be one more object beside the log.
    fn bob(&self, entry: u64) -> Result<Requester, Failed> {
        let key = std::fs::read_to_string(self.place.directory.join("keys/bob.pub"))?;
        let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let none = Digest::of(b"");
        let proof = sealift_domain::approval::Proof::Sshsig {
            key,
            statement: Digest::of(&entry.to_be_bytes()),
            signature: none,
        };
        Ok(Requester::Person { id: "bob".parse()?, proof })
    }

    async fn approve(&self, id: sealift_domain::promotion::PromotionId) -> Result<(), Failed> {
        let ledger = self.book.ledger().await?;
        let nonce = format!("{:032x}", id.0);
        let statement =
            decide::statement(&ledger, id, &"ana".parse()?, (Decision::Approve, None), self.clock.now(), nonce)?;
        let bytes = serde_json::to_vec(&statement)?;
        let signature = self.ana.sign(APPROVAL_NAMESPACE, HashAlg::Sha512, &bytes)?.to_pem(LineEnding::LF)?;
        let signed = Signed { statement: bytes, signature: signature.into_bytes() };
        decide::accept(self.book, self.world.signatures.as_ref(), &signed).await?;
        Ok(())
    }
}
