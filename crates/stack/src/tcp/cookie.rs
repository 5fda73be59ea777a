//! SYN cookies: a handshake whose state is in what we send, not in our memory (RFC 4987 section 3.6).
//!
//! ```text
//!   ISS = F(tuple) + (period << 24) + (F(tuple, irs, period) + MSS index) mod 2^24
//!         └ hides ┘  └ 8 bits ────┘   └ 24 bits: only 8 of 2^24 values are valid ┘
//! ```
//!
//! The period is 64 s long, so these numbers go up by 2^24 in 64 s: close to the 4-microsecond clock that other initial
//! sequence numbers follow. A blind guess is right once in 2^20 for each of the 2 valid periods of 2^8, that is once in
//! 2^28. What has no room in the sequence number (window scale, SACK, ECN) is in the timestamp.
//!
//! Nothing is remembered of a cookie that was used. So the third segment of a handshake, should the network repeat it
//! after the connection is gone and while its cookie lives, makes a connection again, which the peer resets at the first
//! segment that reaches it. The peer could do the same on purpose, and gains nothing. Where we closed first, TIME-WAIT
//! stands in the way. Linux does the same; to remember would take the memory that cookies are there to spare.

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::SeqNumber;
use crate::demux::FourTuple;
use crate::time::Instant;

/// How long a period is. A cookie is valid in its own period and in the next: 64 to 128 s.
const PERIOD_SECS: u64 = 64;
/// The bits below the period.
const LOW_BITS: u32 = 24;
const LOW: u32 = (1 << LOW_BITS) - 1;
/// What a peer's MSS is rounded down to, so that no segment is larger than the peer allowed. The first is what the
/// smallest IPv4 MTU leaves (68 octets, RFC 791); 536 and 1220 are the defaults (MUST-15), 1440 and 1460 Ethernet over
/// IPv6 and IPv4, 1380 Ethernet less the usual tunnels, 8940 jumbo frames over IPv6.
const MSS: [u16; 8] = [28, 216, 536, 1220, 1380, 1440, 1460, 8940];

/// The low bits of a cookie's timestamp: 4 for the window scale, 1 for SACK, 1 for ECN.
const OPTION_BITS: u32 = 6;
const OPTIONS: u32 = (1 << OPTION_BITS) - 1;
const NO_SCALE: u32 = 15;
const SACK: u32 = 0x10;
const ECN: u32 = 0x20;

/// What a cookie's timestamp remembered of the peer's SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CookieOptions {
    /// The peer's shift (0 to 14), if it sent one.
    pub(crate) window_scale: Option<u8>,
    /// Whether the peer permitted SACK.
    pub(crate) sack: bool,
    /// Whether ECN was agreed (RFC 3168).
    pub(crate) ecn: bool,
}

/// Makes and checks cookies.
pub(crate) struct Cookies {
    function: SipHasher24,
}

impl Cookies {
    /// Cookies that only the holder of `key` can make.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Cookies {
            function: SipHasher24::new_with_key(&key),
        }
    }

    /// The sequence number that answers a SYN with sequence number `irs` and this MSS.
    pub(crate) fn make(&self, now: Instant, tuple: &FourTuple, irs: SeqNumber, mss: u16) -> SeqNumber {
        let period = period(now);
        let index = MSS.iter().rposition(|&m| m <= mss).unwrap_or(0) as u32;
        let low = self.mark(tuple, irs, period).wrapping_add(index) & LOW;
        SeqNumber(
            self.base(tuple)
                .wrapping_add(period << LOW_BITS)
                .wrapping_add(low),
        )
    }

    /// The MSS that the cookie `iss` holds; `None` if it is not ours, or too old.
    pub(crate) fn check(
        &self,
        now: Instant,
        tuple: &FourTuple,
        irs: SeqNumber,
        iss: SeqNumber,
    ) -> Option<u16> {
        let rest = iss.0.wrapping_sub(self.base(tuple));
        let age = period(now).wrapping_sub(rest >> LOW_BITS) & 0xff;
        if age > 1 {
            return None;
        }
        let made = period(now).wrapping_sub(age);
        let index = rest.wrapping_sub(self.mark(tuple, irs, made)) & LOW;
        MSS.get(index as usize).copied()
    }

    /// The time in milliseconds with the options in its low bits: never ahead of the present time, so that no later
    /// timestamp looks older (PAWS), and less than 64 ms behind it. The caller adds the connection's offset.
    pub(crate) fn timestamp(&self, now: Instant, window_scale: Option<u8>, sack: bool, ecn: bool) -> u32 {
        let scale = window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(14)));
        let options = scale | if sack { SACK } else { 0 } | if ecn { ECN } else { 0 };
        let clock = now.as_millis() as u32;
        let marked = clock & !OPTIONS | options;
        if options > clock & OPTIONS {
            marked.wrapping_sub(1 << OPTION_BITS)
        } else {
            marked
        }
    }

    /// The options that the peer echoes, the connection's offset taken off. They are only the peer's word: it could have
    /// put the same in its SYN.
    pub(crate) fn options_from(&self, echo: u32) -> CookieOptions {
        let scale = echo & 0xf;
        CookieOptions {
            window_scale: (scale != NO_SCALE).then_some(scale as u8),
            sack: echo & SACK != 0,
            ecn: echo & ECN != 0,
        }
    }

    /// Hides the period and the rest.
    fn base(&self, tuple: &FourTuple) -> u32 {
        tuple.with_octets(|octets| self.function.hash(octets)) as u32
    }

    /// The mark of a cookie made in this period. Longer than what [`Cookies::base`] hashes, so one key serves both.
    fn mark(&self, tuple: &FourTuple, irs: SeqNumber, period: u32) -> u32 {
        tuple.with_octets(|octets| {
            let mut hasher = self.function;
            hasher.write(octets);
            hasher.write(&irs.0.to_be_bytes());
            hasher.write(&period.to_be_bytes());
            hasher.finish()
        }) as u32
    }
}

