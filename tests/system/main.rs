//! What takes systemd or root: units, services, small disks, other hosts. What this machine has not, or does not let its user do, is
//! said and skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod booted;
#[allow(dead_code)] // These use a part of it.
#[path = "../it/common/mod.rs"]
mod common;
mod disks;
mod network;
mod units;
