//! What the Compose host keeps for the time without log and registry.

use std::any::Any;

use async_trait::async_trait;
use sealift_domain::schema::Expected;
use sealift_engine::ports::{
    driver::{Deployment, DriverError, DriverObserver},
    offline::{Kept, OfflineHost, PastLive, Remembered},
};

use super::{
    driver::ComposeDriver,
    engine::LocalImage,
    host::{Held, Past},
};
/// How many deployments of the past are looked at, the newest ones. Images of older ones are not kept.
const LOOKED_AT: usize = 40;

impl ComposeDriver {
    /// What is about to be started may migrate the database.
    pub(super) fn may_migrate(&self, image: &LocalImage) -> Result<(), DriverError> {
        match image.expects() {
            Expected::Schema(schema) => self.shelf.may_migrate(schema),
            Expected::Nothing | Expected::Unreadable(_) => Ok(()),
        }
    }

    async fn past_live(&self, past: &Past) -> Result<PastLive, DriverError> {
        let image = self.engine.image(&past.image.to_string()).await?.filter(|image| image.is(&past.image));
        let gone = || Expected::Unreadable("the host does not have its image any more".to_owned());
        let definition = past.definition.map(|digest| self.shelf.definition(digest)).transpose()?.flatten();
        Ok(PastLive {
            key: past.key.clone(),
            digest: past.image.digest,
            component: past.component.clone(),
            image: Some(past.image.clone()),
            definition,
            expects: image.as_ref().map_or_else(gone, LocalImage::expects),
            at_hand: image.is_some(),
        })
    }

    /// Takes the lock for a record: under its number, and whatever other records there are.
    async fn lock_for(&self, record: &Kept) -> Result<Held, DriverError> {
        self.host.lock((&record.key, record.fence), self.config.lock_within, &self.engine.leash, || Ok(())).await
    }
}

#[async_trait]
impl OfflineHost for ComposeDriver {
    async fn remembered(&self) -> Result<Remembered, DriverError> {
        let journal = self.host.journal()?;
        let mut past = Vec::new();
        let mut database = None;
        let old = journal.past.len().saturating_sub(LOOKED_AT);
        for live in journal.past.iter().skip(old) {
            let live = self.past_live(live).await?;
            // What an earlier version started is told by what its image says.
            if let Expected::Schema(schema) = live.expects {
                database = Some(schema.after(database));
            }
            past.push(live);
        }
        let database = self.shelf.database()?.map(|kept| kept.after(database)).or(database);
        let live = past.last().map(|live| live.key.clone());
        Ok(Remembered { fence: journal.fence.max(self.shelf.floor()?), past, live, database })
    }

    async fn reserve(&self) -> Result<Box<dyn Any + Send>, DriverError> {
        Ok(Box::new(self.shelf.reserve()?))
    }

    async fn records(&self) -> Result<Vec<Kept>, DriverError> {
        self.shelf.records()
    }

    async fn merged(&self) -> Result<Vec<Kept>, DriverError> {
        self.shelf.merged()
    }

    async fn keep(&self, record: &Kept) -> Result<(), DriverError> {
        let _held = self.lock_for(record).await?;
        self.shelf.keep(record)
    }

    async fn withdraw(&self, record: &Kept) -> Result<(), DriverError> {
        self.shelf.withdraw(record)
    }

    async fn settle(&self, record: &Kept, fence: u64) -> Result<(), DriverError> {
        self.shelf.settle(record, fence)
    }

    async fn forget(&self, by: &Deployment, key: &str, _: &dyn DriverObserver) -> Result<(), DriverError> {
        let mut held = self.lock(by).await?;
        held.taken_back(key)
    }
}
