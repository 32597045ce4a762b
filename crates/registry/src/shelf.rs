//! Values by key, each with a lock of its own that may be held while waiting for the network.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Mutex as AsyncMutex;

/// The values.
pub(crate) struct Shelf<K, V>(Mutex<HashMap<K, Arc<AsyncMutex<V>>>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Default> Shelf<K, V> {
    /// The value of a key, made when it is first asked for.
    pub(crate) fn place(&self, key: K) -> Arc<AsyncMutex<V>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }

    /// Forgets the value of a key.
    pub(crate) fn remove(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
