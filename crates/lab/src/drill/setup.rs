//! How a script is run: profile, family, and what its head asks for.

use std::net::IpAddr;

use sockeye_stack::Profile;

use super::engine::Place;
use super::fault::Fault;
use super::syntax::{HeadOption, Script};

/// What the wire carries, and what the sockets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv4 on the wire, sockets of AF_INET6 with mapped addresses.
    Mapped,
}

impl Family {
    /// All three.
    pub const ALL: [Family; 3] = [Family::V4, Family::V6, Family::Mapped];
    /// `ipv4`, `ipv6`, `mapped`.
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
            Family::Mapped => "mapped",
        }
    }
    fn from_option(text: &str) -> Option<Family> {
        match text {
            "ipv4" => Some(Family::V4),
            "ipv6" => Some(Family::V6),
            "ipv4-mapped-ipv6" | "mapped" => Some(Family::Mapped),
            _ => None,
        }
    }
}

/// One way to run a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    /// Whose figures the stack has.
    pub profile: Profile,
    /// Which family.
    pub family: Family,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let profile = match self.profile {
            Profile::Rfc => "rfc",
            Profile::Linux => "linux",
        };
        write!(f, "{profile} {}", self.family.name())
    }
}

/// How scripts are run.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// All chance comes from this number.
    pub seed: u64,
    /// Settings to change: `net.ipv4.tcp_sack`, `0`.
    pub settings: Vec<(String, String)>,
    /// Pass over shell lines that are no settings instead of refusing them.
    pub skip_shell: bool,
    /// Keep the core's account of the frames, for a capture.
    pub traced: bool,
}

/// What the head of a script says, for a mode.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) place: Place,
    pub(super) remote: IpAddr,
    pub(super) bind_port: u16,
    pub(super) connect_port: u16,
    pub(super) tolerance_usecs: i64,
    pub(super) tolerance_percent: i64,
    pub(super) tick_usecs: i64,
    /// Frames that come at the same moment are handed in together.
    pub(super) burst: bool,
}

impl Script {
    /// Whether it is written for this mode.
    pub fn suits(&self, mode: Mode) -> bool {
        let only = |words: &[&str], is: &str| {
            let named: Vec<_> = self
                .notes
                .only
                .iter()
                .filter(|w| words.contains(&w.as_str()))
                .collect();
            named.is_empty() || named.iter().any(|word| *word == is)
        };
        let profile = match mode.profile {
            Profile::Rfc => "rfc",
            Profile::Linux => "linux",
        };
        let option = |name: &str| self.options.iter().rev().find(|option| option.name == name);
        let family = option("ip_version").and_then(|option| Family::from_option(&option.value));
        let figures = option("profile").map(|option| option.value.as_str());
        only(&["rfc", "linux"], profile)
            && only(&["ipv4", "ipv6", "mapped"], mode.family.name())
            && family.is_none_or(|family| family == mode.family)
            && figures.is_none_or(|figures| figures == profile || figures == "both")
    }
}

fn bad(option: &HeadOption, wanted: &str) -> Fault {
    let message = format!("--{} wants {wanted}", option.name);
    Fault::script(option.span, message, format!("this is {:?}", option.value))
}

fn number(option: &HeadOption, most: i64) -> Result<i64, Fault> {
    option
        .value
        .parse()
        .ok()
        .filter(|n| (0..=most).contains(n))
        .ok_or_else(|| bad(option, &format!("a number of at most {most}")))
}
fn port(option: &HeadOption) -> Result<u16, Fault> {
    number(option, u16::MAX.into()).map(|n| n as u16)
}

impl Head {
    /// Packetdrill's defaults with what the script changes.
    pub(super) fn of(script: &Script, mode: Mode) -> Result<Head, Fault> {
        let v4 = mode.family != Family::V6;
        let address =
            |v4_text: [u8; 4], v6: [u16; 8]| -> IpAddr { if v4 { v4_text.into() } else { v6.into() } };
        let mut head = Head {
            place: Place {
                local: address([192, 168, 0, 1], [0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1]),
                gateway: address([192, 168, 0, 2], [0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 2]),
                prefix: if v4 { 16 } else { 64 },
                // 20 octets more for the longer header, so that segments are the same.
                mtu: if v4 { 1500 } else { 1520 },
            },
            remote: address([192, 0, 2, 1], [0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1]),
            bind_port: 8080,
            connect_port: 8080,
            tolerance_usecs: 4000,
            tolerance_percent: 0,
            tick_usecs: 0,
            burst: false,
        };
        for option in &script.options {
            head.set(option, v4)?;
        }
        Ok(head)
    }
    fn set(&mut self, option: &HeadOption, v4: bool) -> Result<(), Fault> {
        let own = |family: bool| family == v4;
        let ip = |option: &HeadOption| option.value.parse().map_err(|_| bad(option, "an IP address"));
        match option.name.as_str() {
            "ip_version" => {
                Family::from_option(&option.value)
                    .ok_or_else(|| bad(option, "ipv4, ipv6 or ipv4-mapped-ipv6"))?;
            }
            "profile" if matches!(option.value.as_str(), "rfc" | "linux" | "both") => {}
            "profile" => return Err(bad(option, "rfc, linux or both")),
            "tolerance_usecs" => self.tolerance_usecs = number(option, 1_000_000_000)?,
            "tolerance_percent" => {
                let parsed = option
                    .value
                    .parse::<f64>()
                    .ok()
                    .filter(|n| (0.0..=100.0).contains(n));
                let percent = parsed.ok_or_else(|| bad(option, "a share in percent"))?;
                self.tolerance_percent = percent.ceil() as i64;
            }
            "tcp_ts_tick_usecs" => self.tick_usecs = number(option, 1_000_000)?,
            "mtu" => self.place.mtu = number(option, 65_535)?.max(68) as u32,
            // The MTU that lets segments be as large.
            "mss" => self.place.mtu = number(option, 65_475)?.max(48) as u32 + if v4 { 40 } else { 60 },
            "bind_port" => self.bind_port = port(option)?,
            "connect_port" => self.connect_port = port(option)?,
            "local_ip" if own(option.value.contains('.')) => self.place.local = ip(option)?,
            "remote_ip" if own(option.value.contains('.')) => self.remote = ip(option)?,
            "gateway_ip" if own(option.value.contains('.')) => self.place.gateway = ip(option)?,
            "local_ip" | "remote_ip" | "gateway_ip" => {
                ip(option)?;
            }
            "netmask_ip" => {
                let mask: std::net::Ipv4Addr = option
                    .value
                    .parse()
                    .map_err(|_| bad(option, "a mask as 255.255.0.0"))?;
                if v4 {
                    self.place.prefix = mask.to_bits().leading_ones() as u8;
                }
            }
            "burst" => self.burst = number(option, 1)? != 0,
            // These are about packetdrill's own workings.
            "verbose" | "debug" | "dry_run" | "speed" | "code_command" | "code_format" | "code_sockopt"
            | "non_fatal" | "init_scripts" | "persistent_tun_dev" | "send_omit_free" => {}
            name => {
                let message = format!("--{name} is not supported");
                return Err(Fault::unsupported(option.span, message, "not supported"));
            }
        }
        Ok(())
    }
}
