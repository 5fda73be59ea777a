//! The packets of TFTP: RFC 1350 with the options of RFC 2347, 2348, 2349 and 7440.
//!
//! Reading is total: any bytes give a packet or a [`Malformed`], and nothing is allocated.

use std::fmt;

/// The smallest block size (RFC 2348).
pub const BLKSIZE_MIN: u16 = 8;
/// The largest block size (RFC 2348): what fits into an IPv4 datagram, with room for IP options.
pub const BLKSIZE_MAX: u16 = 65_464;
/// The block size without the option (RFC 1350).
pub const BLKSIZE_DEFAULT: u16 = 512;
/// Octets before the data of a DATA packet: opcode and block number.
pub const HEADER: usize = 4;

/// Which way the file goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// RRQ, opcode 1: the client reads.
    Read,
    /// WRQ, opcode 2: the client writes.
    Write,
}

/// How text is carried. Names are not case-sensitive (RFC 1350 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// The octets as they are.
    #[default]
    Octet,
    /// Text as telnet has it: see [`super::netascii`].
    Netascii,
}
impl Mode {
    /// The word in the request.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Octet => "octet",
            Mode::Netascii => "netascii",
        }
    }
    /// The mode with this name. `mail` is obsolete (RFC 1350) and no mode of ours.
    pub fn parse(name: &[u8]) -> Option<Mode> {
        [Mode::Octet, Mode::Netascii]
            .into_iter()
            .find(|m| name.eq_ignore_ascii_case(m.name().as_bytes()))
    }
}

/// An error's code (RFC 1350 section 5, RFC 2347 for 8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ErrorCode(pub u16);
impl ErrorCode {
    /// 0: see the message.
    pub const UNDEFINED: ErrorCode = ErrorCode(0);
    /// 1: file not found.
    pub const NOT_FOUND: ErrorCode = ErrorCode(1);
    /// 2: access violation.
    pub const ACCESS: ErrorCode = ErrorCode(2);
    /// 3: disk full or allocation exceeded.
    pub const DISK_FULL: ErrorCode = ErrorCode(3);
    /// 4: illegal TFTP operation.
    pub const ILLEGAL: ErrorCode = ErrorCode(4);
    /// 5: unknown transfer ID.
    pub const UNKNOWN_TID: ErrorCode = ErrorCode(5);
    /// 6: file already exists.
    pub const EXISTS: ErrorCode = ErrorCode(6);
    /// 7: no such user.
    pub const NO_USER: ErrorCode = ErrorCode(7);
    /// 8: the transfer ends because of its options.
    pub const OPTION: ErrorCode = ErrorCode(8);

    /// The RFC's words for it.
    pub fn words(self) -> &'static str {
        match self.0 {
            0 => "not defined",
            1 => "file not found",
            2 => "access violation",
            3 => "disk full or allocation exceeded",
            4 => "illegal TFTP operation",
            5 => "unknown transfer ID",
            6 => "file already exists",
            7 => "no such user",
            8 => "option refused",
            _ => "unknown code",
        }
    }
}
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.words())
    }
}

/// A packet, its fields pointing into the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// RRQ or WRQ, opcodes 1 and 2.
    Request(Request<'a>),
    /// DATA, opcode 3.
    Data {
        /// Its number on the wire.
        block: u16,
        /// Up to blksize octets; fewer end the file.
        data: &'a [u8],
    },
    /// ACK, opcode 4: all blocks up to this one have come.
    Ack {
        /// The number on the wire.
        block: u16,
    },
    /// ERROR, opcode 5: ends the transfer. A missing NUL at its end is forgiven, since what it says is the end.
    Error {
        /// Why.
        code: ErrorCode,
        /// The peer's text, without its NUL. Not necessarily UTF-8.
        message: &'a [u8],
    },
    /// OACK, opcode 6: the options that hold.
    OptionAck(OptionList<'a>),
}

/// RRQ or WRQ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// Which of the two.
    pub kind: Kind,
    /// The file's name as it came: not empty, no NUL; not necessarily UTF-8.
    pub name: &'a [u8],
    /// The mode's name as it came.
    pub mode: &'a [u8],
    /// The options as they came.
    pub options: OptionList<'a>,
}

