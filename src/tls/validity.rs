//! How long certificates are good for: an expired one is taken by the daemon and refused by its clients, so that somebody has to be
//! told in time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::units;

/// From so long before its end on, a certificate is warned of.
pub const WARNED_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The daemon shows it, or what leads from it to one that clients know.
    Server,
    /// It signs those that clients show.
    ClientCa,
}

impl Purpose {
    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Server => "server",
            Purpose::ClientCa => "client-ca",
        }
    }
}

/// From when to when a certificate is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its file.
    pub path: PathBuf,
    /// Whose it is, as it says.
    pub subject: String,
    /// What it is for.
    pub purpose: Purpose,
    /// When it begins, in seconds since 1970 UTC.
    pub begins: i64,
    /// When it ends, likewise.
    pub ends: i64,
}

impl Validity {
    /// Of each certificate of a file. One that can't be read is left out: it has been looked at by who uses it.
    pub(super) fn of(path: &Path, purpose: Purpose, certificates: &[CertificateDer<'_>]) -> Vec<Validity> {
        let parsed = certificates.iter().filter_map(|der| X509Certificate::from_der(der).ok());
        let of_one = |(_, parsed): (&[u8], X509Certificate<'_>)| Validity {
            path: path.to_owned(),
            subject: parsed.subject().to_string(),
            purpose,
            begins: parsed.validity().not_before.timestamp(),
            ends: parsed.validity().not_after.timestamp(),
        };
        parsed.map(of_one).collect()
    }

    /// Seconds until its end; below 0 behind it.
    pub fn left(&self) -> i64 {
        self.ends.saturating_sub(now())
    }

    /// What is to be said of it; none where all is well.
    pub fn remark(&self) -> Option<String> {
        let left = self.left();
        let what = if self.begins > now() {
            format!("is not valid before {}: who is shown it refuses it", time(self.begins))
        } else if left <= 0 {
            format!("has expired at {}: who is shown it refuses it", time(self.ends))
        } else if left <= i64::try_from(WARNED_BEFORE.as_secs()).unwrap_or(i64::MAX) {
            format!("expires at {}, in {} days", time(self.ends), left / 86_400)
        } else {
            return None;
        };
        Some(format!(
            "{}: the certificate of {:?} {what}; put another there and send SIGHUP",
            self.path.display(),
            self.subject
        ))
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn time(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).map_or_else(|| seconds.to_string(), |time| units::time(time).to_string())
}
