//! What this program does when it is started as an agent or as a service.

use std::{convert::Infallible, path::Path, process::exit, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn, upgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn agent() {
    let state = std::env::args().next_back().unwrap();
    match runtime().block_on(sealift_drivers::process::agent::run(Path::new(&state))) {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("{error}");
            exit(1)
        }
    }
}

/// A service whose file `mode` says how it behaves: `exits`, `unhealthy`, `rude`, or anything else, which it answers with.
pub(crate) fn service() {
    let mode = std::fs::read_to_string("mode").unwrap();
    eprintln!("service {mode} begins");
    if mode == "exits" {
        exit(3);
    }
    let address = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    runtime().block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mode = mode.clone();
            if mode == "rude" {
                tokio::spawn(rude(stream));
            } else {
                tokio::spawn(polite(stream, mode));
            }
        }
    });
}

/// Answers the first request of a connection and promises to keep it; closes it when the second has come.
async fn rude(mut stream: TcpStream) {
    for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nrude", ""] {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn polite(stream: TcpStream, mode: String) {
    let service = service_fn(move |request| {
        let mode = mode.clone();
        async move { Ok::<_, Infallible>(answer(request, &mode).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(mut request: Request<Incoming>, mode: &str) -> Response<Either<Full<Bytes>, Incoming>> {
    let text = |text: String| Response::new(Either::Left(Full::from(text)));
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    match path.as_str() {
        "/die" => exit(7),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(query.parse().unwrap())).await;
            text(mode.to_owned())
        }
        "/echo" => Response::new(Either::Right(request.into_body())),
        "/count" => text(request.into_body().collect().await.unwrap().to_bytes().len().to_string()),
        "/headers" => {
            let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
                format!("{name}: {}\n", value.to_str().unwrap())
            };
            text(request.headers().iter().map(line).collect())
        }
        "/env" => text(std::env::var(query).unwrap_or_else(|_| "unset".to_owned())),
        "/upgrade" => {
            let client = upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(client.await.unwrap()));
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
            let mut response = text(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
            response.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
            response
        }
        _ if mode == "unhealthy" => {
            let mut response = text("the database is missing".to_owned());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
        _ => text(mode.to_owned()),
    }
}
