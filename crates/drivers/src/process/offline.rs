//! What the host of the `process` driver keeps for the time without log and registry.

use std::any::Any;

use async_trait::async_trait;
use sealift_domain::schema::Expected;
use sealift_engine::ports::{
    driver::{Deployment, DriverError, DriverErrorKind, DriverObserver},
    offline::{Kept, OfflineHost, PastLive, Remembered},
};

use super::{
    agent::{check_key, protocol::Past, recorded},
    driver::{ProcessDriver, QUICK},
    failure,
    image::Unpacked,
};

impl ProcessDriver {
    /// What is about to be started may migrate the database.
    pub(super) fn may_migrate(&self, image: &Unpacked) -> Result<(), DriverError> {
        match image.expects {
            Expected::Schema(schema) => self.shelf.may_migrate(schema),
            Expected::Nothing | Expected::Unreadable(_) => Ok(()),
        }
    }

    fn past_live(&self, past: &Past) -> Result<PastLive, DriverError> {
        let image = self.images.find(past.digest);
        let gone = || Expected::Unreadable("the host does not have its image any more".to_owned());
        let definition = past.definition.map(|digest| self.shelf.definition(digest)).transpose()?.flatten();
        Ok(PastLive {
            key: past.key.clone(),
            digest: past.digest,
            component: past.component.clone(),
            image: None,
            definition,
            at_hand: image.is_some(),
            expects: image.map_or_else(gone, |image| image.expects),
        })
    }
}

#[async_trait]
impl OfflineHost for ProcessDriver {
    async fn remembered(&self) -> Result<Remembered, DriverError> {
        let unreadable = |e: std::io::Error| failure(DriverErrorKind::Unreachable, e.to_string());
        let (fence, live, history) = match self.agent.status(QUICK).await? {
            Some(status) => (status.fence, status.live, status.history),
            None => recorded(&self.state).map_err(unreadable)?,
        };
        let past: Vec<PastLive> = history.iter().map(|past| self.past_live(past)).collect::<Result<_, _>>()?;
        // What an earlier version started is told by what its image says.
        let told = past.iter().fold(None, |database, past| match past.expects {
            Expected::Schema(schema) => Some(schema.after(database)),
            Expected::Nothing | Expected::Unreadable(_) => database,
        });
        let database = self.shelf.database()?.map(|kept| kept.after(told)).or(told);
        Ok(Remembered { fence: fence.max(self.shelf.floor()?), past, live, database })
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
        check_key(&record.key)?;
        self.shelf.keep(record)
    }

    async fn withdraw(&self, record: &Kept) -> Result<(), DriverError> {
        self.shelf.withdraw(record)
    }

    async fn settle(&self, record: &Kept, fence: u64) -> Result<(), DriverError> {
        self.shelf.settle(record, fence)
    }

    async fn forget(&self, by: &Deployment, key: &str, _: &dyn DriverObserver) -> Result<(), DriverError> {
        check_key(key)?;
        self.shelf.admit(by.fence, &by.key)?;
        self.stop(by.fence, key, true).await.map(drop)
    }
}
