//! Parses addresses to listen on.

const TAKES: &str = "takes an address and a port, like 127.0.0.1:7420, [::1]:7420 or chat.example.org:7420; or none";

/// Parses values that may have several addresses, separated by commas. `none` alone means no address.
///
/// # Errors
/// One of them can't be an address. The message follows the setting's name.
pub(super) fn list(values: &[String]) -> Result<Vec<String>, String> {
    let parts = || values.iter().flat_map(|value| value.split(',')).map(str::trim);
    if parts().eq(["none"]) {
        return Ok(Vec::new());
    }
    parts().map(|part| if is_address(part) { Ok(part.to_owned()) } else { Err(TAKES.to_owned()) }).collect()
}

/// Whether it is an address with a port, or could be a host name with a port. The name is resolved later.
fn is_address(text: &str) -> bool {
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port && is_host(host)
}

/// Whether it could be a host name. IP addresses are not.
pub(super) fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(is_taken)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // Host names do not end in a number; this is a malformed address.
    let last = host.rsplit('.').next().unwrap_or_default();
    host.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_listened_on() {
        for text in [
            "127.0.0.1:7420",
            "[::]:0",
            "[fe80::1%2]:7420",
            "localhost:7420",
            "chat.example.org.:1",
            "a:1",
            "db_1:65535",
        ] {
            assert!(is_address(text), "{text}");
        }
        for text in [
            "",
            "7420",
            ":7420",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "127.0.0.1:+1",
            "256.0.0.1:1",
            "1.2.3:1",
            "::1:7420",
            "[::1]",
            "[::1:7420",
            "localhost:http",
            "a b:1",
            "-a:1",
            "a..b:1",
            "*:7420",
            "tcp://127.0.0.1:7420",
            "/run/dantok.sock",
            "none:",
            "[localhost]:1",
            "안녕:1",
        ] {
            assert!(!is_address(text), "{text}");
        }
        let list = |values: &[&str]| list(&values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>());
        assert_eq!(list(&[]), Ok(vec![]));
        assert_eq!(list(&["none"]), Ok(vec![]));
        assert_eq!(list(&["a:1, b:2", "c:3"]), Ok(["a:1", "b:2", "c:3"].map(str::to_owned).to_vec()));
        for values in [&[""][..], &["a:1,"], &["none", "a:1"], &["a:1", ""]] {
            assert!(list(values).is_err(), "{values:?}");
        }
    }
}
