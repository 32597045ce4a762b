//! The in-process registry by itself, where the client does not reach.

use hyper::{Method, StatusCode};
use sealift_domain::digest::Digest;
use sealift_registry::{
    image::Format,
    server::{
        Config, Server,
        script::{Action, Fault, Nth},
    },
};

use crate::support::{image, server};

async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let mut request = client.request(method, format!("http://{}{path}", server.address())).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn code(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let document: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (status, document["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_manifest_is_refused_unless_everything_about_it_is_right() {
    let a = server().await;
    let image = image(Format::Oci);
    let raw = image.root().unwrap();
    let text = String::from_utf8(raw.bytes.to_vec()).unwrap();
    let right = raw.media_type.as_str();
    let by_digest = format!("/v2/app/manifests/{}", raw.digest);
    let other = format!("/v2/app/manifests/{}", Digest::of(b"other"));
    let put = async |path: &str, media_type: &str, body: &str| {
        code(ask(&a, Method::PUT, path, &[("content-type", media_type)], body).await).await
    };
    let expect = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(put(&by_digest, right, &text).await, expect(404, "MANIFEST_BLOB_UNKNOWN"));
    for blob in &image.blobs {
        a.put_blob("app", blob.clone());
    }
    assert_eq!(
        put(&by_digest, "application/vnd.oci.image.index.v1+json", &text).await,
        expect(400, "MANIFEST_INVALID")
    );
    assert_eq!(put(&by_digest, right, "{").await, expect(400, "MANIFEST_INVALID"));
    assert_eq!(put(&other, right, &text).await, expect(400, "DIGEST_INVALID"));
    assert_eq!(put("/v2/app/manifests/-bad", right, &text).await, expect(400, "TAG_INVALID"));
    assert_eq!(put("/v2/App/manifests/v1", right, &text).await, expect(400, "NAME_INVALID"));
    assert_eq!(a.manifest("app", raw.digest).map(|raw| raw.digest), None);
    let stored = ask(&a, Method::PUT, "/v2/app/manifests/v1", &[("content-type", right)], &text).await;
    assert_eq!(stored.status(), StatusCode::CREATED);
    assert_eq!(a.tags("app"), [("v1".to_owned(), raw.digest)]);
}

#[tokio::test]
async fn an_upload_in_chunks_keeps_its_order_and_its_state() {
    let a = server().await;
    let opened = ask(&a, Method::POST, "/v2/app/blobs/uploads/", &[], "").await;
    assert_eq!(opened.status(), StatusCode::ACCEPTED);
    let location = opened.headers()["location"].to_str().unwrap().to_owned();
    let bare = location.split('?').next().unwrap().to_owned();
    assert_eq!(code(ask(&a, Method::PATCH, &bare, &[], "x").await).await, (400, "BLOB_UPLOAD_INVALID".to_owned()));
    assert_eq!(ask(&a, Method::PATCH, &location, &[("content-range", "0-2")], "abc").await.status(), 202);
    assert_eq!(ask(&a, Method::PATCH, &location, &[("content-range", "5-6")], "xx").await.status(), 416);
    let state = ask(&a, Method::GET, &location, &[], "").await;
    assert_eq!((state.status().as_u16(), state.headers()["range"].to_str().unwrap()), (204, "0-2"));
    let wanted = Digest::of(b"abcdef");
    let done = ask(&a, Method::PUT, &format!("{location}&digest={wanted}"), &[], "def").await;
    assert_eq!((done.status().as_u16(), a.open_uploads("app")), (201, 0));
    assert_eq!(a.blob("app", wanted).unwrap(), "abcdef");
    let range = ask(&a, Method::GET, &format!("/v2/app/blobs/{wanted}"), &[("range", "bytes=2-3")], "").await;
    assert_eq!((range.status().as_u16(), range.headers()["content-range"].to_str().unwrap()), (206, "bytes 2-3/6"));
    assert_eq!(range.bytes().await.unwrap(), "cd");
}

#[tokio::test]
async fn whole_and_cancelled_uploads() {
    let a = server().await;
    let wanted = Digest::of(b"abc");
    let path = format!("/v2/app/blobs/uploads/?digest={wanted}");
    assert_eq!(code(ask(&a, Method::POST, &path, &[], "abd").await).await, (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(ask(&a, Method::POST, &path, &[], "abc").await.status(), 201);
    let opened = ask(&a, Method::POST, "/v2/app/blobs/uploads/", &[], "").await;
    let location = opened.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(ask(&a, Method::DELETE, &location, &[], "").await.status(), 204);
    assert_eq!(code(ask(&a, Method::GET, &location, &[], "").await).await, (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let a = server().await;
    for tag in ["b", "a", "c"] {
        a.push("app", &image(Format::Oci), Some(tag));
    }
    let page = ask(&a, Method::GET, "/v2/app/tags/list?n=2", &[], "").await;
    let link = page.headers()["link"].to_str().unwrap().to_owned();
    assert_eq!(link, "</v2/app/tags/list?n=2&last=b>; rel=\"next\"");
    assert_eq!(page.bytes().await.unwrap(), r#"{"name":"app","tags":["a","b"]}"#);
    let rest = ask(&a, Method::GET, "/v2/app/tags/list?n=2&last=b", &[], "").await;
    assert!(!rest.headers().contains_key("link"));
    assert_eq!(rest.bytes().await.unwrap(), r#"{"name":"app","tags":["c"]}"#);
    assert_eq!(code(ask(&a, Method::GET, "/v2/none/tags/list", &[], "").await).await, (404, "NAME_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn referrers_are_listed_by_subject_and_type() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let empty = a.put_blob("app", "{}".into());
    let subject = image.root().unwrap();
    let point = |kind: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{t}","artifactType":"{kind}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"{t}","digest":"{}","size":{}}}}}"#,
            subject.digest,
            subject.bytes.len(),
            t = subject.media_type,
        )
    };
    for kind in ["application/x-sbom", "application/x-signature"] {
        let body = point(kind);
        let path = format!("/v2/app/manifests/{}", Digest::of(body.as_bytes()));
        let put = ask(&a, Method::PUT, &path, &[("content-type", &subject.media_type)], &body).await;
        assert_eq!(
            (put.status().as_u16(), put.headers()["oci-subject"].to_str().unwrap()),
            (201, subject.digest.to_string().as_str())
        );
    }
    let list = async |query: &str| {
        let response = ask(&a, Method::GET, &format!("/v2/app/referrers/{}{query}", subject.digest), &[], "").await;
        let document: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        document["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["artifactType"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list("").await.len(), 2);
    assert_eq!(list("?artifactType=application/x-sbom").await, ["application/x-sbom"]);
}

fn artifact(subject: &sealift_engine::ports::registry::RawManifest, empty: Digest, kind: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{t}","artifactType":"{kind}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"{t}","digest":"{}","size":{}}}}}"#,
        subject.digest,
        subject.bytes.len(),
        t = subject.media_type,
    )
}

async fn put_artifacts(a: &Server, count: usize) -> (String, Option<String>) {
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let empty = a.put_blob("app", "{}".into());
    let subject = image.root().unwrap();
    let mut noticed = None;
    for n in 0..count {
        let body = artifact(subject, empty, &format!("application/x-{n}"));
        let path = format!("/v2/app/manifests/{}", Digest::of(body.as_bytes()));
        let put = ask(a, Method::PUT, &path, &[("content-type", &subject.media_type)], &body).await;
        assert_eq!(put.status(), StatusCode::CREATED);
        noticed = put.headers().get("oci-subject").map(|value| value.to_str().unwrap().to_owned());
    }
    (format!("/v2/app/referrers/{}", subject.digest), noticed)
}

#[tokio::test]
async fn a_list_of_referrers_has_pages_that_follow_each_other() {
    let a = Server::start(Config { referrers_page: Some(2), ..Config::default() }).await.unwrap();
    let (mut path, _) = put_artifacts(&a, 5).await;
    let mut sizes = Vec::new();
    loop {
        let page = ask(&a, Method::GET, &path, &[], "").await;
        let link = page.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let document: serde_json::Value = serde_json::from_slice(&page.bytes().await.unwrap()).unwrap();
        sizes.push(document["manifests"].as_array().unwrap().len());
        let Some(link) = link else { break };
        path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[tokio::test]
async fn without_a_list_of_referrers_a_subject_is_not_noticed() {
    let a = Server::start(Config { referrers: false, ..Config::default() }).await.unwrap();
    let (path, noticed) = put_artifacts(&a, 1).await;
    assert_eq!((ask(&a, Method::GET, &path, &[], "").await.status(), noticed), (StatusCode::NOT_FOUND, None));
}

#[tokio::test]
async fn a_careless_registry_keeps_what_it_is_given() {
    let a = Server::start(Config { careless: true, ..Config::default() }).await.unwrap();
    let wanted = Digest::of(b"abc");
    let path = format!("/v2/app/blobs/uploads/?digest={wanted}");
    assert_eq!(ask(&a, Method::POST, &path, &[], "abd").await.status(), StatusCode::CREATED);
    assert_eq!(a.blobs("app"), [(wanted, "abd".into())]);
    let image = image(Format::Oci);
    let (raw, path) = (image.root().unwrap(), "/v2/app/manifests/v1");
    let text = String::from_utf8(raw.bytes.to_vec()).unwrap();
    let put = ask(&a, Method::PUT, path, &[("content-type", &raw.media_type)], &text).await;
    assert_eq!((put.status(), a.manifests("app").len()), (StatusCode::CREATED, 1));
}

#[tokio::test]
async fn faults_of_ranges_bodies_and_tags_are_as_they_are_described() {
    let a = server().await;
    let (old, new) = (image(Format::Oci), crate::support::image_for(Format::Oci, "amd64", 9));
    a.push("app", &old, Some("v1"));
    a.push("app", &new, None);
    let blob = format!("/v2/app/blobs/{}", a.put_blob("app", "abcdef".into()));
    a.script(Fault::new(&blob, Action::IgnoreRange).nth(Nth::Only(1)));
    let other = Action::OtherRange { sent: "bytes=1-2".to_owned(), told: Some("bytes 4-5/6".to_owned()) };
    a.script(Fault::new(&blob, other).nth(Nth::Only(2)));
    let range = [("range", "bytes=4-")];
    let whole = ask(&a, Method::GET, &blob, &range, "").await;
    assert_eq!((whole.status(), whole.text().await.unwrap()), (StatusCode::OK, "abcdef".to_owned()));
    let wrong = ask(&a, Method::GET, &blob, &range, "").await;
    assert_eq!(
        (wrong.status(), &wrong.headers()["content-range"]),
        (StatusCode::PARTIAL_CONTENT, &"bytes 4-5/6".parse().unwrap())
    );
    assert_eq!(wrong.text().await.unwrap(), "bc");
    assert_eq!(a.log()[0].range.as_deref(), Some("bytes=4-"));
    let moved = Action::MoveTag { repository: "app".to_owned(), tag: "v1".to_owned(), digest: new.digest };
    a.script(Fault::new("*/manifests/v1", moved).nth(Nth::Only(2)));
    let mut read = Vec::new();
    for _ in 0..3 {
        read.push(Digest::of(&ask(&a, Method::GET, "/v2/app/manifests/v1", &[], "").await.bytes().await.unwrap()));
    }
    assert_eq!(read, [old.digest, old.digest, new.digest]);
}
