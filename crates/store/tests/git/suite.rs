//! The suite that every store passes.

use std::sync::Arc;

use sealift_store::conformance;

use crate::fixture::{Place, Suite};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_branch_does_what_every_store_must_do() {
    conformance::all(|| Arc::new(Suite::new(Place::new(), false))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_branch_that_is_not_filtered_does_it_too() {
    conformance::all(|| Arc::new(Suite::new(Place::without_filter(), false))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_that_share_only_the_branch_do_it_too() {
    conformance::all(|| Arc::new(Suite::new(Place::new(), true))).await.unwrap();
}
