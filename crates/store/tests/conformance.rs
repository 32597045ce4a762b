//! SQLite passes the suite that every store must pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
)]

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Log, LogError};
use sealift_store::{
    conformance::{self, Fixture},
    key::{Keyring, SigningKey, VerifierKey},
    sqlite::SqliteLog,
};

struct Sqlite {
    dir: tempfile::TempDir,
    secret: String,
}

impl Sqlite {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("log.example/shop").unwrap();
        let secret = key.secret_text().unwrap();
        let fixture = Self { dir, secret };
        SqliteLog::create(&fixture.path(), key).unwrap();
        fixture
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log.db")
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_text(&self.secret).unwrap()
    }
}

#[async_trait]
impl Fixture for Sqlite {
    async fn writer(&self) -> Result<Arc<dyn Log>, LogError> {
        Ok(Arc::new(SqliteLog::open(&self.path(), Keyring::writer(self.key()))?))
    }

    async fn reader(&self) -> Result<Arc<dyn Log>, LogError> {
        Ok(Arc::new(SqliteLog::open(&self.path(), Keyring::reader(self.verifier()))?))
    }

    fn verifier(&self) -> VerifierKey {
        self.key().verifier().clone()
    }

    async fn erase(&self, digest: Digest) -> Result<bool, LogError> {
        SqliteLog::open(&self.path(), Keyring::writer(self.key()))?.erase_object(digest)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_does_what_every_store_must_do() {
    conformance::all(|| Arc::new(Sqlite::new())).await.unwrap();
}
