//! Random images with everything around them, between random registries, under random faults: a copy ends complete, or in an
//! error that says why, and never with a tag on something incomplete.
//!
//! The cases are the same ones in every run. `PROPTEST_CASES` asks for more, `PROPTEST_RNG_SEED` for others; a case that fails is
//! made smaller and printed.

mod luck;
mod oracle;
mod recipe;

use std::sync::LazyLock;

use proptest::{prelude::*, test_runner::RngSeed};
use sealift_engine::ports::{
    copy::{Copied, CopyRequest},
    registry::{Registry, RegistryError},
};
use sealift_registry::{
    client::{Client, Options},
    server::{Config, Server},
};
use tokio::runtime::Runtime;

use self::{
    luck::{Luck, luck},
    oracle::{Expected, Source},
    recipe::{Made, Recipe, recipe},
};
use crate::{
    honest::assert_honest,
    support::{FakeClock, repository},
};

const FROM: &str = "staging/app";
const TO: &str = "production/app";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// How the two registries are set up.
#[derive(Clone, Debug)]
struct World {
    lists: (bool, bool),
    page: Option<usize>,
    mounts: bool,
    careless: bool,
    within: bool,
}

fn world() -> impl Strategy<Value = World> {
    let lists = (any::<bool>(), any::<bool>());
    (lists, prop::option::of(1_usize..3), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2))
        .prop_map(|(lists, page, mounts, careless, within)| World { lists, page, mounts, careless, within })
}

/// Two registries with the image in the first; the second may be the first.
struct Stage {
    a: Server,
    other: Option<Server>,
    world: World,
    made: Made,
}

impl Stage {
    async fn new(world: World, made: Made) -> Self {
        let config = |referrers: bool| Config {
            referrers,
            referrers_page: world.page,
            mounts: world.mounts,
            careless: world.careless,
            ..Config::default()
        };
        let a = Server::start(config(world.lists.0)).await.unwrap();
        let other = match world.within {
            true => None,
            false => Some(Server::start(config(world.lists.1)).await.unwrap()),
        };
        made.push(&a, FROM, !world.lists.0);
        made.take(&a, FROM);
        Self { a, other, world, made }
    }

    fn b(&self) -> &Server {
        self.other.as_ref().unwrap_or(&self.a)
    }

    fn source(&self) -> Source<'_> {
        Source { server: &self.a, name: FROM, lists: self.world.lists.0 }
    }

    fn destination(&self) -> Source<'_> {
        let lists = if self.world.within { self.world.lists.0 } else { self.world.lists.1 };
        Source { server: self.b(), name: TO, lists }
    }

    async fn copy(&self) -> Result<Copied, RegistryError> {
        let client = Client::new(Options::default(), FakeClock::new()).unwrap();
        let from = format!("{}/{FROM}:v1", self.a.address()).parse().unwrap();
        let request = CopyRequest::new(from, repository(self.b(), TO)).tagged(Some("v1".parse().unwrap()));
        client.copy(&request, &()).await
    }

    fn expected(&self) -> Expected {
        self.source().expect(self.made.image.digest)
    }

    fn tagged(&self) -> bool {
        self.b().tags(TO).contains(&("v1".to_owned(), self.made.image.digest))
    }

    /// Nothing of what is expected is lacking.
    fn complete(&self, expected: &Expected) -> Result<(), TestCaseError> {
        let lacking = expected.lacking(&self.destination());
        prop_assert!(lacking.is_empty(), "lacking: {}", lacking.join("\n"));
        prop_assert!(self.tagged(), "the tag is not there");
        Ok(())
    }
}

/// Copies once under faults and once without.
async fn case(recipe: &Recipe, world: World, luck: &[Luck]) -> Result<(), TestCaseError> {
    let stage = Stage::new(world, recipe.make()).await;
    let expected = stage.expected();
    luck.iter().for_each(|luck| luck.befall(&stage.a, stage.b()));
    let copied = stage.copy().await;
    assert_honest(stage.b(), TO);
    match copied {
        Ok(_) => {
            prop_assert!(expected.missing.is_empty(), "complete without {:?}", expected.missing);
            stage.complete(&expected)?;
        }
        Err(refused) => {
            let named = expected.missing.iter().any(|missing| refused.message.contains(&missing.to_string()));
            let excused = luck.iter().any(|luck| luck.excuses(refused.kind));
            prop_assert!(named || excused, "{:?}: {refused}; missing: {:?}", refused.kind, expected.missing);
            if stage.tagged() {
                // Only what comes after the tag may have failed.
                stage.complete(&expected)?;
            }
        }
    }
    again(&stage).await
}

/// When what was taken away is back and the faults are over, the same copy ends well.
async fn again(stage: &Stage) -> Result<(), TestCaseError> {
    stage.a.clear_script();
    stage.b().clear_script();
    stage.made.push(&stage.a, FROM, !stage.world.lists.0);
    let copied = stage.copy().await;
    assert_honest(stage.b(), TO);
    let refused = copied.err().map(|refused| refused.to_string());
    prop_assert_eq!(refused, None, "the second try");
    stage.complete(&stage.expected())
}

/// The same cases in every run, unless the environment says otherwise.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { 24 };
    let rng_seed = match usual.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_260_101),
        fixed => fixed,
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, max_shrink_iters: 400, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn without_faults_a_copy_is_complete_or_names_what_is_missing(recipe in recipe(), world in world()) {
        RUNTIME.block_on(case(&recipe, world, &[]))?;
    }

    #[test]
    fn under_faults_no_tag_names_what_is_incomplete(
        recipe in recipe(),
        world in world(),
        luck in prop::collection::vec(luck(), 1..4),
    ) {
        RUNTIME.block_on(case(&recipe, world, &luck))?;
    }
}
