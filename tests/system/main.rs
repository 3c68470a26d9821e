//! Tests that need systemd or root: units, services, small disks, other hosts. If the machine lacks something or does
//! not permit it, the test says so and is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod booted;
#[allow(dead_code)] // These use a part of it.
#[path = "../it/common/mod.rs"]
mod common;
mod disks;
mod network;
mod units;
