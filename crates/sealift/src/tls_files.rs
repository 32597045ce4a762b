//! The files that TLS with registries needs, named by flags or by the configuration.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use sealift_registry::{
    secret::Secret,
    tls::{ClientIdentity, IdentityFault, check_authorities},
};

/// The largest file that is read, in bytes. All authorities of a system together have about 250 kB.
const MAX_BYTES: usize = 1 << 20;

/// Which of two files of an identity is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificates.
    Certificates,
    /// The private key.
    Key,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It cannot be read.
    Unreadable(String),
    /// It is not what it must be.
    Wrong(String),
}

/// The contents of a file of at most `max` bytes.
///
/// # Errors
/// It cannot be read, is no file or is larger.
pub fn read(path: &Path, max: usize) -> Result<Vec<u8>, String> {
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(|why| why.to_string())?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|why| why.to_string())?;
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|why| why.to_string())?;
    if bytes.len() > max { Err(format!("it is larger than {max} bytes")) } else { Ok(bytes) }
}

/// Certificate authorities, PEM.
///
/// # Errors
/// The file cannot be read, or has no certificate or a damaged one.
pub fn authorities(path: &Path) -> Result<Vec<u8>, Unusable> {
    let pem = read(path, MAX_BYTES).map_err(Unusable::Unreadable)?;
    check_authorities(&pem).map_err(Unusable::Wrong)?;
    Ok(pem)
}

/// A client's certificates and its private key, PEM.
///
/// # Errors
/// Which of the files cannot be used, and why.
pub fn identity(certificates: &Path, key: &Path) -> Result<ClientIdentity, (Part, Unusable)> {
    let text = |part, path| read(path, MAX_BYTES).map_err(|why| (part, Unusable::Unreadable(why)));
    let chain = text(Part::Certificates, certificates)?;
    let key = String::from_utf8(text(Part::Key, key)?)
        .map_err(|_| (Part::Key, Unusable::Wrong("it is not text".to_owned())))?;
    ClientIdentity::new(chain, Secret::new(key)).map_err(|fault| match fault {
        IdentityFault::Certificates(why) => (Part::Certificates, Unusable::Wrong(why)),
        IdentityFault::Key(why) => (Part::Key, Unusable::Wrong(why)),
    })
}
