//! A bound on how often one source of datagrams is answered: what ends echo loops.
//!
//! Two servers on high ports that have been made to answer each other look like two clients. But such a loop keeps
//! alive on one datagram in flight, so the first one that is *dropped* (delaying it would not help) ends it. Each
//! source has a token bucket: it fills at the rate, holds a second's worth, begins full, and each datagram takes a
//! token or is dropped.
//!
//! What it does and what it does not:
//! - A loop faster than the rate empties its bucket and ends: at ten times the rate within a ninth of a second, at
//!   twice the rate after one second. On a local network a turn takes well below a millisecond, so the
//!   [default](DEFAULT_RATE) ends it there. Several loops between the same two hosts draw on one bucket; those that
//!   are left when their sum falls below the rate go on.
//! - A slower loop goes on, at most at the rate: with the default that is one between hosts whose round trip takes more
//!   than a millisecond. Lost datagrams will end it.
//! - The bound is that of a bucket. A source that sends to several workers of a server (from several ports) has one in
//!   each. And a bucket that is forgotten begins full again: it is, when more sources than the table holds have sent
//!   more recently. A flood in the names of many sources therefore does not lock out anybody, and is not held back.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Datagrams a second from one source, unless told otherwise: far above what a person or a monitor sends, and below
/// what a loop on a local network comes to.
pub const DEFAULT_RATE: u32 = 1_000;

/// Buckets in a table: 96 KiB of them.
const BUCKETS: usize = 4_096;

/// Buckets among which a source finds its own, or takes that of the source not heard of for longest.
const WAYS: usize = 4;

const SETS: usize = BUCKETS / WAYS;

/// One token. Levels are counted in billionths of one, so that a nanosecond's refill is a whole number at any rate.
const TOKEN: u64 = 1_000_000_000;

/// Token buckets for the sources of one worker's datagrams. All memory is taken by [`RateLimit::new`], and none if
/// nothing is limited.
///
/// A source is an IPv4 address, or the first 64 bits of an IPv6 address: a network that anybody can get has that many
/// addresses (RFC 4291, section 2.5.4). The table is hashed with a secret, so that nobody can aim at another's bucket.
#[derive(Debug)]
pub struct RateLimit {
    /// Tokens a second for sources on other hosts.
    remote: Option<u32>,
    /// And for loopback addresses.
    local: Option<u32>,
    sets: Box<[[Bucket; WAYS]]>,
    /// SipHash with a secret of this table's own.
    hash: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    source: u64,
    /// In units of which [`TOKEN`] is one token. May be above what the bucket holds, until it is next looked at.
    level: u64,
    /// When its source was last heard of, in ns; 0 is never.
    heard: u64,
}

/// A bucket that is not in use is a full one of source 0, which is how source 0 begins.
const FULL: Bucket = Bucket { source: 0, level: u64::MAX, heard: 0 };

impl RateLimit {
    /// Limits in datagrams a second for each source: `remote` for other hosts, `local` for loopback addresses, where
    /// nobody can send in another's name. `None` and 0 are no limit.
    pub fn new(remote: Option<u32>, local: Option<u32>) -> Self {
        let [remote, local] = [remote, local].map(|rate| rate.filter(|&rate| rate > 0));
        let sets = if remote.or(local).is_some() { SETS } else { 0 };
        Self { remote, local, sets: vec![[FULL; WAYS]; sets].into(), hash: RandomState::new() }
    }

    /// Whether a datagram from a source may be answered at a time, which takes one of its tokens.
    ///
    /// `now_ns` is in nanoseconds of any clock that does not go back, and above 0; where it goes back, no time has
    /// passed.
    pub fn allow(&mut self, source: IpAddr, now_ns: u64) -> bool {
        let source = source.to_canonical();
        match if source.is_loopback() { self.local } else { self.remote } {
            None => true,
            Some(rate) => self.bucket(key(source), now_ns).take(rate, now_ns),
        }
    }

    /// The bucket of a source: its own, or else that of the source in its set that was not heard of for longest.
    fn bucket(&mut self, source: u64, now_ns: u64) -> &mut Bucket {
        let set = &mut self.sets[place(&self.hash, source)];
        let way = set.iter().position(|bucket| bucket.source == source).unwrap_or_else(|| {
            let oldest = (0..WAYS).min_by_key(|&way| set[way].heard).unwrap_or(0);
            set[oldest] = Bucket { source, heard: now_ns, ..FULL };
            oldest
        });
        &mut set[way]
    }
}