/// Options on the wire: name, NUL, value, NUL, and so on.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct OptionList<'a>(&'a [u8]);
impl<'a> OptionList<'a> {
    fn parse(bytes: &'a [u8]) -> Result<OptionList<'a>, Malformed> {
        // Some boot ROMs pad requests with zeros: an empty name ends the list if only zeros follow.
        let mut rest = bytes;
        while !rest.is_empty() {
            if rest.iter().all(|&b| b == 0) {
                return Ok(OptionList(&bytes[..bytes.len() - rest.len()]));
            }
            let (name, after) = text(rest).ok_or(Malformed::OptionNotEnded)?;
            if name.is_empty() {
                return Err(Malformed::OptionWithoutName);
            }
            rest = text(after).ok_or(Malformed::OptionNotEnded)?.1;
        }
        Ok(OptionList(bytes))
    }
    /// Name and value of each, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, after) = text(rest)?;
            let (value, after) = text(after)?;
            rest = after;
            Some((name, value))
        })
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
impl fmt::Debug for OptionList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |b| String::from_utf8_lossy(b);
        f.debug_map()
            .entries(self.iter().map(|(n, v)| (words(n), words(v))))
            .finish()
    }
}

/// Why bytes are no packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Malformed {
    /// Shorter than its opcode wants.
    Short,
    /// No opcode of ours (1 to 6).
    Opcode(u16),
    /// A request whose file name has no NUL, or is empty.
    Name,
    /// A request whose mode has no NUL.
    ModeNotEnded,
    /// An option without a NUL after its name or value.
    OptionNotEnded,
    /// An option with an empty name.
    OptionWithoutName,
    /// Octets after the end of an ACK.
    Trailing,
}
impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Short => f.write_str("packet too short"),
            Malformed::Opcode(n) => write!(f, "unknown opcode {n}"),
            Malformed::Name => f.write_str("file name missing or not ended"),
            Malformed::ModeNotEnded => f.write_str("mode missing or not ended"),
            Malformed::OptionNotEnded => f.write_str("option not ended"),
            Malformed::OptionWithoutName => f.write_str("option without a name"),
            Malformed::Trailing => f.write_str("octets after the end of an ACK"),
        }
    }
}

/// Text up to a NUL, and what follows the NUL.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// Why it is no packet: it is to be counted and dropped.
    pub fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let (&[a, b], body) = bytes.split_first_chunk::<2>().ok_or(Malformed::Short)?;
        let number = || match body {
            [a, b, ..] => Ok(u16::from_be_bytes([*a, *b])),
            _ => Err(Malformed::Short),
        };
        match u16::from_be_bytes([a, b]) {
            1 => Request::parse(Kind::Read, body).map(Packet::Request),
            2 => Request::parse(Kind::Write, body).map(Packet::Request),
            3 => Ok(Packet::Data {
                block: number()?,
                data: &body[2..],
            }),
            4 if body.len() > 2 => Err(Malformed::Trailing),
            4 => Ok(Packet::Ack { block: number()? }),
            5 => {
                let code = ErrorCode(number()?);
                let message = text(&body[2..]).map_or(&body[2..], |(text, _)| text);
                Ok(Packet::Error { code, message })
            }
            6 => OptionList::parse(body).map(Packet::OptionAck),
            other => Err(Malformed::Opcode(other)),
        }
    }
    /// Writes it: reading it again gives the same packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Packet::Request(request) => {
                out.extend_from_slice(&[0, if request.kind == Kind::Read { 1 } else { 2 }]);
                for text in [request.name, request.mode] {
                    out.extend_from_slice(text);
                    out.push(0);
                }
                out.extend_from_slice(request.options.0);
            }
            Packet::Data { block, data } => {
                out.extend_from_slice(&data_header(block));
                out.extend_from_slice(data);
            }
            Packet::Ack { block } => out.extend_from_slice(&ack(block)),
            Packet::Error { code, message } => {
                out.extend_from_slice(&[0, 5]);
                out.extend_from_slice(&code.0.to_be_bytes());
                out.extend_from_slice(message);
                out.push(0);
            }
            Packet::OptionAck(list) => {
                out.extend_from_slice(&[0, 6]);
                out.extend_from_slice(list.0);
            }
        }
    }
}

impl<'a> Request<'a> {
    fn parse(kind: Kind, body: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let (name, rest) = text(body).ok_or(Malformed::Name)?;
        if name.is_empty() {
            return Err(Malformed::Name);
        }
        let (mode, rest) = text(rest).ok_or(Malformed::ModeNotEnded)?;
        let options = OptionList::parse(rest)?;
        Ok(Request {
            kind,
            name,
            mode,
            options,
        })
    }
}

