//! IGMP: multicast membership for IPv4 (RFC 3376; version 2: RFC 2236; version 1: RFC 1112).

use core::net::Ipv4Addr;

use super::multicast_code::{RecordKind, decode8};
use super::{ParseError, checksum, front, room, u16_at};
use crate::time::Duration;

/// Where version 3 reports go: all IGMPv3-capable routers.
pub const REPORT_ADDRESS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
/// All hosts on the link: where general queries go.
pub const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers on the link: where version 2 leaves go.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Octets of every message of versions 1 and 2.
pub const V2_LEN: usize = 8;

const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE_V2: u8 = 0x17;
const REPORT_V3: u8 = 0x22;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A router asks who listens to what.
    Query(Query<'a>),
    /// A version 1 report: somebody listens to the group.
    ReportV1 {
        /// The group.
        group: Ipv4Addr,
    },
    /// A version 2 report: somebody listens to the group.
    ReportV2 {
        /// The group.
        group: Ipv4Addr,
    },
    /// Version 2: somebody left the group.
    LeaveV2 {
        /// The group.
        group: Ipv4Addr,
    },
    /// A version 3 report; its records are for routers, see [`records`].
    ReportV3 {
        /// How many records it says that it has.
        count: u16,
        /// The records.
        records: &'a [u8],
    },
}

/// A query's version, which decides what the host answers with for a while (RFC 3376 section 7.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// RFC 1112.
    V1,
    /// RFC 2236.
    V2,
    /// RFC 3376.
    V3,
}

/// A query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query<'a> {
    /// Told by length and response time (RFC 3376 section 7.1).
    pub version: Version,
    /// The group asked for; unspecified in a general query.
    pub group: Ipv4Addr,
    /// Answers are to be spread over this time; 10 s in version 1.
    pub max_response: Duration,
    /// Version 3: routers are not to shorten their timers.
    pub suppress: bool,
    /// Version 3: the querier's robustness variable; 0 if not said.
    pub robustness: u8,
    /// Version 3: seconds between general queries.
    pub interval: u32,
    /// Version 3: the sources asked for, 4 octets each; see [`addresses`].
    pub sources: &'a [u8],
}

/// A record of a version 3 report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it says.
    pub kind: RecordKind,
    /// Of which group.
    pub group: Ipv4Addr,
    /// The sources.
    pub sources: &'a [Ipv4Addr],
}

/// Reads a message and verifies its checksum. `message` is the whole IP payload.
///
/// # Errors
/// [`ParseError::Truncated`]; [`ParseError::TransportChecksum`]; [`ParseError::Malformed`] for a query of 9 to 11 octets
/// (RFC 3376 section 7.1) and a group that is no multicast address; [`ParseError::Unsupported`] for other types.
pub fn parse(message: &[u8]) -> Result<Message<'_>, ParseError> {
    let b: &[u8; 8] = front(message)?;
    if !checksum::sum(message).verify() {
        return Err(ParseError::TransportChecksum);
    }
    let group = Ipv4Addr::new(b[4], b[5], b[6], b[7]);
    let valid = b[0] == REPORT_V3 || group.is_multicast() || b[0] == QUERY && group.is_unspecified();
    match b[0] {
        QUERY | REPORT_V1 | REPORT_V2 | LEAVE_V2 | REPORT_V3 if !valid => Err(ParseError::Malformed),
        QUERY => parse_query(message, group, b[1]).map(Message::Query),
        REPORT_V1 => Ok(Message::ReportV1 { group }),
        REPORT_V2 => Ok(Message::ReportV2 { group }),
        LEAVE_V2 => Ok(Message::LeaveV2 { group }),
        REPORT_V3 => Ok(Message::ReportV3 {
            count: u16_at(b, 6),
            records: &message[8..],
        }),
        _ => Err(ParseError::Unsupported),
    }
}

