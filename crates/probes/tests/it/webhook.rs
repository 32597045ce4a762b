//! The webhook notifier.

use std::{io::Write, process::Stdio};

use sealift_domain::quantity::Period;
use sealift_engine::ports::{
    clock::Clock,
    notifier::{Delivery, Notifier, NotifyError},
};
use sealift_probes::{SignedHeaders, VerifyError, Webhook, WebhookSecret, verify};
use tokio::net::TcpListener;

use crate::support::{ManualClock, Reply, Request, Server};

const SECRET: &str = "whsec_c2VhbGlmdC10ZXN0LXNlY3JldC0wMTIzNDU2Nzg5";

fn delivery() -> Delivery {
    let body = r#"{"type":"promotion.failed","text":"é"}"#;
    Delivery { id: "ntc_01".to_owned(), time: "2025-12-31T00:00:00Z".parse().unwrap(), body: body.into() }
}

fn secret() -> WebhookSecret {
    SECRET.parse().unwrap()
}

async fn deliver(url: &str) -> Result<(), NotifyError> {
    Webhook::new(url, Some(secret()), ManualClock::new()).unwrap().deliver(&delivery()).await
}

async fn answered(status: u16, body: &'static str) -> (NotifyError, Vec<Request>) {
    let server = Server::start(move |_| Reply::text(status, body)).await;
    let error = deliver(&format!("{}/services/T0SECRET?key=hunter2", server.url)).await.unwrap_err();
    (error, server.requests())
}

fn signed(request: &Request) -> SignedHeaders<'_> {
    SignedHeaders {
        id: request.header("webhook-id").unwrap(),
        timestamp: request.header("webhook-timestamp").unwrap(),
        signature: request.header("webhook-signature").unwrap(),
    }
}

#[tokio::test]
async fn a_notice_arrives_signed_with_the_time_of_sending() {
    let server = Server::start(|_| Reply::status(204)).await;
    deliver(&format!("{}/hook", server.url)).await.unwrap();
    let request = &server.requests()[0];
    assert!(request.head.starts_with("POST /hook HTTP/1.1"), "{}", request.head);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, delivery().body);
    let headers = signed(request);
    let now = ManualClock::new().now();
    assert_eq!((headers.id, headers.timestamp), ("ntc_01", now.as_second().to_string().as_str()));
    let five_minutes = Period::from_secs(300);
    verify(&secret(), &headers, &request.body, now, five_minutes).unwrap();
    let other = "whsec_b3RoZXItdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OTAx".parse().unwrap();
    assert_eq!(verify(&other, &headers, &request.body, now, five_minutes), Err(VerifyError::Signature));
}

#[tokio::test]
async fn an_independent_implementation_finds_the_same_signature() {
    let server = Server::start(|_| Reply::status(200)).await;
    deliver(&server.url).await.unwrap();
    let request = &server.requests()[0];
    let headers = signed(request);
    let program = "import base64,hashlib,hmac,sys\n\
        key=base64.b64decode(sys.argv[1].removeprefix('whsec_'))\n\
        text=f'{sys.argv[2]}.{sys.argv[3]}.'.encode()+sys.stdin.buffer.read()\n\
        print('v1,'+base64.b64encode(hmac.new(key,text,hashlib.sha256).digest()).decode(),end='')";
    let arguments = ["-c", program, SECRET, headers.id, headers.timestamp];
    let child =
        std::process::Command::new("python3").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("SEALIFT_REQUIRE_REAL").is_none(), "python3: {error}");
            println!("SKIPPED an_independent_implementation_finds_the_same_signature: python3: {error}");
            return;
        }
    };
    child.stdin.take().unwrap().write_all(&request.body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), headers.signature);
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let server = Server::start(|_| Reply::status(200)).await;
    Webhook::new(&server.url, None, ManualClock::new()).unwrap().deliver(&delivery()).await.unwrap();
    assert_eq!(server.requests()[0].header("webhook-signature"), None);
}

#[tokio::test]
async fn trying_again_is_for_overload_and_faults_only() {
    for (status, transient) in [
        (500, true),
        (503, true),
        (429, true),
        (408, true),
        (400, false),
        (401, false),
        (404, false),
        (410, false),
        (302, false),
    ] {
        let (error, requests) = answered(status, "").await;
        assert_eq!(error.transient, transient, "{status}: {error}");
        assert!(error.message.contains(&status.to_string()), "{error}");
        assert_eq!(requests.len(), 1, "one try each, and no redirect followed");
    }
}

#[tokio::test]
async fn an_unreachable_receiver_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/T0SECRET?key=hunter2", listener.local_addr().unwrap());
    drop(listener);
    let error = deliver(&url).await.unwrap_err();
    assert!(error.transient);
    assert!(error.message.contains("cannot connect"), "{error}");
    assert_hides_the_address(&error);
    let server = Server::start(|_| Reply::Close).await;
    assert!(deliver(&server.url).await.unwrap_err().transient);
}

#[tokio::test]
async fn errors_tell_what_was_answered_but_never_the_address() {
    let (error, _) = answered(400, "invalid_payload\r\n").await;
    assert!(error.message.starts_with("webhook at http://127.0.0.1:"), "{error}");
    assert!(error.message.ends_with(" invalid_payload"), "{error}");
    for body in ["no hook at /services/T0SECRET", "key=hunter2 is wrong", "T0SECRET is gone"] {
        let (error, _) = answered(404, body).await;
        assert!(error.message.contains("404"), "{error}");
        assert_hides_the_address(&error);
    }
}

fn assert_hides_the_address(error: &NotifyError) {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("T0SECRET") && !shown.contains("hunter2") && !shown.contains("services"), "{shown}");
}

#[tokio::test]
async fn a_webhook_shows_neither_address_nor_secret() {
    let webhook = Webhook::new("https://hooks.example/services/T0SECRET", Some(secret()), ManualClock::new()).unwrap();
    assert_eq!(format!("{webhook:?}"), "Webhook(https://hooks.example)");
    let error = Webhook::new("T0SECRET", None, ManualClock::new()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("T0SECRET"));
}

#[tokio::test]
async fn an_id_that_could_blur_the_signed_text_is_refused() {
    let server = Server::start(|_| Reply::status(200)).await;
    for id in ["", "a.b", "a b", "é", "a\r\nx: y"] {
        let webhook = Webhook::new(&server.url, Some(secret()), ManualClock::new()).unwrap();
        let error = webhook.deliver(&Delivery { id: id.to_owned(), ..delivery() }).await.unwrap_err();
        assert!(!error.transient, "{id}");
    }
    assert!(server.requests().is_empty());
}
