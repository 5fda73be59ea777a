//! Segments as scripts write them.

use std::fmt;

use sockeye_stack::tcp::Flags;

use super::syntax::{Ecn, IpPart, Tcp, TcpOption};

/// `S.`, `FP.`, `-`.
pub(super) fn flags(bits: u8) -> String {
    const LETTERS: [(Flags, char); 8] = [
        (Flags::FIN, 'F'),
        (Flags::SYN, 'S'),
        (Flags::RST, 'R'),
        (Flags::PSH, 'P'),
        (Flags::URG, 'U'),
        (Flags::ECE, 'E'),
        (Flags::CWR, 'W'),
        (Flags::ACK, '.'),
    ];
    let letters: String = LETTERS
        .iter()
        .filter(|(flag, _)| bits & flag.bits() != 0)
        .map(|(_, letter)| letter)
        .collect();
    if letters.is_empty() { "-".into() } else { letters }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.start.wrapping_add(self.len.into());
        write!(f, "{} {}:{end}({})", flags(self.flags), self.start, self.len)?;
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if let Some(urgent) = self.urgent {
            write!(f, " urg {urgent}")?;
        }
        match &self.options {
            None => f.write_str(" <...>"),
            Some(options) if options.is_empty() => Ok(()),
            Some(options) => write!(f, " {}", option_words(options)),
        }
    }
}

/// `<mss 1460,nop>`; `no options`.
pub(super) fn option_words(options: &[TcpOption]) -> String {
    if options.is_empty() {
        return "no options".into();
    }
    let words: Vec<_> = options.iter().map(ToString::to_string).collect();
    format!("<{}>", words.join(","))
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TcpOption::End => f.write_str("eol"),
            TcpOption::Nop => f.write_str("nop"),
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackPermitted => f.write_str("sackOK"),
            TcpOption::Sack(blocks) => {
                f.write_str("sack")?;
                blocks
                    .iter()
                    .try_for_each(|(start, end)| write!(f, " {start}:{end}"))
            }
            TcpOption::Timestamps { value, echo } => write!(f, "TS val {value} ecr {echo}"),
            TcpOption::Raw(octets) => {
                f.write_str("raw ")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

/// `ect0`, `ce`.
pub(super) fn ecn(bits: u8) -> &'static str {
    match bits & 3 {
        0 => "noecn",
        1 => "ect1",
        2 => "ect0",
        _ => "ce",
    }
}

impl fmt::Display for IpPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match self.ecn {
            Some(Ecn::Bits(bits)) => words.push(ecn(bits).to_string()),
            Some(Ecn::Ect01) => words.push("ect01".into()),
            None => {}
        }
        words.extend(self.tos.map(|tos| format!("tos {tos:#x}")));
        words.extend(self.ttl.map(|ttl| format!("ttl {ttl}")));
        words.extend(self.flow_label.map(|label| format!("flowlabel {label:#x}")));
        words.extend(self.source.map(|source| format!("src {source}")));
        words.extend(self.destination.map(|destination| format!("dst {destination}")));
        words.extend(self.bad_checksum.then(|| "badsum".to_string()));
        if words.is_empty() {
            return Ok(());
        }
        write!(f, "[{}] ", words.join(", "))
    }
}
