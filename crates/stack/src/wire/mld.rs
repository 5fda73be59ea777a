//! MLD: multicast membership for IPv6 (version 2: RFC 3810; version 1: RFC 2710). Its packets carry a hop-by-hop
//! router alert ([`super::ipv6_extension::emit_router_alert`]) and hop limit 1.

use core::net::Ipv6Addr;

use super::multicast_code::{RecordKind, decode8, decode16};
use super::{ParseError, front, ipv6, room, u16_at};
use crate::time::Duration;

/// Where version 2 reports go: all MLDv2-capable routers.
pub const REPORT_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// All nodes on the link: where general queries go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link: where version 1 dones go.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Octets of every message of version 1.
pub const V1_LEN: usize = 24;

const QUERY: u8 = 130;
const REPORT_V1: u8 = 131;
const DONE_V1: u8 = 132;
const REPORT_V2: u8 = 143;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A router asks who listens to what.
    Query(Query<'a>),
    /// A version 1 report: somebody listens to the group.
    ReportV1 {
        /// The group.
        group: Ipv6Addr,
    },
    /// Version 1: somebody left the group.
    DoneV1 {
        /// The group.
        group: Ipv6Addr,
    },
    /// A version 2 report; its records are for routers, see [`records`].
    ReportV2 {
        /// How many records it says that it has.
        count: u16,
        /// The records.
        records: &'a [u8],
    },
}

/// A query's version, which decides what the host answers with for a while (RFC 3810 section 8.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// RFC 2710.
    V1,
    /// RFC 3810.
    V2,
}

/// A query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query<'a> {
    /// Told by length (RFC 3810 section 8.1).
    pub version: Version,
    /// The group asked for; unspecified in a general query.
    pub group: Ipv6Addr,
    /// Answers are to be spread over this time.
    pub max_response: Duration,
    /// Version 2: routers are not to shorten their timers.
    pub suppress: bool,
    /// Version 2: the querier's robustness variable; 0 if not said.
    pub robustness: u8,
    /// Version 2: seconds between general queries.
    pub interval: u32,
    /// Version 2: the sources asked for, 16 octets each; see [`addresses`].
    pub sources: &'a [u8],
}

/// A record of a version 2 report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it says.
    pub kind: RecordKind,
    /// Of which group.
    pub group: Ipv6Addr,
    /// The sources.
    pub sources: &'a [Ipv6Addr],
}

/// Reads a message: `message` is the whole ICMPv6 message, its checksum verified; `source` and `hop_limit` are the IPv6
/// header's. That there was a router alert ([`super::ipv6_extension::Upper::router_alert`]) is the caller's to check.
///
/// # Errors
/// [`ParseError::HopLimit`] unless it is 1; [`ParseError::BadSource`] for a query whose source is not link-local, or a
/// report whose source is neither that nor unspecified (RFC 3810 sections 5.1.14 and 5.2.13);
/// [`ParseError::Truncated`]; [`ParseError::Malformed`] for a query of 25 to 27 octets (section 8.1) and a group that is
/// no multicast address; [`ParseError::Unsupported`] for other types.
pub fn parse(message: &[u8], source: Ipv6Addr, hop_limit: u8) -> Result<Message<'_>, ParseError> {
    if hop_limit != 1 {
        return Err(ParseError::HopLimit);
    }
    let b: &[u8; 8] = front(message)?;
    let kind = b[0];
    if !source.is_unicast_link_local() && (kind == QUERY || !source.is_unspecified()) {
        return Err(ParseError::BadSource);
    }
    if kind == REPORT_V2 {
        return Ok(Message::ReportV2 {
            count: u16_at(b, 6),
            records: &message[8..],
        });
    }
    if !matches!(kind, QUERY | REPORT_V1 | DONE_V1) {
        return Err(ParseError::Unsupported);
    }
    let b: &[u8; V1_LEN] = front(message)?;
    let group = ipv6::address(b, 8);
    if !(group.is_multicast() || kind == QUERY && group.is_unspecified()) {
        return Err(ParseError::Malformed);
    }
    match kind {
        QUERY => parse_query(message, group, u16_at(b, 4)).map(Message::Query),
        REPORT_V1 => Ok(Message::ReportV1 { group }),
        _ => Ok(Message::DoneV1 { group }),
    }
}

fn parse_query(message: &[u8], group: Ipv6Addr, code: u16) -> Result<Query<'_>, ParseError> {
    let mut query = Query {
        version: Version::V1,
        group,
        max_response: Duration::from_millis(u64::from(code)),
        suppress: false,
        robustness: 0,
        interval: 0,
        sources: &[],
    };
    if message.len() == V1_LEN {
        return Ok(query);
    }
    let Some(b) = message.first_chunk::<28>() else {
        return Err(ParseError::Malformed);
    };
    let sources = usize::from(u16_at(b, 26)) * 16;
    query.version = Version::V2;
    query.max_response = Duration::from_millis(u64::from(decode16(code)));
    query.suppress = b[24] & 8 != 0;
    query.robustness = b[24] & 7;
    query.interval = decode8(b[25]);
    query.sources = message[28..].get(..sources).ok_or(ParseError::Truncated)?;
    Ok(query)
}

/// The addresses in a query's sources.
pub fn addresses(sources: &[u8]) -> impl Iterator<Item = Ipv6Addr> + '_ {
    sources.as_chunks::<16>().0.iter().map(|&a| Ipv6Addr::from(a))
}

