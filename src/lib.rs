//! dantok: durable rooms over TCP.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod limits;
pub mod protocol;
