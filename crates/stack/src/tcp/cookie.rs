//! SYN cookies: a handshake whose state is in what we send, not in our memory (RFC 4987 section 3.6).
//!
//! ```text
//!   ISS = F(tuple) + (period << 24) + (F(tuple, irs, period) + MSS index) mod 2^24
//!         └ hides ┘  └ 8 bits ────┘   └ 24 bits: only 8 of 2^24 values are valid ┘
//! ```
//!
//! The period is 64 s long, so these numbers go up by 2^24 in 64 s: close to the 4-microsecond clock that other initial
//! sequence numbers follow. A blind guess is right once in 2^20 for each of the 2 valid periods of 2^8, that is once in
//! 2^28. What has no room in the sequence number (window scale, SACK) is in the timestamp.

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

/// The low bits of a cookie's timestamp: 4 for the window scale, 1 for SACK, 1 free.
const OPTION_BITS: u32 = 6;
const OPTIONS: u32 = (1 << OPTION_BITS) - 1;
const NO_SCALE: u32 = 15;
const SACK: u32 = 0x10;

/// What a cookie's timestamp remembered of the peer's SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CookieOptions {
    /// The peer's shift (0 to 14), if it sent one.
    pub(crate) window_scale: Option<u8>,
    /// Whether the peer permitted SACK.
    pub(crate) sack: bool,
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

    /// The time in milliseconds with the options in its low bits: at most the present time, at least 127 ms before it,
    /// so that no later timestamp looks older (PAWS). The caller adds the connection's offset.
    pub(crate) fn timestamp(&self, now: Instant, window_scale: Option<u8>, sack: bool) -> u32 {
        let scale = window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(14)));
        let options = scale | if sack { SACK } else { 0 };
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
