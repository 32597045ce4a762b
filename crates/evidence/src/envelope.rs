//! The wire format of SSH signatures: OpenSSH's `PROTOCOL.sshsig`, in the encoding of RFC 4251 section 5.

use base64::{Engine, engine::general_purpose::STANDARD};
use ssh_key::HashAlg;

use crate::sshsig::SshsigError;

/// The most bytes of armoured text that are read. A signature of the largest RSA key takes about 2 KiB.
pub(crate) const ARMOUR_LIMIT: usize = 16 * 1024;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// The parts of a signature, none of them believed yet.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The key that is said to have signed, encoded.
    pub(crate) public_key: Vec<u8>,
    /// What the signature is for.
    pub(crate) namespace: String,
    /// The hash of the message that was signed.
    pub(crate) hash: HashAlg,
    /// The name of the signature algorithm.
    pub(crate) algorithm: String,
    /// The signature itself, as the algorithm has it.
    pub(crate) signature: Vec<u8>,
    /// What follows the signature: flags and counter of a security key.
    pub(crate) trailer: Vec<u8>,
}

impl Envelope {
    /// Reads an armoured signature.
    pub(crate) fn read(armoured: &[u8]) -> Result<Self, SshsigError> {
        let bytes = unarmour(armoured)?;
        let mut fields = Fields(bytes.strip_prefix(MAGIC).ok_or(SshsigError::NotASignature("it has another format"))?);
        let version = fields.number()?;
        if version != VERSION {
            return Err(SshsigError::Unsupported(format!("version {version} of the SSH signature format")));
        }
        let public_key = fields.string()?.to_vec();
        let namespace = fields.text()?;
        // Reserved for later versions; not part of what is signed, and ignored as the format's description says.
        fields.string()?;
        let hash = fields.text()?;
        let mut signature = Fields(fields.string()?);
        fields.end()?;
        if namespace.is_empty() {
            return Err(SshsigError::NotASignature("its namespace is empty"));
        }
        let hash = match hash.as_str() {
            "sha256" => HashAlg::Sha256,
            "sha512" => HashAlg::Sha512,
            _ => return Err(SshsigError::Unsupported(format!("the hash algorithm `{}`", hash.escape_debug()))),
        };
        let (algorithm, bytes) = (signature.text()?, signature.string()?.to_vec());
        let trailer = signature.0.to_vec();
        Ok(Self { public_key, namespace, hash, algorithm, signature: bytes, trailer })
    }

    /// The type that the key names itself, if so much can be read of it.
    pub(crate) fn key_type(&self) -> Option<String> {
        Fields(&self.public_key).text().ok()
    }
}

fn unarmour(armoured: &[u8]) -> Result<Vec<u8>, SshsigError> {
    if armoured.len() > ARMOUR_LIMIT {
        return Err(SshsigError::NotASignature("it is longer than 16 KiB"));
    }
    let text = std::str::from_utf8(armoured).map_err(|_| SshsigError::NotASignature("it is not text"))?;
    let body = text.trim().strip_prefix(BEGIN).ok_or(SshsigError::NotASignature("its first line is another"))?;
    let body = body.strip_suffix(END).ok_or(SshsigError::NotASignature("its last line is missing"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| SshsigError::NotASignature("its lines are not base64"))
}

// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32, SshsigError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], SshsigError> {
        let length = usize::try_from(self.number()?).map_err(|_| TRUNCATED)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(string)
    }

    fn text(&mut self) -> Result<String, SshsigError> {
        let text = std::str::from_utf8(self.string()?);
        text.map(str::to_owned).map_err(|_| SshsigError::NotASignature("one of its names is not UTF-8"))
    }

    fn end(&self) -> Result<(), SshsigError> {
        if self.0.is_empty() { Ok(()) } else { Err(SshsigError::NotASignature("something follows it")) }
    }
}

const TRUNCATED: SshsigError = SshsigError::NotASignature("it ends too early");
