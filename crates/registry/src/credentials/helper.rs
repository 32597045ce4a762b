//! Credential helpers: `docker-credential-<name> get`, the protocol of docker-credential-helpers.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use super::Credential;
use crate::{error::printable, secret::Secret};

/// The longest answer of a helper, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the credential of `server`; `None` if it has none.
pub(super) async fn get(
    directories: &[PathBuf],
    name: &str,
    server: &str,
    timeout: Duration,
) -> Result<Option<Credential>, String> {
    let program = find(directories, name)?;
    let fails = |why: String| format!("{} {why}", program.display());
    let mut child = Command::new(&program)
        .arg("get")
        .env_remove("SEALIFT_PROMOTION_KEY")
        .env_remove("SEALIFT_WRITER_KEY")
        .env_remove("SEALIFT_LOG_KEY")
        .env_remove("SEALIFT_GIT_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| fails(format!("cannot be started: {why}")))?;
    let (succeeded, answer) = match tokio::time::timeout(timeout, converse(&mut child, server)).await {
        Ok(result) => result.map_err(|why| fails(format!("failed: {why}")))?,
        Err(_) => return Err(fails(format!("did not answer within {} s", timeout.as_secs_f32()))),
    };
    if !succeeded {
        // The protocol's only way to say "nothing stored" is this text and a failing exit status.
        let text = String::from_utf8_lossy(&answer);
        let unknown = text.contains("credentials not found in native keychain");
        return if unknown { Ok(None) } else { Err(fails(format!("failed: {}", printable(text.trim())))) };
    }
    let Ok(Answer { username, secret }) = serde_json::from_slice(&answer) else {
        return Err(fails("answered with something else than a user and a secret".to_owned()));
    };
    Ok(Some(match username.as_str() {
        "<token>" => Credential::IdentityToken(Secret::new(secret)),
        _ => Credential::Password { user: username, password: Secret::new(secret) },
    }))
}

fn find(directories: &[PathBuf], name: &str) -> Result<PathBuf, String> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain {
        return Err(format!("`{}` is not the name of a credential helper", printable(name)));
    }
    let program = format!("docker-credential-{name}");
    let candidates =
        directories.iter().filter(|directory| directory.is_absolute()).map(|directory| directory.join(&program));
    candidates.into_iter().find(|path: &PathBuf| Path::is_file(path)).ok_or_else(|| format!("{program} is not in PATH"))
}

async fn converse(child: &mut Child, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
    if let Some(mut input) = child.stdin.take() {
        // A helper that answers without reading closes the pipe early; its answer counts all the same.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?.success(), answer))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn helper(directory: &Path, script: &str) {
        let path = directory.join("docker-credential-test");
        // Written elsewhere and renamed: a file that is open for writing cannot be executed.
        let draft = directory.join("draft");
        std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    }

    async fn ask(script: &str, timeout: Duration) -> Result<Option<Credential>, String> {
        let directory = tempfile::tempdir().unwrap();
        helper(directory.path(), script);
        let directories = [directory.path().to_owned()];
        loop {
            let answer = get(&directories, "test", "r.example", timeout).await;
            // Another test's fork may still hold the script open for writing for a moment (ETXTBSY).
            match answer {
                Err(why) if why.contains("os error 26") => tokio::task::yield_now().await,
                other => return other,
            }
        }
    }

    #[tokio::test]
    async fn a_helper_is_asked_with_get_and_the_server() {
        let long = Duration::from_secs(20);
        let script = r#"read -r server || true; printf '{"ServerURL":"%s","Username":"%s","Secret":"s"}' "$server" "$1-$server""#;
        let user = "get-r.example".to_owned();
        assert_eq!(ask(script, long).await.unwrap(), Some(Credential::Password { user, password: Secret::new("s") }));
        let token = r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"r"}'"#;
        assert_eq!(ask(token, long).await.unwrap(), Some(Credential::IdentityToken(Secret::new("r"))));
    }

    #[tokio::test]
    async fn a_helper_without_the_credential_is_not_a_failure_and_others_are() {
        let long = Duration::from_secs(20);
        let script = "echo 'credentials not found in native keychain'; exit 1";
        assert_eq!(ask(script, long).await.unwrap(), None);
        assert!(ask("echo locked; exit 1", long).await.unwrap_err().contains("failed: locked"));
        assert!(ask("echo hello", long).await.unwrap_err().contains("something else"));
        let hanging = ask("exec tail -f /dev/null", Duration::from_millis(50)).await.unwrap_err();
        assert!(hanging.contains("did not answer"), "{hanging}");
    }

    #[tokio::test]
    async fn a_name_is_not_a_path() {
        for name in ["", "../evil", "a b", "x;y"] {
            assert!(find(&["/usr/bin".into()], name).unwrap_err().contains("not the name"), "{name}");
        }
        assert!(find(&["/usr/bin".into()], "surely-not-here").unwrap_err().contains("not in PATH"));
    }
}
