//! The `log` setting: a level, or a filter by module.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const TAKES: &str = "takes error, warn, info, debug, trace or off, or a filter like info,dantok_store=debug";

/// The parts of a filter. A comma in brackets is of a span's fields.
fn directives(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let parts = text.split(move |c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim)
}

fn is_level(text: &str) -> bool {
    // An empty text would also parse as a level.
    !text.is_empty() && text.parse::<LevelFilter>().is_ok()
}

/// The crates that log.
const OURS: [&str; 4] = ["dantok", "dantok_net", "dantok_store", "dantok_supervise"];

/// Whether this names one of the daemon's own modules, which are all that log.
fn is_ours(target: &str) -> bool {
    OURS.contains(&target.split_once("::").map_or(target, |(name, _)| name))
}

/// Parses a filter. Unless it sets a default level, errors of all modules are logged, because the daemon's last line says why it
/// ended.
///
/// # Errors
/// It is not a filter, or names no existing module; the message follows the setting's name.
pub(crate) fn parse(text: &str) -> Result<EnvFilter, String> {
    let mut of_all = false;
    for directive in directives(text) {
        let (target, level) = match directive.split_once('[') {
            Some((target, _)) => (target, None),
            None => directive.split_once('=').map_or((directive, None), |(target, level)| (target, Some(level))),
        };
        let is_span = target.is_empty() && directive.starts_with('[');
        of_all |= is_level(directive);
        if !(is_level(directive) || ((is_span || is_ours(target)) && level.is_none_or(is_level))) {
            return Err(TAKES.to_owned());
        }
    }
    let ours = (!of_all).then_some("error");
    let text = ours.into_iter().chain(directives(text)).collect::<Vec<_>>().join(",");
    EnvFilter::try_new(text).map_err(|_| TAKES.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_filter() {
        for text in [
            "info",
            "WARN",
            "off",
            "debug,dantok_store=trace",
            "dantok_store=debug",
            "dantok=info",
            "dantok_store",
            "info, dantok=debug",
            "dantok[connection]=debug",
            "[connection{peer=1}]=debug",
            "2",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            ",",
            "info,",
            "warning",
            "verbose",
            "err",
            "information",
            "all",
            "none",
            "6",
            "-1",
            "debug;info",
            "dantok=verbose",
            "dantok=",
            "=info",
            "info,loud",
            "dantokd=debug",
            "store=debug",
            "info warn",
            "dantok_store=debug=info",
            "dantok:store=debug",
            "[",
            "dantok[=debug",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("dantok_store=debug").unwrap().to_string(), "dantok_store=debug,error");
    }
}
