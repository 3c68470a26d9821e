//! What an operator may change while the daemon runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::limits::{Limits, RETENTION_FLOOR};

/// Settings in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a message is kept, in time that has really elapsed.
    pub retention: Duration,
    /// The bounds.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { retention: RETENTION_FLOOR, limits: Limits::default() }
    }
}

/// The settings for all parts of the daemon. Each asks again to get new ones.
#[derive(Debug, Default)]
pub struct Live(RwLock<Arc<Settings>>, AtomicU64);

impl Live {
    /// Starts with these.
    pub fn new(settings: Settings) -> Live {
        Live(RwLock::new(Arc::new(settings)), AtomicU64::new(0))
    }

    /// What is in effect now.
    pub fn get(&self) -> Arc<Settings> {
        // A panic leaves either the old or the new ones.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts new settings into effect.
    pub fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.1.fetch_add(1, Ordering::Release);
    }

    /// How often the settings have changed. Whoever keeps a part of them asks again when this number changes.
    pub fn changes(&self) -> u64 {
        self.1.load(Ordering::Acquire)
    }

    /// How long a message is kept, now.
    pub fn retention(&self) -> Duration {
        self.0.read().unwrap_or_else(PoisonError::into_inner).retention
    }
}
