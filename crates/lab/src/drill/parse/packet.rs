//! Packets: `< [ce] S 0:0(0) win 1000 <mss 1460>`.

use std::net::IpAddr;

use sockeye_stack::tcp::Flags;

use super::Parser;
use crate::drill::fault::Fault;
use crate::drill::lex::Token;
use crate::drill::syntax::{Body, Ecn, Icmp, IpPart, Packet, Quoted, Tcp, TcpOption};

/// Octets of TCP options, at most.
const OPTION_SPACE: usize = 40;

impl Parser<'_> {
    pub(super) fn packet(&mut self) -> Result<Packet, Fault> {
        let inbound = self.take('<');
        if !inbound {
            self.want('>')?;
        }
        let ip = self.ip_part(inbound)?;
        for (word, what) in [
            ("ipv4", "tunnels of IPv4"),
            ("ipv6", "tunnels of IPv6"),
            ("gre", "GRE"),
            ("GREv0", "GRE"),
            ("mpls", "MPLS"),
        ] {
            if self.is_word(word) {
                let message = format!("{what} is not supported in packets");
                return Err(Fault::unsupported(self.span(), message, "here"));
            }
        }
        if self.take_word("icmp") {
            let body = Body::Icmp(self.icmp()?);
            return Ok(Packet {
                inbound,
                ip,
                ports: None,
                body,
            });
        }
        if self.take_word("udp") {
            let ports = self.ports()?;
            self.want('(')?;
            let len = self.u16("the datagram's length")?;
            self.want(')')?;
            return Ok(Packet {
                inbound,
                ip,
                ports,
                body: Body::Udp { len },
            });
        }
        let ports = self.ports()?;
        let body = Body::Tcp(self.tcp(inbound)?);
        Ok(Packet {
            inbound,
            ip,
            ports,
            body,
        })
    }
    fn ports(&mut self) -> Result<Option<(u16, u16)>, Fault> {
        if !matches!(self.peek(), Some(Token::Int(_))) {
            return Ok(None);
        }
        let source = self.u16("the source port")?;
        self.want('>')?;
        let destination = self.u16("the destination port")?;
        Ok(Some((source, destination)))
    }

    fn ip_part(&mut self, inbound: bool) -> Result<IpPart, Fault> {
        let mut part = IpPart::default();
        let close = if self.take('[') {
            ']'
        } else if self.take('(') {
            ')'
        } else {
            return Ok(part);
        };
        loop {
            let span = self.span();
            let Some(Token::Word(word)) = self.peek() else {
                return Err(self.unexpected("what stands in the IP header, as `ect0` or `ttl 64`"));
            };
            self.at += 1;
            match word.as_str() {
                "noecn" => part.ecn = Some(Ecn::Bits(0)),
                "ect1" => part.ecn = Some(Ecn::Bits(1)),
                "ect0" => part.ecn = Some(Ecn::Bits(2)),
                "ce" => part.ecn = Some(Ecn::Bits(3)),
                "ect01" if !inbound => part.ecn = Some(Ecn::Ect01),
                "tos" => part.tos = Some(self.number("the type of service", 255)? as u8),
                "ttl" => part.ttl = Some(self.number("the time to live", 255)? as u8),
                "flowlabel" => part.flow_label = Some(self.number("the flow label", 0xf_ffff)? as u32),
                "src" => part.source = Some(self.address()?),
                "dst" => part.destination = Some(self.address()?),
                "badsum" if inbound => part.bad_checksum = true,
                "ipopt" => part.options = self.hex()?,
                _ => {
                    return Err(Fault::script(span, "this is no field of the IP header", "here").help(
                        "noecn, ect0, ect1, ce, ect01 (expected packets), tos, ttl, flowlabel, src, dst, ipopt, \
                         badsum (packets handed in)",
                    ));
                }
            }
            if part.options.len() > OPTION_SPACE {
                return Err(Fault::script(
                    span,
                    "these IP options are too long",
                    "40 octets fit",
                ));
            }
            if self.take(close) {
                return Ok(part);
            }
            self.want(',')?;
        }
    }
    /// An address, which is read from the text: its colons and dots are no tokens of their own.
    fn address(&mut self) -> Result<IpAddr, Fault> {
        let span = self.span();
        let rest = self.text.get(span.start..).unwrap_or_default();
        let len = rest
            .find(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
            .unwrap_or(rest.len());
        let Ok(address) = rest[..len].parse() else {
            return Err(Fault::script(span, "expected an IP address", "here"));
        };
        while self
            .tokens
            .get(self.at)
            .is_some_and(|t| t.span.start < span.start + len)
        {
            self.at += 1;
        }
        Ok(address)
    }
    /// Octets in hexadecimal.
    fn hex(&mut self) -> Result<Vec<u8>, Fault> {
        let span = self.span();
        let rest = self.text.get(span.start..).unwrap_or_default();
        let len = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let text = &rest[..len];
        let octet = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let octets: Option<Vec<u8>> = (0..len).step_by(2).map(octet).collect();
        let Some(octets) = octets.filter(|octets| !octets.is_empty()) else {
            return Err(Fault::script(
                span,
                "expected octets in hexadecimal",
                "two digits each",
            ));
        };
        while self
            .tokens
            .get(self.at)
            .is_some_and(|t| t.span.start < span.start + len)
        {
            self.at += 1;
        }
        Ok(octets)
    }

    fn tcp(&mut self, inbound: bool) -> Result<Tcp, Fault> {
        let flags = self.flags()?;
        let (start, len) = self.sequence()?;
        let ack = if self.take_word("ack") {
            Some(self.u32("the acknowledgment number")?)
        } else {
            None
        };
        let window = if self.take_word("win") {
            Some(self.u16("the window")?)
        } else {
            None
        };
        let urgent = if self.take_word("urg") {
            Some(self.u16("the urgent pointer")?)
        } else {
            None
        };
        let options = self.tcp_options(inbound)?;
        if self.is('{') {
            return Err(Fault::unsupported(
                self.span(),
                "mutations of packets are not supported",
                "here",
            ));
        }
        Ok(Tcp {
            flags,
            start,
            len,
            ack,
            window,
            urgent,
            options,
        })
    }
    fn flags(&mut self) -> Result<u8, Fault> {
        let span = self.span();
        let mut flags = Flags::empty();
        if self.take('-') {
            return Ok(0);
        }
        let mut any = false;
        if let Some(Token::Word(word)) = self.peek() {
            any = true;
            for letter in word.chars() {
                flags |= match letter {
                    'F' => Flags::FIN,
                    'S' => Flags::SYN,
                    'R' => Flags::RST,
                    'P' => Flags::PSH,
                    'U' => Flags::URG,
                    'E' => Flags::ECE,
                    'W' => Flags::CWR,
                    _ => {
                        let message = format!("`{letter}` is no flag of TCP");
                        return Err(Fault::script(span, message, "here")
                            .help("F S R P U E W, and `.` for ACK, as in `S.` or `FP.`; `-` for none"));
                    }
                };
            }
            self.at += 1;
        }
        if self.take('.') {
            any = true;
            flags |= Flags::ACK;
        }
        if !any {
            return Err(self.unexpected("the flags of a segment, as `S`, `P.` or `.`"));
        }
        Ok(flags.bits())
    }
    /// `1:11(10)`: the first number and the length.
    fn sequence(&mut self) -> Result<(u32, u16), Fault> {
        let from = self.span();
        let start = self.u32("the sequence number")?;
        self.want(':')?;
        let end = self.u32("the sequence number behind the segment")?;
        self.want('(')?;
        let len = self.u16("the payload's length")?;
        self.want(')')?;
        if end != start.wrapping_add(len.into()) {
            let message = "sequence numbers and length do not agree";
            let label = format!("{start} + {len} is {}", start.wrapping_add(len.into()));
            return Err(Fault::script(from.to(self.behind()), message, label));
        }
        Ok((start, len))
    }

    fn tcp_options(&mut self, inbound: bool) -> Result<Option<Vec<TcpOption>>, Fault> {
        let mut options = Vec::new();
        let start = self.span();
        if !self.is('<') {
            return Ok(Some(options));
        }
        // A packet without options may be followed by an event... which never begins with a bracket.
        self.at += 1;
        if self.peek() == Some(&Token::Ellipsis) {
            self.at += 1;
            self.want('>')?;
            if inbound {
                let message = "a packet that is handed in needs its options";
                return Err(
                    Fault::script(start, message, "<...> stands for any").help("<...> can only be expected")
                );
            }
            return Ok(None);
        }
        loop {
            options.push(self.tcp_option()?);
            if !self.take(',') {
                break;
            }
        }
        self.want('>')?;
        let len: usize = options.iter().map(TcpOption::len).sum();
        if len > OPTION_SPACE {
            let label = format!("{len} octets, and {OPTION_SPACE} fit");
            return Err(Fault::script(
                start.to(self.behind()),
                "these options are too long",
                label,
            ));
        }
        Ok(Some(options))
    }
    fn tcp_option(&mut self) -> Result<TcpOption, Fault> {
        let span = self.span();
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.unexpected("an option of TCP"));
        };
        self.at += 1;
        Ok(match word.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::End,
            "mss" => TcpOption::Mss(self.u16("the segment size")?),
            "wscale" => TcpOption::WindowScale(self.number("the window scale", 255)? as u8),
            "sackOK" => TcpOption::SackPermitted,
            "sack" => {
                let mut blocks = Vec::new();
                while matches!(self.peek(), Some(Token::Int(_))) {
                    let start = self.u32("the start of a SACK block")?;
                    self.want(':')?;
                    blocks.push((start, self.u32("the end of a SACK block")?));
                }
                if blocks.is_empty() {
                    return Err(self.unexpected("a SACK block, as `1001:2001`"));
                }
                TcpOption::Sack(blocks)
            }
            "TS" => {
                if !self.take_word("val") {
                    return Err(self.unexpected("`val`"));
                }
                let value = self.u32("the timestamp")?;
                if !self.take_word("ecr") {
                    return Err(self.unexpected("`ecr`"));
                }
                let echo = self.u32("the timestamp echoed")?;
                TcpOption::Timestamps { value, echo }
            }
            "FO" => TcpOption::Raw(self.cookie(&[34])?),
            "FOEXP" => TcpOption::Raw(self.cookie(&[254, 0xf9, 0x89])?),
            "raw" => TcpOption::Raw(self.hex()?),
            "md5" => {
                let message = "MD5 signatures are not supported";
                return Err(Fault::unsupported(span, message, "here"));
            }
            _ => {
                return Err(Fault::script(span, "this is no option of TCP", "here")
                    .help("mss, nop, eol, wscale, sackOK, sack, TS val N ecr N, FO, FOEXP, raw HEX"));
            }
        })
    }
    /// A Fast Open option with its cookie, if there is one.
    fn cookie(&mut self, head: &[u8]) -> Result<Vec<u8>, Fault> {
        let cookie = match self.peek() {
            Some(Token::Word(_) | Token::Int(_)) => self.hex()?,
            _ => Vec::new(),
        };
        let mut option = vec![head[0], (head.len() + 1 + cookie.len()).min(255) as u8];
        option.extend_from_slice(&head[1..]);
        option.extend(cookie);
        Ok(option)
    }

    fn icmp(&mut self) -> Result<Icmp, Fault> {
        let start = self.span();
        let Some(Token::Word(kind)) = self.peek() else {
            return Err(self.unexpected("the kind of ICMP message, as `unreachable`"));
        };
        self.at += 1;
        let mut icmp = Icmp {
            kind: kind.clone(),
            code: None,
            mtu: None,
            quoted: Quoted::Unsaid,
            span: start,
        };
        if let Some(Token::Word(word)) = self.peek()
            && word != "mtu"
            && word != "id"
        {
            icmp.code = Some(word.clone());
            self.at += 1;
        }
        if self.take_word("mtu") {
            icmp.mtu = Some(self.u32("the MTU")?);
        }
        if self.is_word("id") {
            return Err(Fault::unsupported(
                self.span(),
                "ids of echo messages are not supported",
                "here",
            ));
        }
        if self.take('[') {
            icmp.quoted = if self.take_word("udp") {
                self.want('(')?;
                let len = self.u16("the datagram's length")?;
                self.want(')')?;
                Quoted::Udp { len }
            } else if self.is_word("raw") {
                return Err(Fault::unsupported(
                    self.span(),
                    "raw packets are not supported",
                    "here",
                ));
            } else {
                let (start, len) = self.sequence()?;
                Quoted::Tcp { start, len }
            };
            self.want(']')?;
        }
        icmp.span = start.to(self.behind());
        Ok(icmp)
    }
}

impl TcpOption {
    /// Octets it takes.
    pub(in crate::drill) fn len(&self) -> usize {
        match self {
            TcpOption::End | TcpOption::Nop => 1,
            TcpOption::Mss(_) => 4,
            TcpOption::WindowScale(_) => 3,
            TcpOption::SackPermitted => 2,
            TcpOption::Sack(blocks) => 2 + 8 * blocks.len(),
            TcpOption::Timestamps { .. } => 10,
            TcpOption::Raw(octets) => octets.len(),
        }
    }
}
