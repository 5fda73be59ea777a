//! The text that a user gives a plugin: `key=value` pairs, separated by commas.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use sockeye_stack::config::{CongestionControl, Ecn, SynCookies, UrgentPointer};
use sockeye_stack::iface::Cidr;
use sockeye_stack::{Config, Duration, Profile};

/// Which addresses a script uses, and what its sockets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IpMode {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
    /// IPv4 on the wire, through IPv6 sockets.
    V4Mapped,
}

/// What a [`Machine`](crate::machine::Machine) is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which addresses.
    pub ip: IpMode,
    /// The machine's address, with the prefix of its link.
    pub local: Cidr,
    /// The network that the script's other end is in: the only one with a route, beside the link.
    pub remote: Cidr,
    /// The router before it.
    pub gateway: IpAddr,
    /// Largest IP packet of the interface, octets.
    pub mtu: u32,
    /// The stack's settings.
    pub config: Config,
    /// What the stack's secrets come from: sequence numbers, ports, keys.
    pub seed: u64,
    /// Where a capture goes.
    pub trace: Option<PathBuf>,
}

/// What cannot be understood in a text of flags, with what could be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for SettingsError {}

/// What there is, for who wrote something else.
const KEYS: &str = "ip=ipv4|ipv6|ipv4-mapped-ipv6, local=ADDRESS, remote=ADDRESS[/PREFIX], gateway=ADDRESS, \
                    prefix=BITS, mtu=OCTETS, profile=rfc|linux, seed=NUMBER, trace=FILE.pcapng, set.NAME=VALUE";

impl Default for Settings {
    fn default() -> Settings {
        Settings::for_mode(IpMode::V4)
    }
}

impl Settings {
    /// The addresses that packetdrill itself uses, MTU 1,500, the RFC's profile, seed 1.
    pub fn for_mode(ip: IpMode) -> Settings {
        let cidr = |address, prefix| Cidr { address, prefix };
        let (local, remote, gateway) = match ip {
            IpMode::V4 | IpMode::V4Mapped => (
                cidr(Ipv4Addr::new(192, 168, 0, 1).into(), 16),
                cidr(Ipv4Addr::new(192, 0, 2, 1).into(), 24),
                Ipv4Addr::new(192, 168, 0, 2).into(),
            ),
            IpMode::V6 => {
                let ours =
                    |subnet, host| IpAddr::from(Ipv6Addr::new(0xfd3d, 0x0a0b, 0x17d6, subnet, 0, 0, 0, host));
                let theirs = Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1).into();
                (cidr(ours(0, 1), 48), cidr(theirs, 48), ours(0x8888, 1))
            }
        };
        Settings {
            ip,
            local,
            remote,
            gateway,
            mtu: 1500,
            config: Config::default(),
            seed: 1,
            trace: None,
        }
    }
}

/// Reads flags; what is not named has its default.
impl FromStr for Settings {
    type Err = SettingsError;
    fn from_str(text: &str) -> Result<Settings, SettingsError> {
        let pairs = pairs(text)?;
        let value = |key: &str| pairs.iter().rev().find(|(k, _)| *k == key).map(|(_, v)| *v);
        let mode = match value("ip") {
            None | Some("ipv4") => IpMode::V4,
            Some("ipv6") => IpMode::V6,
            Some("ipv4-mapped-ipv6") => IpMode::V4Mapped,
            Some(other) => return Err(wrong("ip", other, "ipv4, ipv6 or ipv4-mapped-ipv6")),
        };
        let mut settings = Settings::for_mode(mode);
        if let Some(profile) = value("profile") {
            settings.config = Config::new(match profile {
                "rfc" => Profile::Rfc,
                "linux" => Profile::Linux,
                other => return Err(wrong("profile", other, "rfc or linux")),
            });
        }
        for (key, value) in &pairs {
            settings.apply(key, value)?;
        }
        settings.check()?;
        Ok(settings)
    }
}

/// Splits the text; each key must be one that there is.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>, SettingsError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let unknown = || SettingsError(format!("unknown flag \"{part}\"; there are {KEYS}"));
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            const PLAIN: [&str; 9] = [
                "ip", "local", "remote", "gateway", "prefix", "mtu", "profile", "seed", "trace",
            ];
            if PLAIN.contains(&key) || key.starts_with("set.") {
                Ok((key, value))
            } else {
                Err(unknown())
            }
        })
        .collect()
}

