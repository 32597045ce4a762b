//! What is refused, and what it leaves behind.

use std::net::TcpListener;

use sealift_domain::{digest::Digest, undo::Observed};
use sealift_drivers::process::{Config, ProcessDriver};
use sealift_engine::ports::driver::{Deployment, Driver, DriverError, DriverErrorKind};
use serde_json::json;

use crate::support::{
    World, agent_command, ask, names,
    registry::{GZIP, gzip, tar},
    running, test, until,
};

async fn refused(world: &World, deployment: &Deployment) -> DriverError {
    let error = world.driver.prepare(deployment, &()).await.unwrap_err();
    assert_eq!(world.starts(), [] as [&str; 0], "nothing was started");
    error
}

#[test]
fn an_older_fence_is_refused_also_after_the_agent_was_replaced() {
    test(async {
        let world = World::new();
        let (first, second) = (world.deployment("p1", 7, "v1"), world.deployment("p2", 6, "v2"));
        world.go_live(&first).await;
        for _ in 0..2 {
            let none = &();
            let errors = [
                world.driver.prepare(&second, none).await.unwrap_err(),
                world.driver.switch(&second, none).await.unwrap_err(),
                world.driver.discard(&second, none).await.unwrap_err(),
                world.driver.restore(&second, None, none).await.unwrap_err(),
                world.driver.migrate(&second, &["./migrate".to_owned(), "0".to_owned()], none).await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind, DriverErrorKind::Fenced, "{error}");
                assert!(error.message.contains("its fence is 7, this one's is 6"), "{error}");
            }
            crate::support::kill(world.agent_pid().await).await;
            assert_eq!(world.driver.observe().await.unwrap(), running(&first));
        }
        assert_eq!(world.starts(), ["p1"]);
    });
}

#[test]
fn a_taken_port_is_named_and_nothing_is_pulled() {
    test(async {
        let world = World::new();
        let candidate = TcpListener::bind(("127.0.0.1", world.config.ports[0])).unwrap();
        let deployment = world.deployment("p1", 1, "v1");
        let error = refused(&world, &deployment).await;
        assert_eq!(error.kind, DriverErrorKind::Preflight);
        let text =
            format!("the port {} cannot be given to the release: another process listens there", world.config.ports[0]);
        assert_eq!(error.message, text);
        assert!(world.images().is_empty());
        drop(candidate);
        // A process that another test is just starting may hold the socket for a moment longer.
        until("the port is free", || async { world.driver.prepare(&deployment, &()).await.is_ok() }).await;
    });
}

#[test]
fn a_taken_address_is_named() {
    test(async {
        let world = World::new();
        let taken = TcpListener::bind(world.config.listen.address()).unwrap();
        let deployment = world.deployment("p1", 1, "v1");
        let error = refused(&world, &deployment).await;
        assert_eq!(error.kind, DriverErrorKind::Preflight);
        assert!(
            error.message.contains(&format!("cannot listen on {}: another process", world.config.listen.address()))
        );
        drop(taken);
        until("the address is free", || async { world.driver.prepare(&deployment, &()).await.is_ok() }).await;
    });
}

#[test]
fn a_layer_that_is_not_what_the_configuration_promises_is_not_kept() {
    test(async {
        let world = World::new();
        let layer = tar(&[("app/serve", 0o755, "#!/bin/sh\n")]);
        let (right, wrong) = (Digest::of(&layer), Digest::of(b"another"));
        let bad = [
            (GZIP, gzip(&layer), wrong, json!({}), "the configuration promises"),
            (GZIP, layer.clone(), right, json!({}), "invalid gzip header"),
            ("application/vnd.docker.plugin.v1+json", layer.clone(), right, json!({}), "cannot be run"),
            (GZIP, gzip(&layer), right, json!({"architecture": "s390x"}), "the image is for linux/s390x"),
            (GZIP, gzip(&layer), right, json!({"rootfs": {"diff_ids": []}}), "lists 1 layers, the configuration 0"),
        ];
        for (n, (media_type, layer, diff_id, config, why)) in bad.into_iter().enumerate() {
            let image = world.registry.push_layer(media_type, layer, diff_id, config);
            let error = refused(&world, &world.deployment_of("p1", n as u64, image)).await;
            assert_eq!(error.kind, DriverErrorKind::Pull, "{error}");
            assert!(error.message.contains(why), "{error}");
            assert_eq!(names(&world.state().join("images")), [".lock"], "no half image stays");
        }
    });
}

