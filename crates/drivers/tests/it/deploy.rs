//! Deploying, going back, and doing it again.

use std::sync::atomic::Ordering;

use hyper::StatusCode;
use sealift_domain::undo::Observed;
use sealift_drivers::process::stop_agent;
use sealift_engine::ports::driver::{Driver, DriverErrorKind};

use crate::support::{World, alive, get, load::Load, names, running, test, until};

#[test]
fn a_release_is_prepared_beside_then_live_then_observed() {
    test(async {
        let world = World::new();
        assert_eq!(world.driver.observe().await.unwrap(), Observed::Nothing);
        assert!(!world.state().exists(), "looking changes nothing");
        let first = world.deployment("p1", 1, "v1");
        world.driver.prepare(&first, &()).await.unwrap();
        assert_eq!(world.driver.observe().await.unwrap(), Observed::Nothing);
        let (status, body) = world.get("/").await;
        assert_eq!((status, body.as_str()), (StatusCode::BAD_GATEWAY, "sealift: no release is live here\n"));
        assert_eq!(world.driver.switch(&first, &()).await.unwrap(), running(&first));
        assert_eq!(world.get("/").await, (StatusCode::OK, "v1".to_owned()));

        let second = world.deployment("p2", 2, "v2");
        world.driver.prepare(&second, &()).await.unwrap();
        assert_eq!(world.get("/").await.1, "v1");
        world.driver.switch(&second, &()).await.unwrap();
        assert_eq!(world.get("/").await.1, "v2");
        let pids = world.started_pids();
        assert!(alive(pids[0]), "what was live goes on beside");
        world.driver.retire(&second, 1, &()).await.unwrap();
        assert!(!alive(pids[0]) && alive(pids[1]));
        assert_eq!(world.driver.observe().await.unwrap(), running(&second));
        let log = String::from_utf8(world.driver.logs(&first, 1 << 20).await.unwrap()).unwrap();
        assert!(log.contains("service v1 begins"), "{log}");
        assert_eq!(world.driver.logs(&second, 3).await.unwrap().len(), 3);
    });
}

#[test]
fn no_request_fails_through_switches_rollbacks_and_bad_candidates() {
    test(async {
        let world = World::with(serde_json::json!({"start_within": "1s"}));
        let port = world.config.listen.address().port();
        let versions: Vec<_> = (1..=4).map(|n| world.deployment(&format!("p{n}"), n, &format!("v{n}"))).collect();
        world.go_live(&versions[0]).await;
        let load = Load::on(port);
        let slow = tokio::spawn(async move { get(port, "/slow?1500").await.unwrap() });
        for (n, version) in versions.iter().enumerate() {
            world.go_live(version).await;
            until("the new release answers", || async { load.seen(&format!("v{}", n + 1)) >= 20 }).await;
        }
        let bad = world.deployment("p5", 5, "unhealthy");
        world.driver.prepare(&bad, &()).await.unwrap_err();
        let broken = world.deployment("p6", 6, "v6");
        world.driver.prepare(&broken, &()).await.unwrap();
        world.driver.switch(&broken, &()).await.unwrap();
        until("the broken release answers", || async { load.seen("v6") >= 20 }).await;
        let back = world.driver.restore(&broken, Some(&versions[3]), &()).await.unwrap();
        assert_eq!(back, running(&versions[3]));
        let before = load.seen("v4");
        until("the old release answers again", || async { load.seen("v4") >= before + 20 }).await;

        let (kept, fresh) = load.stop().await;
        assert_eq!((kept.bad, fresh.bad), (Vec::<String>::new(), Vec::<String>::new()));
        assert_eq!(kept.connections, 1, "the kept connection outlives every switch");
        assert!(fresh.connections > 100);
        assert_eq!(slow.await.unwrap(), (StatusCode::OK, "v1".to_owned()), "a request under way ends where it began");
    });
}

