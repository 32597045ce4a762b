//! What goes through the front.

use std::time::Duration;

use hyper::StatusCode;
use sealift_engine::ports::driver::Driver;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{World, alive, get, load::Load, test, until};

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.config.listen.address()).await.unwrap()
}

/// Reads until what was read ends with `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(stream.read_u8().await.unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&text))));
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn bodies_stream_both_ways_at_once() {
    test(async {
        let world = World::new();
        world.go_live(&world.deployment("p1", 1, "v1")).await;
        let mut stream = connect(&world).await;
        stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        stream.write_all(b"3\r\none\r\n").await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(
            read_until(&mut stream, "one\r\n").await,
            "3\r\none\r\n",
            "the first part is back before the last is sent"
        );
        stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(read_until(&mut stream, "0\r\n\r\n").await, "3\r\ntwo\r\n0\r\n\r\n");

        // The same connection goes on, here with a large body.
        let size = 3 << 20;
        stream
            .write_all(format!("PUT /count HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        stream.write_all(&vec![b'x'; size]).await.unwrap();
        read_until(&mut stream, &format!("\r\n\r\n{size}")).await;
    });
}

#[test]
fn the_service_learns_who_asked_and_nothing_about_the_connection() {
    test(async {
        let world = World::new();
        world.go_live(&world.deployment("p1", 1, "v1")).await;
        let mut stream = connect(&world).await;
        let request = "GET /headers HTTP/1.1\r\nhost: shop.test\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\
                       connection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nte: trailers\r\nx-mine: yes\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<&str> = body.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["host: shop.test", "x-forwarded-for: 203.0.113.7, 127.0.0.1", "x-forwarded-proto: https", "x-mine: yes"]
        );
        let plain = world.get("/headers").await.1;
        assert!(
            plain.contains("x-forwarded-proto: http\n") && plain.contains("x-forwarded-for: 127.0.0.1\n"),
            "{plain}"
        );
    });
}

#[test]
fn an_upgraded_connection_is_a_tunnel_and_outlives_the_switch() {
    test(async {
        let world = World::with(serde_json::json!({"drain": "100ms"}));
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        let mut stream = connect(&world).await;
        let request = "GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: echo"), "{head}");
        stream.write_all(b"hello\n").await.unwrap();
        assert_eq!(read_until(&mut stream, "\n").await, "hello\n");
        world.driver.prepare(&second, &()).await.unwrap();
        world.driver.switch(&second, &()).await.unwrap();
        assert_eq!(world.get("/").await.1, "v2");
        stream.write_all(b"still\n").await.unwrap();
        assert_eq!(read_until(&mut stream, "\n").await, "still\n");
        world.driver.retire(&second, 1, &()).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the drain has an end");
    });
}

#[test]
fn what_is_stopped_may_first_finish_its_requests() {
    test(async {
        let world = World::with(serde_json::json!({"drain": "20s"}));
        let (first, second) = (world.deployment("p1", 1, "v1"), world.deployment("p2", 2, "v2"));
        world.go_live(&first).await;
        let mut stream = connect(&world).await;
        stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\none").await.unwrap();
        read_until(&mut stream, "one").await;
        world.driver.prepare(&second, &()).await.unwrap();
        world.driver.switch(&second, &()).await.unwrap();
        let retire = world.driver.retire(&second, 1, &());
        tokio::pin!(retire);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut retire).await;
        assert!(early.is_err() && alive(world.started_pids()[0]), "it waits for the request");
        stream.write_all(b"two").await.unwrap();
        read_until(&mut stream, "two").await;
        tokio::time::timeout(Duration::from_secs(10), retire).await.expect("it waits too long").unwrap();
        assert!(!alive(world.started_pids()[0]));
    });
}

#[test]
fn a_connection_that_the_service_closed_costs_no_request() {
    test(async {
        let world = World::new();
        world.go_live(&world.deployment("p1", 1, "rude")).await;
        let load = Load::on(world.config.listen.address().port());
        until("many requests are answered", || async { load.seen("rude") >= 100 }).await;
        let (kept, fresh) = load.stop().await;
        assert_eq!((kept.bad, fresh.bad, kept.connections), (vec![], vec![], 1));

        // What may not be repeated is not: the service may have done it.
        let mut stream = connect(&world).await;
        let mut answers = Vec::new();
        for _ in 0..2 {
            stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let head = read_until(&mut stream, "\r\n\r\n").await;
            let failed = head.starts_with("HTTP/1.1 502");
            read_until(&mut stream, if failed { "the live release broke off\n" } else { "rude" }).await;
            answers.push(failed);
        }
        assert!(answers.contains(&true), "{answers:?}");
    });
}

#[test]
fn the_environment_can_move_to_another_address_without_a_gap() {
    test(async {
        let mut world = World::new();
        let first = world.deployment("p1", 1, "v1");
        world.go_live(&first).await;
        let old = world.config.listen.address().port();
        world.config.listen = crate::support::free_port().to_string().parse().unwrap();
        world.driver = world.another_driver(crate::support::agent_command());
        let second = world.deployment("p2", 2, "v2");
        world.driver.prepare(&second, &()).await.unwrap();
        assert_eq!(get(old, "/").await.unwrap().1, "v1");
        world.driver.switch(&second, &()).await.unwrap();
        assert_eq!(world.get("/").await, (StatusCode::OK, "v2".to_owned()));
        until("the old address is given up", || async { get(old, "/").await.is_err() }).await;
        // Back with the recorded definition, which names the old address.
        world.driver.restore(&second, Some(&first), &()).await.unwrap();
        assert_eq!(get(old, "/").await.unwrap().1, "v1");
    });
}
