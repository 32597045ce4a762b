//! The attestation as JSON: fields in this order, sets in order, so that the same facts are the same bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attestation, Details, EXTENSION, PASSED, PREDICATE_TYPE, SLSA_VERSION, STATEMENT_TYPE, VERIFIER};
use crate::{
    digest::Digest,
    name::EnvironmentName,
    reference::{Pinned, Repository},
};

/// The algorithm that names a digest.
pub(super) const SHA256: &str = "sha256";
/// The name of the component of the verifier whose version is told.
const PROGRAM: &str = "sealift";

/// What a statement says it is, before anything else of it is looked at.
#[derive(Deserialize)]
pub(super) struct Head {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    pub(super) subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(super) predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate {
    pub(super) verifier: Verifier,
    pub(super) time_verified: Timestamp,
    pub(super) resource_uri: String,
    pub(super) policy: Resource,
    pub(super) input_attestations: Vec<Resource>,
    pub(super) verification_result: String,
    pub(super) verified_levels: Vec<String>,
    pub(super) slsa_version: String,
    /// Named by [`EXTENSION`]; `serde` wants the text here.
    #[serde(rename = "https://sealift.dev/promotion/v1")]
    pub(super) details: Details,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Verifier {
    pub(super) id: String,
    pub(super) version: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) digest: BTreeMap<String, String>,
}

impl Verifier {
    /// The version of the program.
    pub(super) fn program(&self) -> &str {
        self.version.get(PROGRAM).map(String::as_str).unwrap_or_default()
    }
}

/// The address of an image's place for an environment: one repository may serve several of them.
pub(super) fn resource_uri(repository: &Repository, environment: &EnvironmentName) -> String {
    format!("oci://{repository}?environment={environment}")
}

fn set(digest: Digest) -> BTreeMap<String, String> {
    BTreeMap::from([(SHA256.to_owned(), digest.hex())])
}

impl Attestation {
    /// The image's address in the statement, `oci://REPOSITORY?environment=ENVIRONMENT`.
    pub fn resource_uri(&self) -> String {
        resource_uri(&self.image.repository, &self.environment)
    }

    /// The bytes to be signed.
    ///
    /// # Errors
    /// None that is known: the types always serialise.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Pinned { repository, digest } = &self.image;
        let predicate = Predicate {
            verifier: Verifier {
                id: VERIFIER.to_owned(),
                version: BTreeMap::from([(PROGRAM.to_owned(), self.program.clone())]),
            },
            time_verified: self.verified_at,
            resource_uri: self.resource_uri(),
            policy: Resource { digest: set(self.policy) },
            input_attestations: self.inputs.iter().map(|input| Resource { digest: set(*input) }).collect(),
            verification_result: PASSED.to_owned(),
            verified_levels: vec![self.level.name(&self.environment)],
            slsa_version: SLSA_VERSION.to_owned(),
            details: self.details.clone(),
        };
        debug_assert_eq!(EXTENSION, "https://sealift.dev/promotion/v1");
        serde_json::to_vec(&Statement {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject { name: repository.to_string(), digest: set(*digest) }],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        })
    }
}