/// The records of a version 2 report: kind, group and sources (for [`addresses`]). Ends at the first that does not fit;
/// unknown kinds are left out (RFC 3810 section 5.2.12).
pub fn records(count: u16, bytes: &[u8]) -> impl Iterator<Item = (RecordKind, Ipv6Addr, &[u8])> + '_ {
    let mut rest = bytes;
    (0..count)
        .map_while(move |_| {
            let b = rest.first_chunk::<20>()?;
            let sources = usize::from(u16_at(b, 2)) * 16;
            let (record, behind) = rest.split_at_checked(20 + sources + usize::from(b[1]) * 4)?;
            rest = behind;
            let group = ipv6::address(b, 4);
            Some(RecordKind::from_code(b[0]).map(|kind| (kind, group, &record[20..20 + sources])))
        })
        .flatten()
}

/// Octets that [`emit_report`] writes.
pub fn report_len(records: &[Record<'_>]) -> usize {
    8 + records.iter().map(|r| 20 + 16 * r.sources.len()).sum::<usize>()
}

/// Writes a version 2 report with checksum zero (see [`super::icmpv6::fill_checksum`]); returns its length.
///
/// # Panics
/// If `out` is shorter than [`report_len`], or there are more than 65,535 records or sources of a record.
pub fn emit_report(records: &[Record<'_>], out: &mut [u8]) -> usize {
    let b: &mut [u8; 8] = room(out);
    *b = [REPORT_V2, 0, 0, 0, 0, 0, 0, 0];
    b[6..8].copy_from_slice(&count(records.len()));
    let mut at = 8;
    for record in records {
        let b: &mut [u8; 20] = room(&mut out[at..]);
        b[0..2].copy_from_slice(&[record.kind as u8, 0]);
        b[2..4].copy_from_slice(&count(record.sources.len()));
        b[4..20].copy_from_slice(&record.group.octets());
        at += 20;
        for source in record.sources {
            out[at..at + 16].copy_from_slice(&source.octets());
            at += 16;
        }
    }
    at
}

/// Writes a version 1 report with checksum zero: [`V1_LEN`] octets. For links with an old querier.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_report_v1(group: Ipv6Addr, out: &mut [u8]) -> usize {
    emit_v1(REPORT_V1, group, out)
}

/// Writes a version 1 done with checksum zero: [`V1_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_done(group: Ipv6Addr, out: &mut [u8]) -> usize {
    emit_v1(DONE_V1, group, out)
}

/// Writes a version 2 query without sources, with checksum zero: 28 octets. For the lab's routers. `max_response` and
/// `interval` are codes: milliseconds below 32,768 and seconds below 128.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_query(group: Ipv6Addr, max_response: u16, robustness: u8, interval: u8, out: &mut [u8]) -> usize {
    let b: &mut [u8; 28] = room(out);
    b[0..4].copy_from_slice(&[QUERY, 0, 0, 0]);
    b[4..6].copy_from_slice(&max_response.to_be_bytes());
    b[6..8].fill(0);
    b[8..24].copy_from_slice(&group.octets());
    b[24..28].copy_from_slice(&[robustness & 7, interval, 0, 0]);
    28
}

fn emit_v1(kind: u8, group: Ipv6Addr, out: &mut [u8]) -> usize {
    let b: &mut [u8; V1_LEN] = room(out);
    b[0..8].copy_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    b[8..24].copy_from_slice(&group.octets());
    V1_LEN
}

fn count(n: usize) -> [u8; 2] {
    u16::try_from(n)
        .expect("a report is cut to fit a packet, so it has fewer records")
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x1234);

    /// RFC 3810 section 8.1: versions are told by length.
    ///
    /// Proves: 3810-6.
    #[test]
    fn versions_of_queries() {
        let mut out = [0; 28];
        emit_query(GROUP, 0x8000, 2, 125, &mut out);
        let query = |bytes: &[u8]| match parse(bytes, LOCAL, 1) {
            Ok(Message::Query(q)) => Ok((q.version, q.group, q.max_response.as_millis(), q.robustness)),
            Ok(other) => panic!("{other:?}"),
            Err(e) => Err(e),
        };
        assert_eq!(query(&out[..28]), Ok((Version::V2, GROUP, 32_768, 2)));
        assert_eq!(query(&out[..24]), Ok((Version::V1, GROUP, 32_768, 0)));
        out[5] = 1;
        assert_eq!(query(&out[..28]).map(|q| q.2), Ok(32_776));
        assert_eq!(query(&out[..24]).map(|q| q.2), Ok(32_769));
        assert_eq!(query(&out[..27]), Err(ParseError::Malformed));
        assert_eq!(query(&out[..23]), Err(ParseError::Truncated));
        assert_eq!(parse(&out, GROUP, 1), Err(ParseError::BadSource));
        assert_eq!(parse(&out, Ipv6Addr::UNSPECIFIED, 1), Err(ParseError::BadSource));
        assert_eq!(parse(&out, LOCAL, 255), Err(ParseError::HopLimit));
    }

    #[test]
    fn joining_and_leaving() {
        let mut out = [0xee; 64];
        let join = Record {
            kind: RecordKind::ToExclude,
            group: GROUP,
            sources: &[],
        };
        assert_eq!(emit_report(&[join], &mut out), 28);
        assert_eq!(out[..12], [143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0]);
        assert_eq!(out[12..28], GROUP.octets());
        // A report may come from a host that has no address yet.
        assert!(parse(&out[..28], Ipv6Addr::UNSPECIFIED, 1).is_ok());
        assert_eq!(emit_report_v1(GROUP, &mut out), 24);
        assert_eq!(
            parse(&out[..24], LOCAL, 1),
            Ok(Message::ReportV1 { group: GROUP })
        );
        assert_eq!(emit_done(GROUP, &mut out), 24);
        assert_eq!(parse(&out[..24], LOCAL, 1), Ok(Message::DoneV1 { group: GROUP }));
    }
}
