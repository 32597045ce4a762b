//! Who asks for a promotion: whoever proves it, and nobody else.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use crate::place::{Place, Ran};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// An identity provider that never answers: its keys are in a file.
struct Provider(EcdsaKeyPair);

impl Provider {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwks(&self) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "first", "alg": "ES256", "use": "sig", "x": x, "y": y}]})
            .to_string()
    }

    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": "first", "typ": "JWT"})), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

/// What GitHub says of a run that `actor` started, in a token that is valid now.
fn claims(actor: &str, number: u32) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({
        "iss": ISSUER, "aud": "sealift", "sub": "repo:acme/web:ref:refs/heads/main",
        "iat": now, "nbf": now - 5, "exp": now + 300, "jti": number.to_string(),
        "actor": actor, "actor_id": "4711", "repository": "acme/web", "run_id": "99", "sha": "7a3f9c2",
        "ref": "refs/heads/main", "workflow_ref": "acme/web/.github/workflows/cd.yaml@refs/heads/main",
    })
}

/// Ana and bob have accounts, and the provider counts.
fn place(provider: &Provider) -> Place {
    let place = Place::new();
    place.write("jwks.json", &provider.jwks());
    place.edit("{id: ana, email: ana@example.com,", "{id: ana, email: ana@example.com, github: Ana-GH,");
    place.edit("{id: bob, email: bob@example.com,", "{id: bob, email: bob@example.com, github: bob-gh,");
    let identities = format!(
        "identities:\n  - {{issuer: \"{ISSUER}\", jwks: jwks.json, subjects: [\"repo:acme/web:*\"]}}\nenvironments:"
    );
    place.edit("environments:", &identities);
    // Somebody is left to approve what ana asks for.
    place.edit("roles: [developer]", "roles: [platform-lead]");
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place
}

fn ask(place: &Place, token: &str) -> Ran {
    place.run_with(&["promote", "--to", "production"], &[("SEALIFT_OIDC_TOKEN", token)])
}

#[test]
fn a_run_asks_in_the_name_of_the_person_who_started_it() {
    let provider = Provider::new();
    let place = place(&provider);
    place.write("token", &provider.token(&claims("ana-gh", 1)));
    place.run(&["promote", "--to", "production", "--oidc-token-file", "token"]).ends(5);
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["explain", &id]).ends(0).says("repo:acme/web:ref:refs/heads/main, started by ana");
    // Ana's run asked, so ana does not approve.
    let own = place.run(&["approve", "--identity", "keys/ana"]);
    own.ends(2).says("`ana` asked for this promotion");
    assert_eq!(place.promotion(id.parse().unwrap())["pipeline_run_id"], "99");
    place.run(&["cancel", &id, "--reason", "x"]).ends(0);
    ask(&place, &provider.token(&claims("bob-gh", 2))).ends(5);
    place.run(&["approve", "--identity", "keys/ana"]).ends(0).says("started by bob");
    place.run(&["promote", "--to", "production"]).ends(0);
    place.audited();
}

#[test]
fn a_run_that_nobody_known_started_asks_for_nothing_where_requesters_may_not_approve() {
    let provider = Provider::new();
    let place = place(&provider);
    let entries = place.ledger().size;
    ask(&place, &provider.token(&claims("mallory", 1))).ends(2).says("E0603");
    assert_eq!(place.ledger().size, entries);
}

#[test]
fn attack_27_no_flag_and_no_variable_says_who_asks() {
    let provider = Provider::new();
    let place = place(&provider);
    let entries = place.ledger().size;
    let forged = [
        ("GITHUB_ACTOR", "bob-gh"),
        ("GITHUB_TRIGGERING_ACTOR", "bob-gh"),
        ("SEALIFT_REQUESTER", "bob"),
        ("SEALIFT_ACTOR", "bob"),
        ("USER", "bob"),
        ("LOGNAME", "bob"),
        ("GITHUB_ACTIONS", "true"),
        ("CI", "true"),
        ("GITHUB_REPOSITORY", "acme/web"),
        ("GITHUB_RUN_ID", "99"),
    ];
    place.run_with(&["promote", "--to", "production"], &forged).ends(2).says("E0603");
    for flag in ["--requester", "--actor", "--as", "--by"] {
        place.run(&["promote", "--to", "production", flag, "bob"]).ends(2);
    }
    assert_eq!(place.ledger().size, entries, "nothing was written");
}