#[test]
fn an_unhealthy_candidate_leaves_what_is_live_alone() {
    test(async {
        let world = World::with(serde_json::json!({"start_within": "500ms"}));
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        let error = world.driver.prepare(&world.deployment("p2", 2, "unhealthy"), &()).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unhealthy);
        assert!(error.message.contains("503 Service Unavailable"), "{error}");
        let output = String::from_utf8(error.output).unwrap();
        assert!(output.contains("service unhealthy begins") && output.contains("the database is missing"), "{output}");
        assert!(!alive(world.started_pids()[1]), "the candidate is stopped");

        let error = world.driver.prepare(&world.deployment("p3", 3, "exits"), &()).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Start);
        assert!(error.message.contains("exit status 3"), "{error}");
        assert!(String::from_utf8(error.output).unwrap().contains("service exits begins"));
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        assert_eq!(world.get("/").await.1, "v1");
        assert_eq!(world.starts(), ["p1", "p2", "p3"]);
    });
}

#[test]
fn a_retired_release_is_started_again_with_the_registry_down() {
    test(async {
        let world = World::new();
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        world.go_live(&second).await;
        assert!(!alive(world.started_pids()[0]));
        world.registry.down.store(true, Ordering::SeqCst);
        assert_eq!(world.driver.restore(&second, Some(&first), &()).await.unwrap(), running(&first));
        assert_eq!(world.get("/").await.1, "v1");
        assert!(!alive(world.started_pids()[1]), "what failed is stopped");
        assert_eq!(world.starts(), ["p1", "p2", "p1"]);
        assert_eq!(world.driver.restore(&second, Some(&first), &()).await.unwrap(), running(&first), "again");
        assert_eq!(world.starts().len(), 3);
    });
}

#[test]
fn the_first_release_is_restored_to_nothing() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        world.driver.prepare(&first, &()).await.unwrap();
        world.driver.switch(&first, &()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(world.driver.restore(&first, None, &()).await.unwrap(), Observed::Nothing);
        }
        assert_eq!(world.get("/").await.0, StatusCode::BAD_GATEWAY);
        assert!(!alive(world.started_pids()[0]));
    });
}

#[test]
fn everything_can_be_repeated_and_nothing_starts_twice() {
    test(async {
        let world = World::new();
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        for _ in 0..3 {
            world.another_driver(crate::support::agent_command()).prepare(&second, &()).await.unwrap();
        }
        for _ in 0..2 {
            assert_eq!(world.driver.switch(&second, &()).await.unwrap(), running(&second));
            world.driver.prepare(&second, &()).await.unwrap();
        }
        for _ in 0..2 {
            world.driver.retire(&second, 2, &()).await.unwrap();
        }
        assert_eq!(world.starts(), ["p1", "p2"]);
        assert_eq!(world.registry.requests.load(Ordering::SeqCst), 6, "each image is pulled once");
    });
}

#[test]
fn a_discarded_candidate_leaves_nothing_running() {
    test(async {
        let world = World::new();
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        world.driver.prepare(&second, &()).await.unwrap();
        for _ in 0..2 {
            world.driver.discard(&second, &()).await.unwrap();
        }
        assert!(!alive(world.started_pids()[1]));
        let refused = world.driver.discard(&world.deployment("p1", 3, "v1"), &()).await.unwrap_err();
        assert!(refused.message.contains("p1 is live"), "{refused}");
        assert_eq!(world.get("/").await.1, "v1");
        let error = world.driver.switch(&second, &()).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Fenced, "the refused discard was of a newer deployment");
        let error = world.driver.switch(&world.deployment("p2", 3, "v2"), &()).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Switch, "what does not run cannot become live");
    });
}

#[test]
fn images_beyond_those_to_keep_are_removed_but_never_the_previous() {
    test(async {
        let world = World::new();
        let all: Vec<_> = (1..=4).map(|n| world.deployment(&format!("p{n}"), n, &format!("v{n}"))).collect();
        let hex = |n: usize| all[n].images.values().next().unwrap().digest.hex();
        for deployment in &all {
            world.go_live(deployment).await;
        }
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(world.images(), sorted(vec![hex(1), hex(2), hex(3)]));
        world.driver.retire(&all[3], 0, &()).await.unwrap();
        assert_eq!(world.images(), sorted(vec![hex(2), hex(3)]));
        let wrong = world.driver.retire(&world.deployment("p2", 4, "v2"), 0, &()).await.unwrap_err();
        assert!(wrong.message.contains("not live"), "{wrong}");
    });
}

