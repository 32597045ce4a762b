//! The flags that say how registries are reached, for commands that need no configuration.

use std::path::{Path, PathBuf};

use sealift_registry::client::is_host;

use crate::{
    config::Registries,
    diagnostic::Diagnostic,
    failure,
    shell::Shell,
    tls_files::{self, Part, Unusable},
};

/// How registries are reached.
#[derive(clap::Args)]
pub struct RegistryFlags {
    /// A host that speaks plain HTTP. Hosts of this machine need not be named.
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
    /// Certificate authorities to trust beside the system's, PEM.
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<PathBuf>,
    /// The certificate to show to registries that ask for one, PEM.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The private key of that certificate, PEM without a passphrase.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Another registry that has the same bytes, to be asked first for what has a digest.
    #[arg(long, value_name = "HOST=MIRROR", value_parser = mirror)]
    mirror: Vec<(String, String)>,
}

fn mirror(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((host, mirror)) if is_host(host) && is_host(mirror) => Ok((host.to_owned(), mirror.to_owned())),
        _ => Err("write two hosts, for instance `docker.io=mirror.local:5000`".to_owned()),
    }
}

impl RegistryFlags {
    /// What the flags say, before and beside what is `configured`. The files that they name are read.
    ///
    /// # Errors
    /// E0101 for a file that cannot be read, E0002 for one that is not what it must be.
    pub(super) fn over(&self, configured: Registries, shell: &Shell) -> Result<Registries, Diagnostic> {
        let mut registries = configured;
        registries.plain_http.extend(self.plain_http.iter().cloned());
        for file in &self.ca_file {
            let read = tls_files::authorities(&shell.resolve(file));
            registries.authorities.push(read.map_err(|why| unusable("--ca-file", file, why))?);
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            let read = tls_files::identity(&shell.resolve(certificate), &shell.resolve(key));
            registries.identity = Some(read.map_err(|(part, why)| match part {
                Part::Certificates => unusable("--client-cert", certificate, why),
                Part::Key => unusable("--client-key", key, why),
            })?);
        }
        for (host, mirror) in self.mirror.iter().rev() {
            registries.mirrors.entry(host.clone()).or_default().insert(0, mirror.clone());
        }
        Ok(registries)
    }
}

fn unusable(flag: &str, file: &Path, why: Unusable) -> Diagnostic {
    let file = file.display();
    match why {
        Unusable::Unreadable(why) => Diagnostic::new("E0101", format!("cannot read {file}: {why}"))
            .state("nothing was changed")
            .next(format!("name a file in PEM: `{flag} FILE`")),
        Unusable::Wrong(why) => {
            failure::usage(format!("{file} cannot be used: {why}")).next(format!("name a file in PEM: `{flag} FILE`"))
        }
    }
}
