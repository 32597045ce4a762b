//! What is known of the database of an environment, for those who have to decide.

use std::collections::BTreeMap;

use sealift_domain::{
    ledger::{Ledger, Past},
    name::{ComponentName, EnvironmentName},
    reference::Pinned,
    schema::{Expected, Outlook, Schema},
};

use crate::ports::registry::Registry;

/// Reads from their registries what the images of a release say of the schema they expect.
pub async fn read_schema(registry: &dyn Registry, images: &BTreeMap<ComponentName, Pinned>) -> Expected {
    let mut said: Option<Schema> = None;
    for (name, image) in images {
        let read = match registry.inspect(image).await {
            Ok(read) => Schema::of_image(&read),
            Err(error) => return Expected::Unreadable(error.message),
        };
        match (said, read) {
            (_, Err(why)) => return Expected::Unreadable(format!("{name}: {why}")),
            (Some(before), Ok(Some(schema))) if before != schema => {
                return Expected::Unreadable("its components say different things".to_owned());
            }
            (None, Ok(schema)) => said = schema,
            _ => {}
        }
    }
    said.into()
}

/// What a release that expects `candidate` would mean for the database of `to`, and for the way back; `None` where no label
/// says anything.
pub fn outlook(ledger: &Ledger, to: &EnvironmentName, candidate: Option<Schema>) -> Option<Outlook> {
    let record = ledger.environments.get(to);
    let before = record.and_then(|record| record.database.as_ref()).map(|database| database.fact);
    let live = record.and_then(|record| record.live.as_ref()).map(|live| live.schema);
    Outlook::new(before, candidate, live)
}

/// How far back is safe.
#[derive(Clone, Copy, Debug)]
pub struct Safe<'a> {
    /// What the database is at.
    pub database: Schema,
    /// The oldest release that can be gone back to, if there is one.
    pub oldest: Option<&'a Past>,
    /// Whether the release that is live works on it; `None` where nothing is live.
    pub live_works: Option<bool>,
}

/// How far back is safe in an environment; `None` where no label says anything.
pub fn safe_back_to<'a>(ledger: &'a Ledger, environment: &EnvironmentName) -> Option<Safe<'a>> {
    let record = ledger.environments.get(environment)?;
    let database = record.database.as_ref()?.fact;
    let oldest = ledger.ways_back(environment).first().copied();
    let live_works = record.live.as_ref().map(|live| database.serves(live.schema));
    Some(Safe { database, oldest, live_works })
}
