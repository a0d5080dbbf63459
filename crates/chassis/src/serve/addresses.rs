//! How many connections each client has.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

/// Connections by address, so that one client cannot take the room of all others.
#[derive(Clone)]
pub(super) struct Addresses {
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// One connection's place among those of its address.
pub(super) struct Place {
    addresses: Addresses,
    address: IpAddr,
    /// As how many connections it counts.
    weight: usize,
}

impl Addresses {
    pub(super) fn new(max: usize) -> Self {
        let connections = Arc::default();
        Self { connections, max }
    }

    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut connections = self.lock();
        let count = connections.entry(address).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        let addresses = self.clone();
        Some(Place {
            addresses,
            address,
            weight: 1,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics between two changes that belong together.
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts as so many connections from now on, and is given back only after this time.
    pub(super) fn keep(mut self, time: Duration, weight: usize) {
        if let Some(count) = self.addresses.lock().get_mut(&self.address) {
            *count += weight - self.weight;
        }
        self.weight = weight;
        tokio::spawn(async move {
            sleep(time).await;
            drop(self);
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.addresses.lock().entry(self.address) {
            *count.get_mut() -= self.weight;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What one client has at its disposal: who has one IPv6 address has its whole /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_network() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_kept_counts_as_several_until_then() {
        let addresses = Addresses::new(10);
        let address = "10.0.0.1".parse().unwrap();
        let place = addresses.enter(address).unwrap();
        place.keep(Duration::from_secs(5), 9);
        let last = addresses.enter(address).unwrap();
        sleep(Duration::from_secs(4)).await;
        assert!(addresses.enter(address).is_none());
        sleep(Duration::from_secs(2)).await;
        let _next = addresses.enter(address).unwrap();
        drop(last);
        assert_eq!(addresses.lock()[&address], 1);
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Addresses::new(2);
        let enter = |address: &str| addresses.enter(address.parse().unwrap());
        let first = enter("10.0.0.1");
        let _second = enter("::ffff:10.0.0.1");
        assert!(enter("10.0.0.1").is_none());
        assert!(enter("10.0.0.2").is_some());
        drop(first);
        assert!(enter("10.0.0.1").is_some());
        assert_eq!(addresses.lock().len(), 1, "who has none is forgotten");

        let _v6 = (enter("2001:db8::1"), enter("2001:db8::2"));
        assert!(enter("2001:db8::3").is_none(), "one network");
        assert!(enter("2001:db8:0:1::1").is_some());
    }
}