/// Without the key.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

fn period(now: Instant) -> u32 {
    (now.as_nanos() / (PERIOD_SECS * 1_000_000_000)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use proptest::prelude::*;
    use std::format;

    fn tuple(remote_port: u16) -> FourTuple {
        FourTuple::new(
            "10.0.0.1".parse().unwrap(),
            80,
            "10.0.0.2".parse().unwrap(),
            remote_port,
        )
    }

    const IRS: SeqNumber = SeqNumber(0xffff_fff0);
    const START: Instant = Instant::from_secs(640);

    #[test]
    fn a_cookie_holds_the_mss_rounded_down() {
        let cookies = Cookies::new([1; 16]);
        for (offered, kept) in [
            (0, 28),
            (28, 28),
            (100, 28),
            (535, 216),
            (536, 536),
            (1459, 1440),
            (1460, 1460),
            (1461, 1460),
            (65_535, 8940),
        ] {
            let iss = cookies.make(START, &tuple(1), IRS, offered);
            assert_eq!(cookies.check(START, &tuple(1), IRS, iss), Some(kept), "{offered}");
        }
        assert!(MSS.is_sorted());
    }

    #[test]
    fn a_cookie_lives_for_its_period_and_the_next() {
        let cookies = Cookies::new([1; 16]);
        let iss = cookies.make(START, &tuple(1), IRS, 1460);
        let after = |secs| cookies.check(START + Duration::from_secs(secs), &tuple(1), IRS, iss);
        assert_eq!([after(0), after(63), after(64), after(127)], [Some(1460); 4]);
        assert_eq!(after(128), None);
        assert_eq!(after(256 * 64), None, "when the 8 bits of the period come round");
        assert_eq!(
            cookies.check(START - Duration::from_secs(1), &tuple(1), IRS, iss),
            None,
            "from the future"
        );
    }

    #[test]
    fn a_cookie_is_good_for_its_handshake_only() {
        let cookies = Cookies::new([1; 16]);
        let iss = cookies.make(START, &tuple(1), IRS, 1460);
        assert_eq!(cookies.check(START, &tuple(2), IRS, iss), None);
        assert_eq!(cookies.check(START, &tuple(1), IRS + 1, iss), None);
        assert_eq!(cookies.check(START, &tuple(1), IRS, iss + 8), None);
        assert_eq!(Cookies::new([2; 16]).check(START, &tuple(1), IRS, iss), None);
        assert_eq!(format!("{cookies:?}"), "Cookies { .. }", "the key is not shown");
    }

    #[test]
    fn cookies_of_a_tuple_go_up_with_time() {
        let cookies = Cookies::new([1; 16]);
        let at = |n: u64| {
            cookies.make(
                START + Duration::from_secs(PERIOD_SECS * n),
                &tuple(1),
                SeqNumber(7),
                1460,
            )
        };
        for n in 0..1000 {
            assert!(at(n + 2).after(at(n)) && at(n + 2).since(at(n)) < 3 << LOW_BITS);
        }
    }

    /// Proves: 4987-1.
    #[test]
    fn a_blind_guess_is_hopeless() {
        let cookies = Cookies::new([1; 16]);
        let right = (0..200_000u32).filter(|n| {
            cookies
                .check(START, &tuple(1), IRS, SeqNumber(n.wrapping_mul(0x9e37_79b9)))
                .is_some()
        });
        assert_eq!(right.count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_made_is_taken(
            key in any::<[u8; 16]>(), secs in 0u64..1 << 33, wait in 0u64..64, irs: u32, port: u16, mss: u16
        ) {
            let (cookies, made) = (Cookies::new(key), Instant::from_secs(secs));
            let iss = cookies.make(made, &tuple(port), SeqNumber(irs), mss);
            let kept = cookies.check(made + Duration::from_secs(wait), &tuple(port), SeqNumber(irs), iss);
            prop_assert!(kept.is_some_and(|kept| kept <= mss.max(28)), "{:?}", kept);
        }

        #[test]
        fn timestamps_carry_options_and_are_never_ahead(millis in 0u64..1 << 34, scale: Option<u8>, sack: bool, ecn: bool) {
            let cookies = Cookies::new([1; 16]);
            let scale = scale.map(|s| s % 15);
            let value = cookies.timestamp(Instant::from_millis(millis), scale, sack, ecn);
            prop_assert!((millis as u32).wrapping_sub(value) < 64);
            prop_assert_eq!(cookies.options_from(value), CookieOptions { window_scale: scale, sack, ecn });
        }

        #[test]
        fn any_echo_is_taken(echo: u32) {
            let options = Cookies::new([1; 16]).options_from(echo);
            prop_assert!(options.window_scale.is_none_or(|s| s <= 14));
        }
    }
}