/// The options that we know. `None`: not asked for, or not granted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Octets in a block, 8 to 65,464 (RFC 2348).
    pub blksize: Option<u16>,
    /// Seconds between retransmissions, 1 to 255 (RFC 2349).
    pub timeout: Option<u8>,
    /// Octets in the file; 0 in an RRQ asks for it (RFC 2349).
    pub tsize: Option<u64>,
    /// Blocks for each ACK, 1 to 65,535 (RFC 7440).
    pub windowsize: Option<u16>,
}

/// A known option with an impossible value, or one given twice (RFC 2347). Answered with ERROR 8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadOption(pub &'static str);
impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad value for option {}", self.0)
    }
}

impl Options {
    /// Reads those that we know; others are ignored (RFC 2347). A block size above the largest is the largest, since
    /// the answer may be smaller than what was asked.
    ///
    /// # Errors
    /// A bad value.
    pub fn read(list: OptionList<'_>) -> Result<Options, BadOption> {
        let mut options = Options::default();
        for (name, value) in list.iter() {
            let known = ["blksize", "timeout", "tsize", "windowsize"];
            let Some(name) = known
                .into_iter()
                .find(|k| name.eq_ignore_ascii_case(k.as_bytes()))
            else {
                continue;
            };
            let bad = BadOption(name);
            let value = number(value).ok_or(bad)?;
            let in_range = |low: u64, high: u64| match value {
                v if v < low || v > high => Err(bad),
                v => Ok(v),
            };
            let before = match name {
                "blksize" => {
                    let value = in_range(BLKSIZE_MIN.into(), u64::MAX)?.min(BLKSIZE_MAX.into());
                    options.blksize.replace(value as u16).is_some()
                }
                "timeout" => options.timeout.replace(in_range(1, 255)? as u8).is_some(),
                "tsize" => options.tsize.replace(value).is_some(),
                _ => options.windowsize.replace(in_range(1, 65_535)? as u16).is_some(),
            };
            if before {
                return Err(bad);
            }
        }
        Ok(options)
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Options::default()
    }
    fn write(&self, out: &mut Vec<u8>) {
        let fields = [
            ("blksize", self.blksize.map(u64::from)),
            ("timeout", self.timeout.map(u64::from)),
            ("tsize", self.tsize),
            ("windowsize", self.windowsize.map(u64::from)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                out.extend_from_slice(name.as_bytes());
                out.push(0);
                out.extend_from_slice(value.to_string().as_bytes());
                out.push(0);
            }
        }
    }
}
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        let words = bytes.split(|&b| b == 0).map(String::from_utf8_lossy);
        let words: Vec<_> = words.filter(|w| !w.is_empty()).collect();
        let pairs: Vec<_> = words.chunks(2).map(|pair| pair.join("=")).collect();
        f.write_str(&pairs.join(" "))
    }
}

