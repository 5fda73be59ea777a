//! SYN cookies (RFC 4987 section 3.6): a connection request remembered in our initial sequence number.
//!
//! ```text
//!   ISN = F1(tuple) + (count << 24) + ((F2(tuple, client's ISN, count) + MSS index) mod 2^24)
//!   TSval, where the client sent timestamps: our clock, its last 6 bits replaced by
//!         │ ECN │ SACK │ window scale, 15 for none │
//! ```
//!
//! `count` grows by one in 64 s, so the numbers grow about as fast as RFC 9293's clock (MUST-8, roughly). Nobody
//! without the key can make a cookie for an address where they do not receive: a guess succeeds once in 2^28.

use core::hash::Hasher;
use siphasher::sip::SipHasher24;

use super::segment::Timestamps;
use super::seq::SeqNumber;
use crate::demux::FourTuple;
use crate::time::Instant;

/// One count, in seconds.
const PERIOD: u64 = 64;
/// A cookie is good in the period in which it was made and in the next.
const PERIODS: u32 = 2;
/// MSS values that a cookie can hold; the largest that is no more than the client's is taken. The usual ones of
/// Ethernet, PPPoE and tunnels, and jumbo frames.
const MSS_V4: [u16; 8] = [536, 1220, 1360, 1400, 1440, 1452, 1460, 8960];
const MSS_V6: [u16; 8] = [536, 1220, 1340, 1380, 1420, 1432, 1440, 8940];
/// Bits of a cookie below the count.
const LOW_BITS: u32 = 24;
const LOW_MASK: u32 = (1 << LOW_BITS) - 1;
/// Bits of TSval that hold options.
const OPTION_BITS: u32 = 6;
const NO_SCALE: u8 = 15;

/// What a client's SYN offered, as its cookie kept it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cookie {
    /// The client's MSS, rounded down to one of eight values.
    pub(crate) mss: u16,
    /// What its other options were; all off where it sends no timestamps.
    pub(crate) options: CookieOptions,
}

/// Options that a cookie keeps in our timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct CookieOptions {
    /// The client uses timestamps.
    pub(crate) timestamps: bool,
    /// Its window scale shift, up to 14.
    pub(crate) window_scale: Option<u8>,
    /// It permits SACK.
    pub(crate) sack: bool,
    /// It asked for ECN.
    pub(crate) ecn: bool,
}

/// Makes and checks cookies.
#[derive(Clone, Debug)]
pub(crate) struct Cookies {
    function: SipHasher24,
}

impl Cookies {
    /// With a key of its own.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Cookies {
            function: SipHasher24::new_with_key(&key),
        }
    }
    /// The initial sequence number that answers a SYN with sequence number `client_isn`; `mss` is its MSS option, or
    /// 536. `None` if the MSS is below 536, which no cookie can hold: the SYN is to be dropped.
    pub(crate) fn make(
        &self,
        now: Instant,
        tuple: &FourTuple,
        client_isn: SeqNumber,
        mss: u16,
    ) -> Option<SeqNumber> {
        let index = table(tuple).iter().rposition(|&value| value <= mss)? as u32;
        let count = count(now);
        let low = self.second(tuple, client_isn, count).wrapping_add(index) & LOW_MASK;
        let value = self
            .first(tuple)
            .wrapping_add(count << LOW_BITS)
            .wrapping_add(low);
        Some(SeqNumber(value))
    }
    /// Checks the ACK that would end the handshake: its SEG.SEQ, SEG.ACK and timestamps. `None` if it acknowledges no
    /// cookie of ours, or one older than two periods.
    pub(crate) fn check(
        &self,
        now: Instant,
        tuple: &FourTuple,
        seq: SeqNumber,
        ack: SeqNumber,
        timestamps: Option<Timestamps>,
    ) -> Option<Cookie> {
        let value = (ack - 1).0.wrapping_sub(self.first(tuple));
        let age = count(now).wrapping_sub(value >> LOW_BITS) & 0xff;
        if age >= PERIODS {
            return None;
        }
        let made = count(now).wrapping_sub(age);
        let index = value.wrapping_sub(self.second(tuple, seq - 1, made)) & LOW_MASK;
        let mss = *table(tuple).get(index as usize)?;
        let options = timestamps.map_or(CookieOptions::default(), |timestamps| decode(timestamps.echo));
        Some(Cookie { mss, options })
    }

    fn first(&self, tuple: &FourTuple) -> u32 {
        self.function.hash(tuple.to_bytes().as_slice()) as u32
    }
    fn second(&self, tuple: &FourTuple, client_isn: SeqNumber, count: u32) -> u32 {
        let mut hasher = self.function;
        hasher.write(tuple.to_bytes().as_slice());
        hasher.write_u32(client_isn.0);
        hasher.write_u32(count);
        hasher.finish() as u32
    }
}

/// Our TSval for a SYN,ACK with a cookie: `clock` with the options in its last bits, never ahead of `clock`.
pub(crate) fn encode_timestamp(clock: u32, options: CookieOptions) -> u32 {
    let scale = options.window_scale.map_or(NO_SCALE, |shift| shift.min(14));
    let bits = u32::from(scale) | u32::from(options.sack) << 4 | u32::from(options.ecn) << 5;
    let value = clock >> OPTION_BITS << OPTION_BITS | bits;
    if value > clock {
        value.wrapping_sub(1 << OPTION_BITS)
    } else {
        value
    }
}

/// The options in a TSval that the client echoes.
fn decode(echo: u32) -> CookieOptions {
    let scale = (echo & 0x0f) as u8;
    CookieOptions {
        timestamps: true,
        window_scale: (scale != NO_SCALE).then_some(scale),
        sack: echo & 0x10 != 0,
        ecn: echo & 0x20 != 0,
    }
}

fn count(now: Instant) -> u32 {
    (now.as_micros() / 1_000_000 / PERIOD) as u32
}

fn table(tuple: &FourTuple) -> &'static [u16; 8] {
    if tuple.remote.is_ipv4() { &MSS_V4 } else { &MSS_V6 }
}