#[test]
fn an_image_that_would_write_elsewhere_is_refused() {
    test(async {
        let world = World::new();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..13].copy_from_slice(b"../../../evil");
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        let layer = builder.into_inner().unwrap();
        let image = world.registry.push_layer(GZIP, gzip(&layer), Digest::of(&layer), json!({}));
        let error = refused(&world, &world.deployment_of("p1", 1, image)).await;
        assert!(error.message.contains("entry `../../../evil` is refused: the name holds `..`"), "{error}");
        assert_eq!(names(&world.state().join("images")), [".lock"]);
    });
}

#[test]
fn a_half_pull_of_a_killed_run_is_neither_used_nor_kept() {
    test(async {
        let world = World::new();
        let deployment = world.deployment("p1", 1, "v1");
        let half = world.state().join("images/.tmp-4711/rootfs");
        std::fs::create_dir_all(&half).unwrap();
        world.go_live(&deployment).await;
        assert!(!half.exists());
        assert_eq!(world.images().len(), 1);
    });
}

#[test]
fn a_registry_that_is_down_is_said_to_be() {
    test(async {
        let world = World::new();
        world.registry.down.store(true, std::sync::atomic::Ordering::SeqCst);
        let error = refused(&world, &world.deployment("p1", 1, "v1")).await;
        assert_eq!((error.kind, error.message.as_str()), (DriverErrorKind::Pull, "the registry is down"));
    });
}

#[test]
fn deployments_that_this_driver_cannot_run_are_refused_before_anything_happens() {
    test(async {
        let world = World::with(json!({"env_from": ["SEALIFT_TEST_UNSET"]}));
        let good = world.deployment("p1", 1, "v1");
        let mut two = good.clone();
        two.images.insert("worker".parse().unwrap(), two.images.values().next().unwrap().clone());
        let cases = [
            (two, "the process driver runs one component, this release has 2"),
            (Deployment { key: "../p1".to_owned(), ..good.clone() }, "`../p1` cannot be a deployment's key"),
            (Deployment { definition: b"{}".to_vec(), ..good.clone() }, "no driver"),
            (good, "the environment does not set SEALIFT_TEST_UNSET"),
        ];
        for (deployment, why) in cases {
            let error = refused(&world, &deployment).await;
            assert_eq!(error.kind, DriverErrorKind::Preflight);
            assert!(error.message.contains(why), "{error}");
        }
        assert!(!world.state().exists());
        assert_eq!(world.driver.observe().await.unwrap(), Observed::Nothing);
        let config = Config { ports: [1, 1], ..world.config.clone() };
        let error = ProcessDriver::new(config, world.registry.clone(), agent_command()).err().unwrap();
        assert!(error.message.contains("three different ports"), "{error}");
    });
}

#[test]
fn an_image_without_its_program_is_refused() {
    test(async {
        let world = World::new();
        let image = world.registry.push(&[("app/other", 0o755, "x")], json!({}));
        let error = refused(&world, &world.deployment_of("p1", 1, image)).await;
        assert_eq!(error.kind, DriverErrorKind::Preflight);
        assert_eq!(error.message, "the image has no program `./serve`");
        let image = world.registry.push(&[("app/serve", 0o755, "#!/nonexistent\n")], json!({}));
        let error = refused(&world, &world.deployment_of("p2", 2, image)).await;
        assert_eq!(error.kind, DriverErrorKind::Start);
        assert!(error.message.contains("p2 cannot be started"), "{error}");
    });
}

#[test]
fn who_does_not_speak_the_protocol_is_told_so() {
    test(async {
        let world = World::new();
        world.driver.prepare(&world.deployment("p1", 1, "v1"), &()).await.unwrap();
        for (line, why) in [
            ("hello", "expected value"),
            (r#"{"version":9,"command":"status"}"#, "not 9"),
            (r#"{"version":1,"command":"dance"}"#, "unknown command"),
        ] {
            let answer = ask(&world.state(), line).await.unwrap();
            assert_eq!(answer["error"]["kind"], "protocol");
            assert!(answer["error"]["message"].as_str().unwrap().contains(why), "{answer}");
        }
    });
}