/// A decimal number without sign.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An RRQ or WRQ. `name` must not hold a NUL: the peer would see another name.
pub fn request(kind: Kind, name: &[u8], mode: Mode, options: &Options) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 96);
    out.extend_from_slice(&[0, if kind == Kind::Read { 1 } else { 2 }]);
    out.extend_from_slice(name);
    out.push(0);
    out.extend_from_slice(mode.name().as_bytes());
    out.push(0);
    options.write(&mut out);
    out
}
/// The header of a DATA packet; its data follow.
pub fn data_header(block: u16) -> [u8; HEADER] {
    let [a, b] = block.to_be_bytes();
    [0, 3, a, b]
}
/// An ACK.
pub fn ack(block: u16) -> [u8; 4] {
    let [a, b] = block.to_be_bytes();
    [0, 4, a, b]
}
/// An ERROR. NULs in the message end it.
pub fn error(code: ErrorCode, message: &str) -> Vec<u8> {
    let [a, b] = code.0.to_be_bytes();
    let mut out = vec![0, 5, a, b];
    out.extend(message.bytes().take_while(|&b| b != 0));
    out.push(0);
    out
}
/// An OACK.
pub fn option_ack(options: &Options) -> Vec<u8> {
    let mut out = vec![0, 6];
    options.write(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Proves: 1350-1, 2347-1.
    #[test]
    fn requests_as_the_rfc_draws_them() {
        let bytes = b"\0\x01pxelinux.0\0OcTeT\0BLKSIZE\x001428\0tsize\x000\0foo\0bar\0";
        let Ok(Packet::Request(r)) = Packet::parse(bytes) else {
            panic!()
        };
        assert_eq!((r.kind, r.name), (Kind::Read, &b"pxelinux.0"[..]));
        assert_eq!(Mode::parse(r.mode), Some(Mode::Octet));
        let options = Options::read(r.options).unwrap();
        assert_eq!((options.blksize, options.tsize), (Some(1428), Some(0)));
        assert_eq!(options.to_string(), "blksize=1428 tsize=0");
        assert_eq!(Mode::parse(b"mail"), None);
    }

    #[test]
    fn each_way_to_be_malformed() {
        let cases: [(&[u8], Malformed); 12] = [
            (b"", Malformed::Short),
            (b"\0", Malformed::Short),
            (b"\0\x03", Malformed::Short),
            (b"\0\x04\0", Malformed::Short),
            (b"\0\x04\0\x01x", Malformed::Trailing),
            (b"\0\x05\0", Malformed::Short),
            (b"\0\x07\0\0", Malformed::Opcode(7)),
            (b"\0\x01file", Malformed::Name),
            (b"\0\x01\0octet\0", Malformed::Name),
            (b"\0\x02file\0octet", Malformed::ModeNotEnded),
            (b"\0\x02file\0octet\0blksize\0", Malformed::OptionNotEnded),
            (b"\0\x06\0value\0", Malformed::OptionWithoutName),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Packet::parse(bytes), Err(expected), "{bytes:?}");
        }
        // Zeros at the end of a request are forgiven: boot ROMs pad.
        assert!(Packet::parse(b"\0\x01file\0octet\0\0\0\0").is_ok());
        // So is the NUL that is missing at the end of an ERROR.
        let code = ErrorCode::NOT_FOUND;
        let error = Packet::Error { code, message: b"no" };
        assert_eq!(Packet::parse(b"\0\x05\0\x01no"), Ok(error));
        assert_eq!(Packet::parse(b"\0\x05\0\x01no\0"), Ok(error));
    }

    /// Proves: 2348-1, 2349-1, 7440-1.
    #[test]
    fn option_values_are_checked() {
        let read = |text: &[u8]| {
            let bytes = [b"\0\x06", text].concat();
            match Packet::parse(&bytes) {
                Ok(Packet::OptionAck(list)) => Options::read(list),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read(b"blksize\x008\0").unwrap().blksize, Some(8));
        assert_eq!(read(b"blksize\x0099999\0").unwrap().blksize, Some(65_464));
        assert_eq!(read(b"WindowSize\x0065535\0").unwrap().windowsize, Some(65_535));
        for bad in [
            &b"blksize\x007\0"[..],
            b"blksize\0\0",
            b"blksize\0-1\0",
            b"blksize\0+9\0",
            b"blksize\x00512x\0",
            b"timeout\x000\0",
            b"timeout\x00256\0",
            b"windowsize\x000\0",
            b"tsize\x0099999999999999999999\0",
            b"blksize\x00512\0BLKSIZE\x00512\0",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), op in 0u8..9) {
            let _ = Packet::parse(&bytes);
            let bytes = [&[0, op][..], &bytes].concat();
            if let Ok(packet) = Packet::parse(&bytes) {
                let mut again = Vec::new();
                packet.write(&mut again);
                prop_assert_eq!(Packet::parse(&again), Ok(packet));
            }
            if let Ok(Packet::Request(Request { options, .. }) | Packet::OptionAck(options)) = Packet::parse(&bytes) {
                let _ = Options::read(options);
            }
        }

        #[test]
        fn what_is_written_is_read(
            name in "[^\0]{1,40}", write: bool, netascii: bool, blksize in prop::option::of(8u16..=65_464),
            timeout in prop::option::of(1u8..), tsize: Option<u64>, windowsize in prop::option::of(1u16..),
        ) {
            let kind = if write { Kind::Write } else { Kind::Read };
            let mode = if netascii { Mode::Netascii } else { Mode::Octet };
            let options = Options { blksize, timeout, tsize, windowsize };
            let bytes = request(kind, name.as_bytes(), mode, &options);
            let Ok(Packet::Request(r)) = Packet::parse(&bytes) else { panic!() };
            prop_assert_eq!((r.kind, r.name, Mode::parse(r.mode)), (kind, name.as_bytes(), Some(mode)));
            prop_assert_eq!(Options::read(r.options), Ok(options));
            let bytes = option_ack(&options);
            let Ok(Packet::OptionAck(list)) = Packet::parse(&bytes) else { panic!() };
            prop_assert_eq!(Options::read(list), Ok(options));
        }
    }
}