fn parse_query(message: &[u8], group: Ipv4Addr, code: u8) -> Result<Query<'_>, ParseError> {
    let mut query = Query {
        version: if code == 0 { Version::V1 } else { Version::V2 },
        group,
        // In tenths of a second; version 1 says nothing and means 10 s.
        max_response: Duration::from_millis(if code == 0 { 10_000 } else { u64::from(code) * 100 }),
        suppress: false,
        robustness: 0,
        interval: 0,
        sources: &[],
    };
    if message.len() == V2_LEN {
        return Ok(query);
    }
    let Some(b) = message.first_chunk::<12>() else {
        return Err(ParseError::Malformed);
    };
    let sources = usize::from(u16_at(b, 10)) * 4;
    query.version = Version::V3;
    query.max_response = Duration::from_millis(u64::from(decode8(code)) * 100);
    query.suppress = b[8] & 8 != 0;
    query.robustness = b[8] & 7;
    query.interval = decode8(b[9]);
    query.sources = message[12..].get(..sources).ok_or(ParseError::Truncated)?;
    Ok(query)
}

/// The addresses in a query's sources.
pub fn addresses(sources: &[u8]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    sources.as_chunks::<4>().0.iter().map(|&a| Ipv4Addr::from(a))
}

/// The records of a version 3 report: kind, group and sources (for [`addresses`]). Ends at the first that does not fit;
/// unknown kinds are left out (RFC 3376 section 4.2.12).
pub fn records(count: u16, bytes: &[u8]) -> impl Iterator<Item = (RecordKind, Ipv4Addr, &[u8])> + '_ {
    let mut rest = bytes;
    (0..count)
        .map_while(move |_| {
            let b = rest.first_chunk::<8>()?;
            let sources = usize::from(u16_at(b, 2)) * 4;
            let (record, behind) = rest.split_at_checked(8 + sources + usize::from(b[1]) * 4)?;
            rest = behind;
            let group = Ipv4Addr::new(b[4], b[5], b[6], b[7]);
            Some(RecordKind::from_code(b[0]).map(|kind| (kind, group, &record[8..8 + sources])))
        })
        .flatten()
}

/// Octets that [`emit_report`] writes.
pub fn report_len(records: &[Record<'_>]) -> usize {
    8 + records.iter().map(|r| 8 + 4 * r.sources.len()).sum::<usize>()
}

/// Writes a version 3 report with its checksum; returns its length.
///
/// # Panics
/// If `out` is shorter than [`report_len`], or there are more than 65,535 records or sources of a record.
pub fn emit_report(records: &[Record<'_>], out: &mut [u8]) -> usize {
    let len = report_len(records);
    let b: &mut [u8; 8] = room(out);
    *b = [REPORT_V3, 0, 0, 0, 0, 0, 0, 0];
    b[6..8].copy_from_slice(&count(records.len()));
    let mut at = 8;
    for record in records {
        let b: &mut [u8; 8] = room(&mut out[at..]);
        b[0..2].copy_from_slice(&[record.kind as u8, 0]);
        b[2..4].copy_from_slice(&count(record.sources.len()));
        b[4..8].copy_from_slice(&record.group.octets());
        at += 8;
        for source in record.sources {
            out[at..at + 4].copy_from_slice(&source.octets());
            at += 4;
        }
    }
    fill_checksum(&mut out[..len]);
    len
}

/// Writes a version 1 or 2 report with its checksum: [`V2_LEN`] octets. For links with an old querier.
///
/// # Panics
/// If `out` is shorter, or `version` is [`Version::V3`].
pub fn emit_report_for(version: Version, group: Ipv4Addr, out: &mut [u8]) -> usize {
    assert!(version != Version::V3, "version 3 reports have records");
    emit_v2(
        if version == Version::V1 {
            REPORT_V1
        } else {
            REPORT_V2
        },
        0,
        group,
        out,
    )
}

/// Writes a version 2 leave with its checksum: [`V2_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_leave(group: Ipv4Addr, out: &mut [u8]) -> usize {
    emit_v2(LEAVE_V2, 0, group, out)
}

/// Writes a version 3 query without sources, with its checksum: 12 octets. For the lab's routers. `max_response` and
/// `interval` are codes: tenths of a second and seconds below 128.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_query(group: Ipv4Addr, max_response: u8, robustness: u8, interval: u8, out: &mut [u8]) -> usize {
    let b: &mut [u8; 12] = room(out);
    b[0..4].copy_from_slice(&[QUERY, max_response, 0, 0]);
    b[4..8].copy_from_slice(&group.octets());
    b[8..12].copy_from_slice(&[robustness & 7, interval, 0, 0]);
    fill_checksum(b);
    12
}