fn wrong(key: &str, value: &str, wanted: &str) -> SettingsError {
    SettingsError(format!("{key}={value}: {wanted} is wanted"))
}
fn number<T: FromStr>(key: &str, value: &str) -> Result<T, SettingsError> {
    value.parse().map_err(|_| wrong(key, value, "a number"))
}

impl Settings {
    fn apply(&mut self, key: &str, value: &str) -> Result<(), SettingsError> {
        let address = || value.parse().map_err(|_| wrong(key, value, "an address"));
        match key {
            "local" => self.local.address = address()?,
            "gateway" => self.gateway = address()?,
            "prefix" => self.local.prefix = number(key, value)?,
            "mtu" => self.mtu = number(key, value)?,
            "seed" => self.seed = number(key, value)?,
            "trace" => self.trace = Some(value.into()),
            "remote" => {
                let (ip, prefix) = value
                    .split_once('/')
                    .map_or((value, None), |(ip, n)| (ip, Some(n)));
                self.remote.address = ip.parse().map_err(|_| wrong(key, value, "an address"))?;
                if let Some(prefix) = prefix {
                    self.remote.prefix = number(key, prefix)?;
                }
            }
            _ => {
                if let Some(name) = key.strip_prefix("set.") {
                    set(&mut self.config, name, value)?;
                }
            }
        }
        Ok(())
    }
    /// What one flag alone cannot tell.
    fn check(&self) -> Result<(), SettingsError> {
        let v6 = self.ip == IpMode::V6;
        let family = |key: &str, ip: IpAddr| {
            let wanted = if v6 { "an IPv6 address" } else { "an IPv4 address" };
            (ip.is_ipv6() == v6)
                .then_some(())
                .ok_or_else(|| wrong(key, &ip.to_string(), wanted))
        };
        family("local", self.local.address)?;
        family("remote", self.remote.address)?;
        family("gateway", self.gateway)?;
        let bits = if v6 { 128 } else { 32 };
        for (key, cidr) in [("prefix", self.local), ("remote", self.remote)] {
            if cidr.prefix > bits {
                return Err(wrong(
                    key,
                    &cidr.prefix.to_string(),
                    &format!("at most {bits} bits"),
                ));
            }
        }
        let least = if v6 { 1280 } else { 68 };
        if !(least..=65_535).contains(&self.mtu) {
            let range = format!("a size from {least} to 65535");
            return Err(wrong("mtu", &self.mtu.to_string(), &range));
        }
        if self.config.ephemeral_first > self.config.ephemeral_last {
            return Err(SettingsError(
                "set.ephemeral_first lies above set.ephemeral_last".into(),
            ));
        }
        Ok(())
    }
}

/// A value of a setting, as people write it.
trait Setting: Sized {
    const WANTED: &'static str;
    fn read(text: &str) -> Option<Self>;
}
macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            const WANTED: &'static str = concat!("a number (", stringify!($kind), ")");
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}
numbers!(u8, u16, u32);
macro_rules! words {
    ($kind:ty, $wanted:literal, $($word:literal => $value:expr),*) => {
        impl Setting for $kind {
            const WANTED: &'static str = $wanted;
            fn read(text: &str) -> Option<Self> {
                match text {
                    $($word => Some($value),)*
                    _ => None,
                }
            }
        }
    };
}
words!(bool, "on or off", "on" => true, "true" => true, "1" => true, "off" => false, "false" => false, "0" => false);
words!(CongestionControl, "cubic or newreno", "cubic" => CongestionControl::Cubic, "newreno" => CongestionControl::NewReno);
words!(SynCookies, "off, when-full or always", "off" => SynCookies::Off, "when-full" => SynCookies::WhenFull,
       "always" => SynCookies::Always);
words!(Ecn, "off, accept or always", "off" => Ecn::Off, "accept" => Ecn::Accept, "always" => Ecn::Always);
words!(UrgentPointer, "following or last", "following" => UrgentPointer::Following, "last" => UrgentPointer::Last);
impl Setting for Duration {
    const WANTED: &'static str = "a time with its unit (us, ms, s, min, h)";
    fn read(text: &str) -> Option<Duration> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = text.split_at(unit_at);
        let unit = match unit {
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        Some(unit.saturating_mul(count.parse().ok()?))
    }
}