#[test]
fn an_index_is_run_with_the_image_of_this_machine_and_observed_by_its_own_digest() {
    test(async {
        let world = World::new();
        let index = world.registry.push_index(&world.registry.push_service("v1"));
        let first = world.deployment_of("p1", 1, index);
        world.go_live(&first).await;
        assert_eq!(world.get("/").await.1, "v1");
    });
}

#[test]
fn a_service_has_its_environment_and_secrets_stay_out_of_records() {
    test(async {
        // Any variable that is set wherever tests run will do as a secret.
        let world = World::with(serde_json::json!({"env": {"COLOUR": "blue"}, "env_from": ["CARGO_PKG_DESCRIPTION"]}));
        let secret = std::env::var("CARGO_PKG_DESCRIPTION").unwrap();
        let first = world.deployment("p1", 1, "v1");
        assert!(!String::from_utf8_lossy(&first.definition).contains(&secret));
        world.go_live(&first).await;
        for (name, value) in [("COLOUR", "blue"), ("CARGO_PKG_DESCRIPTION", &secret), ("HOME", "unset")] {
            assert_eq!(world.get(&format!("/env?{name}")).await.1, value);
        }
        let journal = std::fs::read_to_string(world.state().join("agent.json")).unwrap();
        assert!(journal.contains("blue") && !journal.contains(&secret));
        assert_eq!(names(&world.state().join("secrets")), ["p1.json"]);
        world.driver.restore(&first, None, &()).await.unwrap();
        assert!(names(&world.state().join("secrets")).is_empty());
    });
}

#[test]
fn a_migration_runs_once_and_its_outcome_is_kept() {
    test(async {
        let world = World::new();
        let argv = |status: &str| ["./migrate", status].map(str::to_owned).to_vec();
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        for _ in 0..2 {
            world.driver.migrate(&first, &argv("0"), &()).await.unwrap();
        }
        assert_eq!(world.driver.migration_output(&first, 1024).await.unwrap(), b"migrating 0\n");
        let root = world.state().join("images").join(first.images.values().next().unwrap().digest.hex());
        assert_eq!(std::fs::read_to_string(root.join("rootfs/app/runs")).unwrap(), "x\n");
        for _ in 0..2 {
            let error = world.driver.migrate(&second, &argv("4"), &()).await.unwrap_err();
            assert_eq!(error.kind, DriverErrorKind::Migrate);
            assert!(error.message.contains("exit status 4"), "{error}");
            assert_eq!(String::from_utf8(error.output).unwrap(), "migrating 4\n");
        }
        let error = world.driver.migrate(&second, &argv("0"), &()).await.unwrap_err();
        assert!(error.message.contains("was recorded as"), "{error}");
        assert_eq!(world.starts(), [] as [&str; 0], "a migration is no service");
    });
}

#[test]
fn a_stopped_environment_comes_back_with_the_next_agent() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        stop_agent(&world.state()).await.unwrap();
        assert!(!alive(world.started_pids()[0]));
        assert!(get(world.config.listen.address().port(), "/").await.is_err(), "nobody listens");
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        until("the service answers again", || async { world.get("/").await.1 == "v1" }).await;
        assert_eq!(world.starts(), ["p1", "p1"]);
    });
}

#[test]
fn what_is_pulled_is_counted_once_and_what_is_there_is_not() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        let migrate = ["./migrate", "0"].map(str::to_owned).to_vec();
        let pulled = world.driver.migrate(&first, &migrate, &()).await.unwrap().pulled_bytes.unwrap();
        assert!(pulled > 0);
        assert_eq!(world.driver.prepare(&first, &()).await.unwrap().pulled_bytes, Some(0), "the migration pulled it");
        assert_eq!(world.driver.prepare(&first, &()).await.unwrap().pulled_bytes, Some(0), "it runs");
        let second = world.deployment("p2", 2, "v2");
        assert!(world.driver.prepare(&second, &()).await.unwrap().pulled_bytes.unwrap() > 0);
        let usage = world.driver.usage().await.unwrap();
        assert!(usage.cpu_ms > 0 && usage.memory_bytes > 0, "{usage:?}");
    });
}
