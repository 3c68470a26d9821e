//! Settings that limit a single client.

use super::Setting;
use super::table::one;
use dantok_protocol::units;

const HEADING: &str = "Limits";

/// More than one client can send.
const REQUESTS_MAX: u32 = 1_000_000;

/// Parses a count, where 0 means no limit.
fn count(values: &[String]) -> Result<usize, String> {
    one(values)?.parse().map_err(|_| "takes a whole number; 0 means no limit".to_owned())
}

pub(super) const CONNECTIONS: Setting = Setting {
    name: "max-connections-per-address",
    value: "N",
    heading: HEADING,
    help: "Connections at once from one address (IPv6: from one /64 network); 0 means no limit",
    many: false,
    switch: false,
    parse: |config, values| {
        config.limits.connections_per_address_max = count(values)?;
        Ok(())
    },
    show: |config| config.limits.connections_per_address_max.to_string(),
};

pub(super) const ROOMS: Setting = Setting {
    name: "max-rooms-per-client",
    value: "N",
    heading: HEADING,
    help: "Rooms that one client may own, over all its devices, unless it is an admin; 0 means no limit",
    many: false,
    switch: false,
    parse: |config, values| {
        config.limits.rooms_of_person_max = count(values)?;
        Ok(())
    },
    show: |config| config.limits.rooms_of_person_max.to_string(),
};

pub(super) const REQUESTS: Setting = Setting {
    name: "max-requests-per-second",
    value: "N",
    heading: HEADING,
    help: "Requests a second of one client, over all its devices and connections; 0 means no limit",
    many: false,
    switch: false,
    parse: |config, values| {
        let parsed = one(values)?.parse().ok().filter(|value| *value <= REQUESTS_MAX);
        let parsed = parsed.ok_or_else(|| format!("takes a whole number up to {REQUESTS_MAX}; 0 means no limit"));
        parsed.map(|value| config.limits.requests_per_second = value)
    },
    show: |config| config.limits.requests_per_second.to_string(),
};

pub(super) const BYTES: Setting = Setting {
    name: "max-bytes-per-second",
    value: "SIZE",
    heading: HEADING,
    help: "Bytes of messages a second sent by one client, over all its devices and connections, like 1MiB; 0 means no limit",
    many: false,
    switch: false,
    parse: |config, values| {
        let parsed = units::size(one(values)?).ok().filter(|bytes| *bytes <= BYTES_MAX);
        let parsed = parsed.ok_or_else(|| "takes a size up to 1TiB, like 1MiB or 1048576; 0 means no limit".to_owned());
        parsed.map(|bytes| config.limits.bytes_per_second = bytes)
    },
    show: |config| config.limits.bytes_per_second.to_string(),
};

/// More than any disk can write, and small enough to calculate with.
const BYTES_MAX: u64 = 1 << 40;