macro_rules! settings {
    ($($name:ident),*) => {
        /// The fields that can be set: all but `profile`, which is a flag of its own.
        const SETTINGS: &[&str] = &[$(stringify!($name)),*];
        /// Sets one field of the configuration by its name.
        fn set(config: &mut Config, name: &str, value: &str) -> Result<(), SettingsError> {
            fn put<T: Setting>(place: &mut T, name: &str, value: &str) -> Result<(), SettingsError> {
                *place = T::read(value).ok_or_else(|| wrong(&format!("set.{name}"), value, T::WANTED))?;
                Ok(())
            }
            let Config { $($name,)* .. } = config;
            match name {
                $(stringify!($name) => put($name, name, value),)*
                _ => {
                    let names = SETTINGS.join(", ");
                    Err(SettingsError(format!("unknown setting \"{name}\"; there are {names}")))
                }
            }
        }
    };
}
settings!(
    msl,
    rto_initial,
    rto_min,
    rto_max,
    syn_retries,
    syn_linear_timeouts,
    syn_ack_retries,
    r1,
    r2,
    delayed_ack,
    initial_window,
    congestion_control,
    window_scaling,
    timestamps,
    sack,
    ecn,
    receive_buffer,
    receive_buffer_max,
    send_buffer,
    syn_cookies,
    syn_queue,
    backlog_max,
    time_wait_max,
    fin_wait_2,
    challenge_acks_per_second,
    unsolicited_replies_per_second,
    keepalive_idle,
    keepalive_interval,
    keepalive_count,
    ephemeral_first,
    ephemeral_last,
    urgent_pointer,
    hop_limit,
    reassembly_max,
    reassembly_timeout,
    path_mtu_min,
    udp_receive_buffer
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }
    fn refused(text: &str) -> String {
        text.parse::<Settings>().unwrap_err().to_string()
    }

    #[test]
    fn nothing_said_is_packetdrills_own_network() {
        let settings = read("");
        assert_eq!(settings.local.address, IpAddr::from([192, 168, 0, 1]));
        assert_eq!(settings.remote.address, IpAddr::from([192, 0, 2, 1]));
        assert_eq!((settings.mtu, settings.seed), (1500, 1));
        assert_eq!(settings.config.profile, Profile::Rfc);
        let v6 = read("ip=ipv6");
        assert_eq!(v6.local.address, "fd3d:0a0b:17d6::1".parse::<IpAddr>().unwrap());
        assert_eq!(v6.remote.address, "fd3d:fa7b:d17d::1".parse::<IpAddr>().unwrap());
        assert_eq!(read("ip=ipv4-mapped-ipv6").ip, IpMode::V4Mapped);
    }

    #[test]
    fn everything_can_be_said() {
        let settings = read(
            "ip=ipv4,local=10.0.0.1,prefix=8,remote=10.9.0.1/32,gateway=10.0.0.2,mtu=9000,seed=7,trace=/tmp/a.pcapng,\
             set.rto_min=300ms,set.sack=off,set.initial_window=4,set.congestion_control=newreno,profile=linux",
        );
        assert_eq!((settings.local.prefix, settings.remote.prefix), (8, 32));
        assert_eq!((settings.mtu, settings.seed), (9000, 7));
        assert_eq!(settings.trace, Some("/tmp/a.pcapng".into()));
        // The profile comes first, wherever it stands.
        assert_eq!(settings.config.msl, Duration::from_secs(30));
        assert_eq!(settings.config.rto_min, Duration::from_millis(300));
        assert_eq!((settings.config.sack, settings.config.initial_window), (false, 4));
        assert_eq!(settings.config.congestion_control, CongestionControl::NewReno);
    }

    #[test]
    fn every_field_of_the_configuration_can_be_set() {
        let shown = format!("{:#?}", Config::default());
        let fields = shown
            .lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let fields = fields.filter_map(|line| line.trim().split_once(": "));
        let names: Vec<&str> = fields
            .map(|(name, _)| name)
            .filter(|name| *name != "profile")
            .collect();
        assert_eq!(names, SETTINGS);
    }

    #[test]
    fn what_is_not_understood_is_answered_with_what_there_is() {
        assert!(refused("colour=red").contains("profile=rfc|linux"));
        assert!(refused("local").contains("there are"));
        assert!(refused("set.rto=1s").contains("rto_min"));
        assert!(refused("set.rto_min=1").contains("unit"));
        assert!(refused("profile=bsd").contains("rfc or linux"));
        assert!(refused("mtu=67").contains("68"));
        assert!(refused("ip=ipv6,mtu=1279").contains("1280"));
        assert!(refused("ip=ipv6,local=10.0.0.1").contains("IPv6"));
        assert!(refused("prefix=33").contains("32"));
        assert!(refused("set.ephemeral_first=65535,set.ephemeral_last=1").contains("above"));
    }
}
