//! Whether the daemon is alive, and whether it is ready.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
#[cfg(feature = "metrics")]
use std::time::SystemTime;

use tokio::time::timeout;

use crate::hub::Hub;
use crate::liveness::Liveness;

/// How long a commit that proves the daemon alive may take.
const PROVEN_WITHIN: Duration = Duration::from_secs(5);

/// A daemon that is monitored. Until its hub is [set](Watched::set_hub), it is opening its store. Monitoring does not keep it running.
#[derive(Debug)]
pub struct Watched {
    /// Kept rather than computed each time, because it must change only at a restart.
    #[cfg(feature = "metrics")]
    pub(crate) started: SystemTime,
    opened: OnceLock<(Weak<Hub>, Liveness)>,
    #[cfg(all(feature = "metrics", feature = "tls"))]
    tls: OnceLock<Arc<crate::tls::Server>>,
}

impl Default for Watched {
    fn default() -> Watched {
        Watched {
            #[cfg(feature = "metrics")]
            started: SystemTime::now(),
            opened: OnceLock::new(),
            #[cfg(all(feature = "metrics", feature = "tls"))]
            tls: OnceLock::new(),
        }
    }
}

impl Watched {
    /// Call when the store is open.
    pub fn set_hub(&self, hub: &Arc<Hub>) {
        // Only the first call counts.
        let _ = self.opened.set((Arc::downgrade(hub), Liveness::new(hub)));
    }

    /// Shows from now on when these certificates expire.
    #[cfg(all(feature = "metrics", feature = "tls"))]
    pub fn show_certificates(&self, tls: Option<&Arc<crate::tls::Server>>) {
        if let Some(tls) = tls {
            let _ = self.tls.set(tls.clone());
        }
    }

    /// For each purpose, how many seconds remain until the first of its certificates expires.
    #[cfg(all(feature = "metrics", feature = "tls"))]
    pub(crate) fn certificates(&self) -> Vec<(&'static str, f64)> {
        use crate::tls::Purpose;
        let validities = self.tls.get().map(|tls| tls.validities()).unwrap_or_default();
        let first = |purpose: Purpose| {
            let left = validities.iter().filter(|one| one.purpose == purpose).map(|one| one.left()).min()?;
            Some((purpose.as_str(), left as f64))
        };
        [Purpose::Server, Purpose::ClientCa].into_iter().filter_map(first).collect()
    }

    /// The hub while it is served.
    pub(crate) fn hub(&self) -> Option<Arc<Hub>> {
        self.opened.get()?.0.upgrade()
    }

    /// Whether commits reach the disk.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(crate) async fn alive(&self) -> Result<(), String> {
        // A daemon that is opening or closing its store is alive.
        let Some((hub, liveness)) = self.opened.get().filter(|(hub, _)| hub.strong_count() > 0) else { return Ok(()) };
        match timeout(PROVEN_WITHIN, liveness.proven()).await {
            Ok(Err(why)) if hub.strong_count() > 0 => Err(format!("nothing is written any more: {why}")),
            Ok(_) => Ok(()),
            Err(_) => Err(format!("no commit has completed for {} s", PROVEN_WITHIN.as_secs())),
        }
    }

    /// Whether clients are served and their writes accepted.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let Some(hub) = self.hub() else {
            let why = if self.opened.get().is_some() { "the daemon is stopping" } else { "the store is opening" };
            return Err(why.to_owned());
        };
        if let Some(why) = hub.store.failure().get() {
            return Err(format!("the store has failed: {why}"));
        }
        if hub.stopping.is_cancelled() {
            return Err("the daemon is stopping".to_owned());
        }
        if hub.store.is_short_of_space() {
            return Err("the disk is nearly full: writes are refused until there is room".to_owned());
        }
        Ok(())
    }
}
