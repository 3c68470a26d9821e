//! The validity of certificates. The daemon loads an expired certificate and its clients refuse it, so the operator has to be warned in
//! time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use dantok_protocol::units;

/// How long before it expires to warn of a certificate.
const WARNED_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is in the daemon's own certificate chain.
    Server,
    /// It is an authority for client certificates.
    ClientCa,
}

impl Purpose {
    /// The purpose as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Server => "server",
            Purpose::ClientCa => "client-ca",
        }
    }
}

/// The time for which a certificate is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its file.
    pub path: PathBuf,
    /// Its subject.
    pub subject: String,
    /// What it is for.
    pub purpose: Purpose,
    /// When it becomes valid, in seconds since 1970 UTC.
    pub begins: i64,
    /// When it expires, likewise.
    pub ends: i64,
}

impl Validity {
    /// The validity of each certificate of a file. One that can't be parsed is left out; what uses the certificate reports that.
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

    /// Seconds until it expires; below 0 afterwards.
    pub fn left(&self) -> i64 {
        self.ends.saturating_sub(now())
    }

    /// A warning about it; `None` if all is well.
    pub fn warning(&self) -> Option<String> {
        self.warning_at(now())
    }

    /// The warning at a time, in seconds since 1970 UTC.
    fn warning_at(&self, now: i64) -> Option<String> {
        let left = self.ends.saturating_sub(now);
        let what = if self.begins > now {
            format!("is not valid before {}: it will be refused", time(self.begins))
        } else if left <= 0 {
            format!("expired at {}: it will be refused", time(self.ends))
        } else if left <= i64::try_from(WARNED_BEFORE.as_secs()).unwrap_or(i64::MAX) {
            let when = match left / 86_400 {
                0 => "in less than a day".to_owned(),
                1 => "in 1 day".to_owned(),
                days => format!("in {days} days"),
            };
            format!("expires at {}, {when}", time(self.ends))
        } else {
            return None;
        };
        Some(format!(
            "{}: the certificate of {:?} {what}; replace it and send SIGHUP",
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::super::{Files, validities};
    use super::*;

    const DAY: i64 = 86_400;

    /// Writes a self-signed certificate that is valid for 2030. Returns when it expires.
    fn write(path: &Path, is_ca: bool) -> i64 {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2030, 1, 1), rcgen::date_time_ymd(2031, 1, 1));
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        std::fs::write(path, made.pem()).unwrap();
        params.not_after.unix_timestamp()
    }

    #[test]
    fn fourteen_days_before_its_end_a_certificate_is_warned_of_and_so_is_the_client_ca() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, ca) = (dir.path().join("cert.pem"), dir.path().join("ca.pem"));
        let ends = write(&cert, false);
        assert_eq!(write(&ca, true), ends);
        let files = Files { cert: cert.clone(), key: dir.path().join("key.pem"), client_ca: Some(ca.clone()) };
        let found = validities(&files).unwrap();
        assert_eq!(found.iter().map(|one| one.purpose).collect::<Vec<_>>(), [Purpose::Server, Purpose::ClientCa]);
        for (one, path) in found.iter().zip([&cert, &ca]) {
            assert_eq!((one.ends, &one.path), (ends, path));
            for (now, expected) in [
                (one.begins - 1, Some("is not valid before 2030-01-01T00:00:00")),
                (one.begins, None),
                (ends - 14 * DAY - 1, None),
                (ends - 14 * DAY, Some("expires at 2031-01-01T00:00:00")),
                (ends - 14 * DAY, Some(", in 14 days; replace it")),
                (ends - DAY, Some(", in 1 day;")),
                (ends - 1, Some(", in less than a day;")),
                (ends, Some("expired at 2031-01-01T00:00:00")),
                (i64::MAX, Some("expired at 2031-01-01T00:00:00")),
            ] {
                let warning = one.warning_at(now);
                match expected {
                    None => assert_eq!(warning, None, "{now}"),
                    Some(expected) => {
                        let warning = warning.unwrap_or_else(|| panic!("nothing at {now}"));
                        assert!(
                            warning.starts_with(&path.display().to_string()) && warning.contains(expected),
                            "{warning}"
                        );
                    }
                }
            }
        }
    }
}
