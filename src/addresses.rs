//! Limits the connections from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What counts as one address: a whole /64 network for IPv6, since that is usually one customer's.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

/// Addresses with connections.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// Counts a connection from this address; `None` if it already has `max`.
    pub fn admit(&self, address: IpAddr, max: usize) -> Option<AddressSlot> {
        let address = counted(address);
        let mut counts = self.counts();
        let taken = counts.entry(address).or_default();
        if *taken >= max {
            return None;
        }
        *taken += 1;
        Some(AddressSlot { addresses: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // The map is consistent between any two steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of an address; it counts until this is dropped.
#[derive(Debug)]
pub struct AddressSlot {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        if let Some(taken) = counts.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_and_an_address_of_ipv4_are_one_each() {
        let addresses = Addresses::default();
        let admit = |address: &str| addresses.admit(address.parse().unwrap(), 2);
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::ffff:ffff:ffff:ffff").unwrap();
        assert!(admit("2001:db8::2").is_none());
        let _other = admit("2001:db8:0:1::1").unwrap();
        drop(first);
        let _again = admit("2001:db8::3").unwrap();
        let _plain = [admit("192.0.2.1").unwrap(), admit("::ffff:192.0.2.1").unwrap()];
        assert!(admit("192.0.2.1").is_none());
        let _neighbour = admit("192.0.2.2").unwrap();
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let addresses = Addresses::default();
        drop(addresses.admit("192.0.2.1".parse().unwrap(), 1));
        assert!(addresses.counts().is_empty());
    }
}