#[test]
fn attack_27_a_token_that_does_not_hold_is_not_taken_for_no_token() {
    let provider = Provider::new();
    let place = place(&provider);
    let entries = place.ledger().size;
    let with = |key: &str, value: Value| {
        let mut claims = claims("bob-gh", 1);
        claims[key] = value;
        provider.token(&claims)
    };
    let now = jiff::Timestamp::now().as_second();
    let unsigned = |alg: &str| {
        let head = BASE64.encode(json!({"alg": alg, "kid": "first"}).to_string());
        format!("{head}.{}.", BASE64.encode(claims("bob-gh", 1).to_string()))
    };
    let cases = [
        (Provider::new().token(&claims("bob-gh", 1)), "signature does not hold"),
        (unsigned("none"), "another way than its key"),
        (unsigned("HS256"), "another way than its key"),
        (unsigned("ES256"), "signature does not hold"),
        (with("exp", (now - 3600).into()), "expired"),
        (with("iat", (now + 3600).into()), "future"),
        (with("aud", "somebody else".into()), "audience"),
        (with("aud", json!(["sealift", "somebody else"])), "audience"),
        (with("iss", "https://evil.example".into()), "another provider"),
        (with("sub", "repo:acme/web-evil:ref:refs/heads/main".into()), "subjects"),
        ("bob".to_owned(), "three parts"),
    ];
    for (token, why) in cases {
        ask(&place, &token).ends(4).says("E0614").says(why);
    }
    assert_eq!(place.ledger().size, entries, "nothing was written");
}

#[test]
fn attack_27_what_proved_who_asks_once_proves_it_no_second_time() {
    let provider = Provider::new();
    let place = place(&provider);
    let token = provider.token(&claims("bob-gh", 1));
    ask(&place, &token).ends(5);
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["cancel", &id, "--reason", "x"]).ends(0);
    // The token lies beside the log, where anybody may find it.
    ask(&place, &token).ends(2).says("it was asked with before");
}

/// The same token in the other spelling that its signature has.
fn respelt(token: &str) -> String {
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = BASE64.decode(signature).unwrap();
    let mut borrow = 0;
    for (byte, of) in signature[32..].iter_mut().zip(order).rev() {
        let difference = i16::from(of) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", BASE64.encode(signature))
}

#[test]
fn attack_27_the_other_spelling_of_a_token_is_the_same_token() {
    let provider = Provider::new();
    let place = place(&provider);
    let token = provider.token(&claims("bob-gh", 1));
    let other = respelt(&token);
    assert_ne!(token, other);
    ask(&place, &token).ends(5);
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["cancel", &id, "--reason", "x"]).ends(0);
    ask(&place, &other).ends(2).says("it was asked with before");
    place.audited();
}

#[test]
fn a_provider_that_cannot_be_believed_is_no_configuration() {
    let provider = Provider::new();
    let place = Place::new();
    place.write("jwks.json", &provider.jwks());
    place.write("none.json", "{\"keys\": []}");
    let original = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    for (issuer, jwks, subject, code) in [
        (ISSUER, "missing.json", "repo:acme/web:*", "E0101"),
        (ISSUER, "none.json", "repo:acme/web:*", "E0104"),
        ("http://id.example", "jwks.json", "repo:acme/web:*", "E0104"),
        (ISSUER, "jwks.json", "*", "E0104"),
        (ISSUER, "jwks.json", "repo:acme*", "E0104"),
        (ISSUER, "jwks.json", "repo:*/web", "E0104"),
    ] {
        place.write("sealift.yaml", &original);
        let list = format!(
            "identities:\n  - {{issuer: \"{issuer}\", jwks: {jwks}, subjects: [\"{subject}\"]}}\nenvironments:"
        );
        place.edit("environments:", &list);
        place.run(&["init"]).ends(2).says(code);
    }
}

#[test]
fn in_github_actions_the_token_is_fetched_by_itself() {
    let provider = Provider::new();
    let place = place(&provider);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?api-version=2.0", server.local_addr().unwrap());
    let token = provider.token(&claims("bob-gh", 1));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let body = json!({"value": token}).to_string();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
        head
    });
    let variables =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret")];
    let ran = place.run_with(&["promote", "--to", "production"], &variables);
    ran.ends(5);
    assert!(!format!("{ran:?}").contains("runner-secret"));
    let head = asked.join().unwrap();
    assert!(head[0].contains("api-version=2.0&audience=sealift"), "{head:?}");
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer runner-secret")), "{head:?}");
    place.run(&["approve", "--identity", "keys/ana"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(0);

    // A runner that gives none is no reason to go on without.
    place.build("1.1.0");
    place.to_staging();
    let gone =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1/x"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret")];
    place.run_with(&["promote", "--to", "production"], &gone).ends(4).says("E0614");
}
