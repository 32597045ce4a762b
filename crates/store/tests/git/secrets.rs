//! Where the token goes, and where it does not.

use std::fs;

use sealift_engine::ports::log::LogError;
use sealift_store::git::{GitLog, Token};

use crate::{crash::program, fixture::Place};

/// Writes down what it was given, repeats the secret as a chatty server might, and fails.
const SPY: &str = r#"
echo "$@" >> "$DIR/arguments"
env >> "$DIR/environment"
echo "fatal: Authentication failed; you sent $(env | grep -o 'Basic .*') or hunter2" >&2
exit 128"#;

async fn asked(place: &Place, address: &str) -> (LogError, String, String) {
    let mut options = place.options("cache");
    options.program = program(place.dir.path(), SPY).into();
    options.token = Token::new("hunter2");
    let error = GitLog::open(address.parse().unwrap(), options, place.public()).await.unwrap_err();
    let read = |name: &str| fs::read_to_string(place.dir.path().join(name)).unwrap();
    (error, read("arguments"), read("environment"))
}

#[tokio::test]
async fn a_token_goes_into_a_header_for_that_address_only() {
    let place = Place::new();
    let (error, arguments, environment) = asked(&place, "git+https://git.invalid/acme/web.git#sealift").await;
    let encoded = "eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==";
    assert!(environment.contains(&format!("=Authorization: Basic {encoded}\n")), "{environment}");
    assert!(environment.contains("=http.https://git.invalid/acme/web.git.extraHeader\n"), "{environment}");
    assert!(environment.contains("=http.followRedirects\n"), "{environment}");
    assert!(!arguments.contains("hunter2") && !arguments.contains(encoded), "{arguments}");
    let words = format!("{error} {error:?}");
    assert!(!words.contains("hunter2") && !words.contains(encoded), "{words}");
    assert!(words.contains("[token]") && words.contains("SEALIFT_GIT_TOKEN"), "{words}");
    let mut files = vec![place.dir.path().join("cache")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            let holds = |secret: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!holds(b"hunter2") && !holds(encoded.as_bytes()), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_token_does_not_go_to_other_transports() {
    for address in
        ["git+ssh://git@git.invalid/web.git#sealift", "git+git@git.invalid:web.git#sealift", "git+file:///nowhere#log"]
    {
        let place = Place::new();
        let (_, _, environment) = asked(&place, address).await;
        assert!(!environment.contains("Authorization"), "{address}");
        assert!(
            environment.contains("GIT_TERMINAL_PROMPT=0") && environment.contains("BatchMode=yes"),
            "{environment}"
        );
        assert!(
            environment.contains("=core.hooksPath\n")
                && environment.contains("GIT_ALLOW_PROTOCOL=https:http:ssh:file\n")
        );
    }
}

/// Only where this machine says nothing of `ssh`, it is told to ask nobody.
#[tokio::test]
async fn the_ssh_of_this_machines_configuration_is_used() {
    let place = Place::new();
    let ssh = program(place.dir.path(), "echo \"$@\" >> \"$DIR/ssh\"\nexit 255");
    let config = place.dir.path().join("gitconfig");
    fs::write(&config, format!("[core]\n\tsshCommand = {} -o Mine=yes\n", ssh.display())).unwrap();
    let mut options = place.options("cache");
    options.environment = vec![("GIT_CONFIG_GLOBAL".into(), config.into())];
    let address = "git+ssh://git@git.invalid/web.git#sealift".parse().unwrap();
    let error = GitLog::open(address, options, place.public()).await.unwrap_err();
    assert!(matches!(error, LogError::Unreachable { .. }), "{error}");
    let called = fs::read_to_string(place.dir.path().join("ssh")).unwrap();
    assert!(called.contains("-o Mine=yes") && called.contains("git.invalid"), "{called}");
    assert!(!called.contains("BatchMode"), "{called}");
}
