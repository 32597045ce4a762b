//! Certificates for a day, made by OpenSSL.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What every key is.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority with a directory for what it issues.
pub(crate) struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// A new authority in `directory`, which is created.
    pub(crate) fn new(directory: PathBuf) -> Self {
        std::fs::create_dir(&directory).unwrap();
        let subject = format!("/CN=authority in {}", directory.file_name().unwrap().display());
        let own = ["-x509", "-days", "1", "-subj", &subject, "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&directory, &[&["req"], &KEY[..], &own].concat());
        Self { directory }
    }

    /// Its own certificate, or what it has issued, by file name.
    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Issues `NAME.pem` with `NAME.key`, for a server of that host name and for a client.
    pub(crate) fn issue(&self, name: &str) {
        let (key, request, subject) = (format!("{name}.key"), format!("{name}.csr"), format!("/CN={name}"));
        openssl(
            &self.directory,
            &[&["req"], &KEY[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat(),
        );
        let extensions = format!(
            "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n"
        );
        std::fs::write(self.directory.join("extensions"), extensions).unwrap();
        let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1"];
        let certificate = format!("{name}.pem");
        openssl(
            &self.directory,
            &[&sign[..], &["-days", "1", "-extfile", "extensions", "-out", &certificate]].concat(),
        );
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}
