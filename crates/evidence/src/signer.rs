//! Having signatures made by OpenSSH's `ssh-keygen`, so that private keys stay where they are: in files with a
//! passphrase, in an agent, in a FIDO security key.

use std::{
    ffi::OsString,
    io::{ErrorKind, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use crate::sshsig::{self, SshsigError};

/// The most of `ssh-keygen`'s complaint that is told, in characters.
const COMPLAINT_CHARS: usize = 500;

/// Where `ssh-keygen` tells people what it needs of them.
///
/// A passphrase is asked for on the controlling terminal (`/dev/tty`) in both cases. The wish to touch a security key
/// is written to standard error, and only if that is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialogue {
    /// `ssh-keygen` gets this process's standard error. For people at a terminal; [`SignError::Refused`] then has no
    /// complaint, because the person has already read it.
    Terminal,
    /// Standard error is captured, and told in [`SignError::Refused`].
    Captured,
}

/// Makes signatures with one `ssh-keygen`.
#[derive(Clone, Debug)]
pub struct Signer {
    program: OsString,
    dialogue: Dialogue,
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is no such program.
    #[error("`{0}` is not installed: it comes with the OpenSSH client (8.1 or newer is needed)")]
    NoProgram(String),
    /// The program could not be run to its end.
    #[error("`{program}` could not be run: {source}")]
    Io {
        /// The program.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// `ssh-keygen` did not sign: a wrong passphrase, no such key, no agent that holds it, a security key not touched.
    #[error("`ssh-keygen` did not sign with {key}{complaint}")]
    Refused {
        /// The key file.
        key: String,
        /// What it wrote, after `: `; empty if that went to the terminal.
        complaint: String,
    },
    /// What it wrote is not a signature over the message by the key that it names.
    #[error("`ssh-keygen` wrote something else than a right signature: {0}")]
    Wrong(#[from] SshsigError),
}

impl Default for Signer {
    /// `ssh-keygen` from the search path, with its errors captured.
    fn default() -> Self {
        Self::new("ssh-keygen", Dialogue::Captured)
    }
}

impl Signer {
    /// A signer that runs `program`.
    pub fn new(program: impl Into<OsString>, dialogue: Dialogue) -> Self {
        Self { program: program.into(), dialogue }
    }

    /// Signs `message` for `namespace` and returns the armoured signature.
    ///
    /// `key` is a private key file, or a public key file if an agent holds the private key. The call blocks as long as
    /// the person takes to type a passphrase or to touch a key. The signature is verified before it is returned.
    ///
    /// # Errors
    /// [`SignError`] says why there is no signature.
    pub fn sign(&self, namespace: &str, key: &Path, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let output = self.run(namespace, key, message)?;
        if !output.status.success() {
            return Err(SignError::Refused { key: key.display().to_string(), complaint: complaint(&output.stderr) });
        }
        let claimed = sshsig::key_of(&output.stdout)?;
        sshsig::verify(&claimed.openssh, namespace, message, &output.stdout)?;
        Ok(output.stdout)
    }

    fn run(&self, namespace: &str, key: &Path, message: &[u8]) -> Result<Output, SignError> {
        let mut command = Command::new(&self.program);
        // Without a file to sign it reads standard input and writes the signature to standard output.
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key);
        command.env_remove("SEALIFT_PROMOTION_KEY").env_remove("SEALIFT_WRITER_KEY");
        command.env_remove("SEALIFT_LOG_KEY").env_remove("SEALIFT_GIT_TOKEN");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(match self.dialogue {
            Dialogue::Terminal => Stdio::inherit(),
            Dialogue::Captured => Stdio::piped(),
        });
        let child = command.spawn().map_err(|e| self.failed(e))?;
        feed(child, message).map_err(|e| self.failed(e))
    }

    fn failed(&self, source: std::io::Error) -> SignError {
        let program = self.program.to_string_lossy().into_owned();
        match source.kind() {
            ErrorKind::NotFound => SignError::NoProgram(program),
            _ => SignError::Io { program, source },
        }
    }
}

// Writing from a thread of its own keeps both sides moving, whatever they write first.
fn feed(mut child: Child, message: &[u8]) -> std::io::Result<Output> {
    let input = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends without reading everything says why by its exit status.
            let _ = input.map(|mut input| input.write_all(message));
        });
        child.wait_with_output()
    })
}

fn complaint(written: &[u8]) -> String {
    let text = String::from_utf8_lossy(written).replace(|c: char| c.is_control(), " ");
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(COMPLAINT_CHARS).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told() {
        let signer = Signer::new("/nonexistent/ssh-keygen", Dialogue::Captured);
        let error = signer.sign("n", Path::new("key"), b"m").unwrap_err();
        assert!(matches!(error, SignError::NoProgram(_)), "{error:?}");
        assert!(error.to_string().contains("is not installed"));
    }

    #[test]
    fn a_program_that_reads_nothing_and_writes_nothing_is_told() {
        let error = Signer::new("true", Dialogue::Captured).sign("n", Path::new("key"), &[0; 1_000_000]).unwrap_err();
        assert!(matches!(error, SignError::Wrong(SshsigError::NotASignature(_))), "{error:?}");
        let error = Signer::new("false", Dialogue::Captured).sign("n", Path::new("key"), b"m").unwrap_err();
        assert_eq!(error.to_string(), "`ssh-keygen` did not sign with key");
    }

    #[test]
    fn a_complaint_is_one_bounded_line() {
        assert_eq!(complaint(b"a\r\n\x1b[1mb\n"), ": a [1mb");
        assert_eq!(complaint(b" \n"), "");
        assert_eq!(complaint(&[b'x'; 9999]).len(), 502);
    }
}
