//! Wrong passwords by address: a few at once, then one per second.
//!
//! An address that used up its guesses is refused before its password is compared, so that it learns nothing until it may
//! guess again. What is remembered is bounded: of too many addresses the one that waits least is forgotten.
//!
//! Not for: comparing passwords (`auth`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords that an address can show at once.
const AT_ONCE: u32 = 10;
/// Time after which it can show another one.
const EACH: Duration = Duration::from_secs(1);
/// Addresses that are remembered.
const ADDRESSES: usize = 4096;

/// Wrong passwords that were shown lately.
#[derive(Debug, Default)]
pub struct Guesses {
    /// When each address will have all of its guesses again.
    until: Mutex<HashMap<IpAddr, Instant>>,
    /// Addresses that are remembered, so that most requests need no lock.
    remembered: AtomicUsize,
    all: AtomicU64,
}

impl Guesses {
    /// How long an address has to wait before its password is compared; none if it need not.
    pub fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        if self.remembered.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let until = *self.locked().get(&network(from))?;
        let spent = until.saturating_duration_since(now);
        spent.checked_sub(EACH * (AT_ONCE - 1)).filter(|wait| !wait.is_zero())
    }

    /// Remembers a wrong password; true when it was the last one at once.
    pub fn wrong(&self, from: IpAddr, now: Instant) -> bool {
        self.all.fetch_add(1, Ordering::Relaxed);
        let mut known = self.locked();
        let from = network(from);
        if known.len() >= ADDRESSES && !known.contains_key(&from) {
            known.retain(|_, until| *until > now);
            if known.len() >= ADDRESSES
                && let Some(least) = known.iter().min_by_key(|(_, until)| **until).map(|(address, _)| *address)
            {
                known.remove(&least);
            }
        }
        let until = known.entry(from).or_insert(now);
        let before = (*until).max(now);
        *until = before + EACH;
        let limit = now + EACH * (AT_ONCE - 1);
        let is_last = before <= limit && *until > limit;
        self.remembered.store(known.len(), Ordering::Relaxed);
        is_last
    }

    /// Wrong passwords so far.
    pub fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, which one host can have to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_few_guesses_there_is_one_per_second() {
        let (guesses, from, now) = (Guesses::default(), IpAddr::from([10, 0, 0, 1]), Instant::now());
        for guess in 1..=AT_ONCE {
            assert_eq!(guesses.wait(from, now), None, "guess {guess}");
            assert_eq!(guesses.wrong(from, now), guess == AT_ONCE);
        }
        assert_eq!(guesses.wait(from, now), Some(EACH));
        assert_eq!(guesses.wait(IpAddr::from([10, 0, 0, 2]), now), None, "another address");
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(guesses.wait(mapped, now).is_some(), "the same address");
        assert_eq!(guesses.wait(from, now + EACH), None);
        guesses.wrong(from, now + EACH);
        assert_eq!(guesses.wait(from, now + EACH), Some(EACH));
        assert_eq!(guesses.wait(from, now + EACH * 2 * AT_ONCE), None);
        assert_eq!(guesses.all(), u64::from(AT_ONCE) + 1);
    }

    #[test]
    fn hosts_of_one_ipv6_network_are_one_and_what_is_remembered_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let of = |network: u128, host: u128| IpAddr::from(Ipv6Addr::from_bits(network << 64 | host));
        (0..u128::from(AT_ONCE)).for_each(|host| _ = guesses.wrong(of(1, host), now));
        assert!(guesses.wait(of(1, 99), now).is_some());
        (2..3 * ADDRESSES as u128).for_each(|network| _ = guesses.wrong(of(network, 0), now));
        assert_eq!(guesses.remembered.load(Ordering::Relaxed), ADDRESSES);
        assert!(guesses.wait(of(1, 99), now).is_some(), "the one that waits longest stays");
        guesses.wrong(of(0, 0), now + EACH * 2 * AT_ONCE);
        assert_eq!(guesses.remembered.load(Ordering::Relaxed), 1, "what is over is forgotten");
    }
}
