//! Agents, services and callers that are killed at any moment.

use std::time::Duration;

use sealift_domain::undo::Observed;
use sealift_engine::ports::driver::{Driver, DriverErrorKind};

use crate::support::{World, agent_command, alive, ask, kill, running, test, until};

#[test]
fn the_next_agent_adopts_what_runs() {
    test(async {
        let world = World::new();
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        world.driver.prepare(&second, &()).await.unwrap();
        let agent = world.agent_pid().await;
        kill(agent).await;
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        assert_ne!(world.agent_pid().await, agent);
        assert_eq!(world.get("/").await.1, "v1");
        world.driver.prepare(&second, &()).await.unwrap();
        assert_eq!(world.starts(), ["p1", "p2"], "both were adopted");
        world.driver.switch(&second, &()).await.unwrap();
        world.driver.retire(&second, 1, &()).await.unwrap();
        assert!(!alive(world.started_pids()[0]), "an adopted service is stopped like any other");
        assert_eq!(world.get("/").await.1, "v2");
    });
}

#[test]
fn a_process_that_was_started_and_never_noted_is_found() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        kill(world.agent_pid().await).await;
        // As if the agent had died before it could note the process.
        let path = world.state().join("agent.json");
        let mut journal: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        journal["services"]["p1"]["process"] = serde_json::Value::Null;
        std::fs::write(&path, journal.to_string()).unwrap();
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        let pids = world.started_pids();
        assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
        assert_eq!(world.get("/").await.1, "v1");
    });
}

#[test]
fn what_was_live_is_started_again_with_its_secrets() {
    test(async {
        let world = World::with(serde_json::json!({"env_from": ["CARGO_PKG_DESCRIPTION"]}));
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        kill(world.agent_pid().await).await;
        kill(world.started_pids()[0]).await;
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        let secret = std::env::var("CARGO_PKG_DESCRIPTION").unwrap();
        until("the service answers", || async { world.get("/env?CARGO_PKG_DESCRIPTION").await.1 == secret }).await;
        assert_eq!(world.starts(), ["p1", "p1"]);
    });
}

#[test]
fn a_live_service_that_ends_is_started_again_and_a_candidate_is_not() {
    test(async {
        let world = World::new();
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        for times in 1..=2 {
            assert_eq!(world.get("/die").await.0, 502);
            until("it is started again", || async { world.starts().len() == 1 + times }).await;
            until("it answers again", || async { world.get("/").await.1 == "v1" }).await;
        }
        let status = ask(&world.state(), r#"{"version":1,"command":"status"}"#).await.unwrap();
        assert_eq!(status["ok"]["services"][0]["restarts"], 2);
        assert_eq!(status["ok"]["services"][0]["last_exit"], "exit status 7");
        world.driver.prepare(&second, &()).await.unwrap();
        kill(world.started_pids()[3]).await;
        until("the end is noticed", || async {
            let status = ask(&world.state(), r#"{"version":1,"command":"status"}"#).await.unwrap();
            status["ok"]["services"][1]["last_exit"] == "killed by signal 9"
        })
        .await;
        let error = world.driver.switch(&second, &()).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Switch);
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        world.driver.prepare(&second, &()).await.unwrap();
        assert_eq!(world.starts(), ["p1", "p1", "p1", "p2", "p2"]);
    });
}

#[test]
fn a_service_that_cannot_run_any_more_is_not_reported_as_running() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        let root = world.state().join("images").join(first.images.values().next().unwrap().digest.hex());
        std::fs::write(root.join("rootfs/app/mode"), "exits").unwrap();
        kill(world.started_pids()[0]).await;
        until("it keeps ending", || async { world.starts().len() >= 4 }).await;
        until("it is between two starts", || async {
            matches!(world.driver.observe().await.unwrap(), Observed::Unknown { what } if what.contains("p1") && what.contains("exit status 3"))
        })
        .await;
    });
}

#[test]
fn a_caller_that_dies_within_prepare_is_taken_over() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        for patience in [0, 5, 20, 60, 150] {
            // Dropped in the middle, as a kill would.
            let _ = tokio::time::timeout(Duration::from_millis(patience), world.driver.prepare(&first, &())).await;
        }
        let next = world.another_driver(agent_command());
        next.prepare(&first, &()).await.unwrap();
        assert_eq!(next.switch(&first, &()).await.unwrap(), running(&first));
        assert_eq!(world.starts(), ["p1"]);
    });
}

#[test]
fn drivers_that_start_an_agent_at_once_share_one() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        let drivers: Vec<_> = (0..4).map(|_| world.another_driver(agent_command())).collect();
        let all = futures_util::future::join_all(drivers.iter().map(|driver| driver.prepare(&first, &()))).await;
        all.into_iter().for_each(|prepared| {
            prepared.unwrap();
        });
        assert_eq!(world.starts(), ["p1"]);
        assert_eq!(world.registry.requests.load(std::sync::atomic::Ordering::SeqCst), 3, "pulled once");
    });
}

#[test]
fn a_migration_whose_agent_died_has_an_unknown_outcome() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        let argv = ["./migrate", "wait"].map(str::to_owned).to_vec();
        let running = async { world.driver.migrate(&first, &argv, &()).await };
        let crash = async {
            let log = world.state().join("logs/p1.migration.log");
            until("the migration runs", || async { std::fs::read(&log).is_ok_and(|log| !log.is_empty()) }).await;
            kill(world.agent_pid().await).await;
        };
        let (outcome, ()) = tokio::join!(running, crash);
        for outcome in [outcome, world.driver.migrate(&first, &argv, &()).await] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind, DriverErrorKind::Migrate);
            assert!(error.message.contains("outcome is unknown"), "{error}");
            assert_eq!(error.output, b"migrating wait\n", "what it wrote until then is kept");
        }
        // Whoever cannot even start it does not take it for one that never began.
        let absent = ["./absent".to_owned()];
        let error = world.driver.migrate(&first, &absent, &()).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Migrate, "{error}");
        assert!(error.message.contains("was started by an earlier run"), "{error}");
        let never = world.driver.migrate(&world.deployment("p2", 2, "v1"), &absent, &()).await.unwrap_err();
        assert!(never.kind.began_nothing(), "{never}");
        let root = world.state().join("images").join(first.images.values().next().unwrap().digest.hex());
        let orphan = std::fs::read_to_string(root.join("rootfs/app/pid")).unwrap();
        kill(orphan.trim().parse().unwrap()).await;
    });
}

#[test]
fn an_agent_that_cannot_be_started_is_said_to_be_unreachable() {
    test(async {
        let world = World::new();
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        kill(world.agent_pid().await).await;
        for command in [vec![], vec!["/nonexistent".into()], vec!["/bin/false".into()]] {
            let error = world.another_driver(command).observe().await.unwrap_err();
            assert_eq!(error.kind, DriverErrorKind::Unreachable, "{error}");
        }
        std::fs::write(world.state().join("agent.json.kept"), std::fs::read(world.state().join("agent.json")).unwrap())
            .unwrap();
        std::fs::write(world.state().join("agent.json"), "damaged").unwrap();
        let error = world.driver.observe().await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unreachable, "{error}");
        std::fs::rename(world.state().join("agent.json.kept"), world.state().join("agent.json")).unwrap();
        assert_eq!(world.driver.observe().await.unwrap(), running(&first));
    });
}