impl Bucket {
    /// Takes a token if there is one, after filling the bucket up with `rate` tokens a second.
    fn take(&mut self, rate: u32, now_ns: u64) -> bool {
        // A second's worth, which for the smallest rate is one token: at most 2^32 * 10^9 < 2^62.
        let size = u64::from(rate) * TOKEN;
        let passed = now_ns.saturating_sub(self.heard);
        // Where this saturates the bucket is full by far.
        let refill = passed.saturating_mul(u64::from(rate));
        self.level = self.level.saturating_add(refill).min(size);
        self.heard = self.heard.max(now_ns);
        match self.level.checked_sub(TOKEN) {
            None => false,
            Some(rest) => {
                self.level = rest;
                true
            }
        }
    }
}

/// What identifies a source. IPv4 addresses are put where IPv6 has no networks (::/8 is reserved, RFC 4291).
fn key(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(v4) => 0xffff_0000_0000 | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// The set in which a source has its bucket.
fn place(hash: &RandomState, source: u64) -> usize {
    hash.hash_one(source) as usize % SETS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const SECOND: u64 = 1_000_000_000;
    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));

    /// How many of `count` datagrams that come at once are let through.
    fn burst(limit: &mut RateLimit, source: IpAddr, now_ns: u64, count: usize) -> usize {
        (0..count).filter(|_| limit.allow(source, now_ns)).count()
    }

    #[test]
    fn a_bucket_begins_full_and_fills_at_its_rate() {
        let mut limit = RateLimit::new(Some(1_000), None);
        assert_eq!(burst(&mut limit, HOST, 5 * SECOND, 3_000), 1_000);
        assert_eq!(burst(&mut limit, HOST, 5 * SECOND + 999_999, 10), 0);
        assert_eq!(burst(&mut limit, HOST, 5 * SECOND + 1_000_000, 10), 1);
        assert_eq!(burst(&mut limit, HOST, 5 * SECOND + SECOND / 2, 3_000), 499);
        assert_eq!(burst(&mut limit, HOST, 60 * SECOND, 3_000), 1_000);
    }

    #[test]
    fn a_loop_faster_than_the_rate_ends() {
        let mut limit = RateLimit::new(Some(DEFAULT_RATE), None);
        let turn_ns = 100_000;
        let turns = (0..1_000_000).take_while(|turn| limit.allow(HOST, turn * turn_ns)).count();
        assert!((1_000..1_200).contains(&turns), "{turns} turns");
    }

    #[test]
    fn a_source_at_the_rate_is_never_dropped() {
        for rate in [1, 3, 7, 999, 1_000, 1_000_000] {
            let mut limit = RateLimit::new(Some(rate), None);
            let interval = SECOND.div_ceil(u64::from(rate));
            assert!((0..10_000).all(|number| limit.allow(HOST, number * interval)), "{rate} a second");
        }
    }

    #[test]
    fn the_slowest_rate_lets_one_through_a_second() {
        let mut limit = RateLimit::new(Some(1), None);
        let allowed = (0..100).filter(|tenth| limit.allow(HOST, tenth * SECOND / 10)).count();
        assert_eq!(allowed, 10);
    }

    #[test]
    fn off_is_off_and_takes_no_memory() {
        for mut limit in [RateLimit::new(None, None), RateLimit::new(Some(0), Some(0))] {
            assert_eq!(burst(&mut limit, HOST, SECOND, 100_000), 100_000);
            assert!(limit.sets.is_empty());
        }
    }

    #[test]
    fn loopback_has_a_limit_of_its_own() {
        let local = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].map(|text| text.parse().unwrap());
        let mut limit = RateLimit::new(Some(5), None);
        assert!(local.iter().all(|&ip| burst(&mut limit, ip, SECOND, 100) == 100));
        assert_eq!(burst(&mut limit, HOST, SECOND, 100), 5);
        let mut limit = RateLimit::new(None, Some(5));
        // The last is the first in other words.
        assert_eq!(local.map(|ip| burst(&mut limit, ip, SECOND, 100)), [5, 5, 5, 0]);
        assert_eq!(burst(&mut limit, HOST, SECOND, 100), 100);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let mut limit = RateLimit::new(Some(1), None);
        let mut first = |text: &str| limit.allow(text.parse().unwrap(), SECOND);
        assert!(first("2001:db8:0:1::1"));
        assert!(!first("2001:db8:0:1:ffff::2"));
        assert!(first("2001:db8:0:2::1"));
        assert!(first("203.0.113.1"));
        assert!(first("203.0.113.2"));
        assert!(!first("::ffff:203.0.113.2"));
    }

    #[test]
    fn time_that_goes_back_is_no_time() {
        let mut limit = RateLimit::new(Some(10), None);
        assert_eq!(burst(&mut limit, HOST, 9 * SECOND, 20), 10);
        assert_eq!(burst(&mut limit, HOST, 0, 20), 0);
        assert_eq!(burst(&mut limit, HOST, 9 * SECOND, 20), 0);
        assert_eq!(burst(&mut limit, HOST, u64::MAX, 20), 10);
    }

    #[test]
    fn a_well_behaved_source_is_answered_among_a_hundred_thousand_others() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut limit = RateLimit::new(Some(100), None);
        let attackers: Vec<IpAddr> = (0..100_000)
            .map(|number| match number % 2 {
                0 => IpAddr::V4(Ipv4Addr::from_bits(random.u32(0x0100_0000..0x7f00_0000))),
                _ => IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | random.u128(..1 << 112))),
            })
            .collect();
        let memory = limit.sets.as_ptr();
        let (mut asked, mut answered) = (0, 0);
        for step in 0..1_000_000_u64 {
            let now_ns = step * 2_000; // half a million datagrams a second
            limit.allow(attackers[random.usize(..attackers.len())], now_ns);
            if step % 10_000 == 0 {
                asked += 1;
                answered += u32::from(limit.allow(HOST, now_ns));
            }
        }
        assert!(answered * 100 >= asked * 99, "{answered} of {asked}");
        assert_eq!((limit.sets.as_ptr(), limit.sets.len()), (memory, SETS));
        assert_eq!(size_of_val(&*limit.sets), 96 * 1024);
    }

    #[test]
    fn a_busy_source_is_not_forgotten_for_idle_ones() {
        // As many others as the table has buckets, each heard of once: the one that sends most is never the oldest.
        let mut limit = RateLimit::new(Some(10), None);
        let mut allowed = 0;
        for other in 0..BUCKETS as u32 {
            let now_ns = SECOND + u64::from(other);
            allowed += burst(&mut limit, HOST, now_ns, 1);
            limit.allow(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + other)), now_ns);
        }
        assert_eq!(allowed, 10);
    }

    #[test]
    fn sources_are_spread_over_the_table() {
        let limit = RateLimit::new(Some(1), None);
        let mut sizes = [0; SETS];
        for number in 0..64 * SETS as u32 {
            let source = key(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)));
            sizes[place(&limit.hash, source)] += 1;
        }
        // 64 a set, with a standard deviation of 8.
        assert!(sizes.iter().all(|&size| size < 64 * 2), "{:?}", sizes.iter().max());
    }

    proptest! {
        #[test]
        fn no_more_than_a_burst_and_the_rate_gets_through(
            rate in prop_oneof![1_u32..5, 1_u32..5_000, Just(u32::MAX)],
            start in prop_oneof![Just(0), any::<u64>()],
            steps in prop::collection::vec((0_u64..2_000_000_000, 1_usize..50), 1..100),
        ) {
            let mut limit = RateLimit::new(Some(rate), None);
            let (mut now_ns, mut passed, mut allowed) = (start, 0_u128, 0_u128);
            for (step_ns, count) in steps {
                let next = now_ns.saturating_add(step_ns);
                passed += u128::from(next - now_ns);
                now_ns = next;
                allowed += burst(&mut limit, HOST, now_ns, count) as u128;
                let bound = u128::from(rate) + u128::from(rate) * passed / u128::from(SECOND);
                prop_assert!(allowed <= bound, "{} of {} after {} ns", allowed, bound, passed);
            }
        }
    }
}