fn emit_v2(kind: u8, code: u8, group: Ipv4Addr, out: &mut [u8]) -> usize {
    let b: &mut [u8; V2_LEN] = room(out);
    b[0..4].copy_from_slice(&[kind, code, 0, 0]);
    b[4..8].copy_from_slice(&group.octets());
    fill_checksum(b);
    V2_LEN
}

fn fill_checksum(message: &mut [u8]) {
    let sum = checksum::sum(message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn count(n: usize) -> [u8; 2] {
    u16::try_from(n)
        .expect("a report is cut to fit a packet, so it has fewer records")
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    /// RFC 3376 section 7.1: versions are told by length and response time.
    ///
    /// Proves: 3376-6.
    #[test]
    fn versions_of_queries() {
        let query = |bytes: &mut [u8]| {
            bytes[2..4].fill(0);
            fill_checksum(bytes);
            match parse(bytes) {
                Ok(Message::Query(q)) => Ok((q.version, q.max_response.as_millis(), q.interval)),
                Ok(other) => panic!("{other:?}"),
                Err(e) => Err(e),
            }
        };
        assert_eq!(
            query(&mut [0x11, 0, 0, 0, 0, 0, 0, 0]),
            Ok((Version::V1, 10_000, 0))
        );
        assert_eq!(
            query(&mut [0x11, 50, 0, 0, 239, 1, 2, 3]),
            Ok((Version::V2, 5_000, 0))
        );
        assert_eq!(
            query(&mut [0x11, 50, 0, 0, 10, 1, 2, 3]),
            Err(ParseError::Malformed)
        );
        let mut v3 = [0x11, 0x80, 0, 0, 0, 0, 0, 0, 0x0a, 125, 0, 1, 10, 0, 0, 9];
        assert_eq!(query(&mut v3), Ok((Version::V3, 12_800, 125)));
        assert_eq!(query(&mut v3[..12]), Err(ParseError::Truncated));
        assert_eq!(query(&mut v3[..11]), Err(ParseError::Malformed));
        let mut out = [0; 12];
        emit_query(GROUP, 100, 2, 125, &mut out);
        match parse(&out) {
            Ok(Message::Query(q)) => assert_eq!((q.group, q.robustness, q.suppress), (GROUP, 2, false)),
            other => panic!("{other:?}"),
        }
        out[5] ^= 1;
        assert_eq!(parse(&out), Err(ParseError::TransportChecksum));
    }

    /// Auxiliary data is passed over, unknown kinds are left out, and what does not fit ends the list.
    ///
    /// Proves: 3376-7.
    #[test]
    fn records_of_others() {
        let bytes = [
            &[4, 1, 0, 1, 239, 1, 2, 3, 10, 0, 0, 9, 0xaa, 0xaa, 0xaa, 0xaa][..],
            &[77, 0, 0, 0, 239, 1, 2, 3],
            &[3, 0, 0, 0, 239, 1, 2, 3],
            &[3, 0, 0, 1, 239, 1, 2, 3],
        ]
        .concat();
        let mut read = records(9, &bytes);
        let (kind, group, sources) = read.next().unwrap();
        assert_eq!((kind, group), (RecordKind::ToExclude, GROUP));
        assert!(addresses(sources).eq([Ipv4Addr::new(10, 0, 0, 9)]));
        assert_eq!(read.next(), Some((RecordKind::ToInclude, GROUP, &[][..])));
        assert_eq!(read.next(), None);
    }

    /// Proves: 3376-4.
    #[test]
    fn joining_and_leaving() {
        let mut out = [0xee; 64];
        let record = |kind| Record {
            kind,
            group: GROUP,
            sources: &[],
        };
        let both = [record(RecordKind::ToExclude), record(RecordKind::ToInclude)];
        let len = emit_report(&both, &mut out);
        assert_eq!(len, 24);
        assert_eq!(out[8..16], [4, 0, 0, 0, 239, 1, 2, 3]);
        assert!(checksum::sum(&out[..len]).verify());
        for (version, kind) in [(Version::V1, 0x12), (Version::V2, 0x16)] {
            assert_eq!(emit_report_for(version, GROUP, &mut out), 8);
            assert_eq!((out[0], parse(&out[..8]).is_ok()), (kind, true));
        }
        assert_eq!(emit_leave(GROUP, &mut out), 8);
        assert_eq!(parse(&out[..8]), Ok(Message::LeaveV2 { group: GROUP }));
    }
}
