//! `tftp://host[:port]/path[;mode=octet]` (RFC 3617).

use std::fmt;
use std::str::FromStr;

use super::super::packet::Mode;

/// TFTP's port.
pub const PORT: u16 = 69;

/// A file on a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    /// A name or an address, without brackets.
    pub host: String,
    /// 69 by default.
    pub port: u16,
    /// The file's name: what follows the slash after the host. `//name` begins with a slash.
    pub name: Vec<u8>,
    /// octet by default.
    pub mode: Mode,
}

/// Why text is no such URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadUrl(pub &'static str);
impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; wanted: tftp://host[:port]/path[;mode=octet]", self.0)
    }
}
impl std::error::Error for BadUrl {}

impl FromStr for Url {
    type Err = BadUrl;
    fn from_str(text: &str) -> Result<Url, BadUrl> {
        let scheme = text.get(..7).filter(|s| s.eq_ignore_ascii_case("tftp://"));
        let rest = scheme
            .and_then(|s| text.get(s.len()..))
            .ok_or(BadUrl("a URL begins with tftp://"))?;
        let (authority, path) = rest.split_once('/').ok_or(BadUrl("no file is named"))?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed
                    .split_once(']')
                    .ok_or(BadUrl("a bracket is not closed"))?;
                match rest {
                    "" => (host, None),
                    _ => (host, Some(rest.strip_prefix(':').ok_or(BadUrl("bad port"))?)),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(BadUrl("no host is named"));
        }
        let port = match port {
            None => PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(BadUrl("a port is a number from 1 to 65535")),
            },
        };
        let (path, mode) = match path.rsplit_once(";mode=") {
            Some((path, mode)) => (
                path,
                Mode::parse(mode.as_bytes()).ok_or(BadUrl("mode is octet or netascii"))?,
            ),
            None => (path, Mode::Octet),
        };
        let name = decode(path)?;
        if name.is_empty() {
            return Err(BadUrl("no file is named"));
        }
        if name.contains(&0) {
            return Err(BadUrl("a name cannot hold a zero"));
        }
        Ok(Url {
            host: host.into(),
            port,
            name,
            mode,
        })
    }
}
impl Url {
    /// The last part of the name: what a downloaded file is called.
    pub fn file_name(&self) -> String {
        let last = self.name.rsplit(|&b| b == b'/').next().unwrap_or_default();
        String::from_utf8_lossy(last).into_owned()
    }
}

/// Takes `%41` for `A`.
fn decode(text: &str) -> Result<Vec<u8>, BadUrl> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(BadUrl("% needs two hexadecimal digits")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url: Url = "tftp://boot.example/pxe/linux%200".parse().unwrap();
        assert_eq!(
            (&url.host[..], url.port, url.mode),
            ("boot.example", 69, Mode::Octet)
        );
        assert_eq!(url.name, b"pxe/linux 0");
        assert_eq!(url.file_name(), "linux 0");
        let url: Url = "TFTP://[fe80::1%eth0]:6969//abs;mode=NetASCII".parse().unwrap();
        assert_eq!(
            (&url.host[..], url.port, url.mode),
            ("fe80::1%eth0", 6969, Mode::Netascii)
        );
        assert_eq!(url.name, b"/abs");
        for bad in [
            "http://h/f",
            "tftp://h",
            "tftp://h/",
            "tftp:///f",
            "tftp://h:88888/f",
            "tftp://h:/f",
            "tftp://h:0/f",
            "tftp://[::1/f",
            "tftp://[::1]x/f",
            "tftp://h/f;mode=mail",
            "tftp://h/%4",
            "tftp://h/%00",
            "tftp://h/%zz",
            "你好",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }
}
