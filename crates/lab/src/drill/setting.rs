//! Settings of a stack by the names that Linux gives them, and shell lines that set them.

use sockeye_stack::config::{CongestionControl, Ecn, SynCookies, UrgentPointer};
use sockeye_stack::{Config, Duration, Profile};

/// One setting: its name for `sysctl`, what it does here, and how.
pub struct Setting {
    /// The name, with dots.
    pub name: &'static str,
    /// What it does here, in a few words.
    pub about: &'static str,
    set: fn(&mut Config, &str) -> Option<()>,
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}
/// Numbers separated by white space.
fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_whitespace().map(number).collect()
}
fn switch(text: &str) -> Option<bool> {
    number::<u32>(text).map(|n| n != 0)
}
fn seconds(text: &str) -> Option<Duration> {
    number::<u32>(text).map(|n| Duration::from_secs(n.into()))
}
fn millis(text: &str) -> Option<Duration> {
    number::<u32>(text).map(|n| Duration::from_millis(n.into()))
}
/// Only what it is anyway.
fn fixed(text: &str, is: &[u32]) -> Option<()> {
    number(text).filter(|n| is.contains(n)).map(|_| ())
}

/// How long `retries` retransmissions take with Linux's least and largest RTO: what tcp_retries2 means (ip-sysctl).
fn patience(retries: u32) -> Duration {
    let waits = (0..=retries.min(200)).map(|n| (200_u64 << n.min(20)).min(120_000));
    Duration::from_millis(waits.sum())
}

/// The settings that scripts can change, by Linux's names and, where Linux has none, by ours.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "net.ipv4.tcp_syn_linear_timeouts",
        about: "SYNs repeated before the wait doubles",
        set: |c, v| number(v).map(|n| c.syn_linear_timeouts = n),
    },
    Setting {
        name: "net.ipv4.tcp_syn_retries",
        about: "retransmissions of a SYN",
        set: |c, v| number(v).map(|n| c.syn_retries = n),
    },
    Setting {
        name: "net.ipv4.tcp_synack_retries",
        about: "retransmissions of a SYN,ACK",
        set: |c, v| number(v).map(|n| c.syn_ack_retries = n),
    },
    Setting {
        name: "net.ipv4.tcp_retries1",
        about: "R1: retransmissions before the application is told",
        set: |c, v| number(v).map(|n| c.r1 = n),
    },
    Setting {
        name: "net.ipv4.tcp_retries2",
        about: "R2: retransmissions before the connection ends, as the time that they take",
        set: |c, v| number(v).map(|n| c.r2 = patience(n)),
    },
    Setting {
        name: "net.ipv4.tcp_fin_timeout",
        about: "seconds in FIN-WAIT-2 without an application",
        set: |c, v| seconds(v).map(|time| c.fin_wait_2 = time),
    },
    Setting {
        name: "net.ipv4.tcp_keepalive_time",
        about: "seconds of silence before the first keepalive",
        set: |c, v| seconds(v).map(|time| c.keepalive_idle = time),
    },
    Setting {
        name: "net.ipv4.tcp_keepalive_intvl",
        about: "seconds between keepalives",
        set: |c, v| seconds(v).map(|time| c.keepalive_interval = time),
    },
    Setting {
        name: "net.ipv4.tcp_keepalive_probes",
        about: "keepalives without answer before the connection ends",
        set: |c, v| number(v).map(|n| c.keepalive_count = n),
    },
    Setting {
        name: "net.ipv4.tcp_window_scaling",
        about: "window scaling",
        set: |c, v| switch(v).map(|on| c.window_scaling = on),
    },
    Setting {
        name: "net.ipv4.tcp_timestamps",
        about: "timestamps",
        set: |c, v| switch(v).map(|on| c.timestamps = on),
    },
    Setting {
        name: "net.ipv4.tcp_sack",
        about: "SACK",
        set: |c, v| switch(v).map(|on| c.sack = on),
    },
    Setting {
        name: "net.ipv4.tcp_syncookies",
        about: "SYN cookies: 0 never, 1 when the queue is full, 2 always",
        set: |c, v| {
            c.syn_cookies = match number(v)? {
                0 => SynCookies::Off,
                1 => SynCookies::WhenFull,
                2 => SynCookies::Always,
                _ => return None,
            };
            Some(())
        },
    },
    Setting {
        name: "net.ipv4.tcp_max_syn_backlog",
        about: "half-open connections of one listener",
        set: |c, v| number(v).map(|n| c.syn_queue = n),
    },
    Setting {
        name: "net.core.somaxconn",
        about: "largest backlog",
        set: |c, v| number(v).map(|n| c.backlog_max = n),
    },
    Setting {
        name: "net.ipv4.tcp_rmem",
        about: "receive buffer: least (not used), first, largest",
        set: |c, v| match numbers(v)?[..] {
            [_, first, most] => {
                (c.receive_buffer, c.receive_buffer_max) = (first, most.max(first));
                Some(())
            }
            _ => None,
        },
    },
    Setting {
        name: "net.ipv4.tcp_wmem",
        about: "send buffer: the largest of three",
        set: |c, v| match numbers(v)?[..] {
            [_, _, most] => {
                c.send_buffer = most;
                Some(())
            }
            _ => None,
        },
    },
    Setting {
        name: "net.ipv4.tcp_congestion_control",
        about: "cubic or reno",
        set: |c, v| {
            c.congestion_control = match v.trim() {
                "cubic" => CongestionControl::Cubic,
                "reno" => CongestionControl::NewReno,
                _ => return None,
            };
            Some(())
        },
    },
    Setting {
        name: "net.ipv4.tcp_challenge_ack_limit",
        about: "challenge ACKs a second",
        set: |c, v| number(v).map(|n| c.challenge_acks_per_second = n),
    },
    Setting {
        name: "net.ipv4.tcp_max_tw_buckets",
        about: "TIME-WAIT entries",
        set: |c, v| number(v).map(|n| c.time_wait_max = n),
    },
    Setting {
        name: "net.ipv4.tcp_stdurg",
        about: "1: the urgent pointer is that of RFC 1122",
        set: |c, v| {
            c.urgent_pointer = if switch(v)? {
                UrgentPointer::Last
            } else {
                UrgentPointer::Following
            };
            Some(())
        },
    },
    Setting {
        name: "net.ipv4.tcp_rto_min_us",
        about: "least RTO in microseconds",
        set: |c, v| number(v).map(|n: u32| c.rto_min = Duration::from_micros(n.into())),
    },
    Setting {
        name: "net.ipv4.tcp_rto_max_ms",
        about: "largest RTO in milliseconds",
        set: |c, v| millis(v).map(|time| c.rto_max = time),
    },
    Setting {
        name: "net.ipv4.ip_local_port_range",
        about: "ports for connections that we open",
        set: |c, v| match numbers(v)?[..] {
            [first, last] if first <= last => {
                c.ephemeral_first = first.try_into().ok()?;
                c.ephemeral_last = last.try_into().ok()?;
                Some(())
            }
            _ => None,
        },
    },
    Setting {
        name: "net.ipv4.ip_default_ttl",
        about: "time to live",
        set: |c, v| number(v).filter(|n| *n > 0).map(|n| c.hop_limit = n),
    },
    Setting {
        name: "net.ipv4.tcp_no_metrics_save",
        about: "nothing: nothing is remembered of a connection that has ended",
        set: |_, v| switch(v).map(|_| ()),
    },
    Setting {
        name: "net.ipv4.tcp_fastopen",
        about: "0 only: there is no Fast Open",
        set: |_, v| fixed(v, &[0]),
    },
    Setting {
        name: "net.ipv4.tcp_ecn",
        about: "ECN: 0 never, 1 always, 2 when the peer asks",
        set: |c, v| {
            c.ecn = match number(v)? {
                0 => Ecn::Off,
                1 => Ecn::Always,
                2 => Ecn::Accept,
                _ => return None,
            };
            Some(())
        },
    },
    Setting {
        name: "net.ipv4.tcp_autocorking",
        about: "0 only",
        set: |_, v| fixed(v, &[0]),
    },
    Setting {
        name: "sockeye.msl_ms",
        about: "maximum segment lifetime: TIME-WAIT lasts twice this",
        set: |c, v| millis(v).map(|time| c.msl = time),
    },
    Setting {
        name: "sockeye.delayed_ack_ms",
        about: "how long an ACK may wait",
        set: |c, v| millis(v).map(|time| c.delayed_ack = time),
    },
    Setting {
        name: "sockeye.rto_initial_ms",
        about: "first RTO",
        set: |c, v| millis(v).map(|time| c.rto_initial = time),
    },
    Setting {
        name: "sockeye.rto_min_ms",
        about: "least RTO",
        set: |c, v| millis(v).map(|time| c.rto_min = time),
    },
    Setting {
        name: "sockeye.initial_window",
        about: "initial congestion window in segments",
        set: |c, v| number(v).map(|n| c.initial_window = n),
    },
    Setting {
        name: "sockeye.r2_ms",
        about: "R2: without acknowledgment for so long, the connection ends",
        set: |c, v| millis(v).map(|time| c.r2 = time),
    },
    Setting {
        name: "net.ipv4.route.min_pmtu",
        about: "least path MTU that is believed",
        set: |c, v| number(v).map(|n| c.path_mtu_min = n),
    },
];

/// What a shell line cannot do here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no setting.
    Shell(String),
    /// A setting that there is not.
    Unknown(String),
    /// A value that the setting does not take.
    Value(&'static str, String),
}

/// Sets one setting.
fn set(config: &mut Config, name: &str, value: &str) -> Result<(), Refused> {
    let dotted = name.trim().replace('/', ".");
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == dotted) else {
        return Err(Refused::Unknown(dotted));
    };
    let value = value.trim().trim_matches(['"', '\'']);
    (setting.set)(config, value).ok_or_else(|| Refused::Value(setting.name, value.into()))
}

/// Does what a shell line asks for, if it only sets settings: `sysctl -q net.ipv4.tcp_sack=0`, `echo 0 >
/// /proc/sys/net/ipv4/tcp_sack`, several of them, `true`.
pub(super) fn shell(config: &mut Config, line: &str) -> Result<(), Refused> {
    let joined = line.replace("\\\n", " ");
    let mut rest = joined.as_str();
    while !rest.is_empty() {
        let end = rest.find([';', '\n', '&']).unwrap_or(rest.len());
        let one = rest[..end].trim();
        rest = rest[end..].trim_start_matches([';', '\n', '&']);
        one_command(config, one)?;
    }
    Ok(())
}

fn one_command(config: &mut Config, command: &str) -> Result<(), Refused> {
    let shell = || Refused::Shell(command.to_string());
    let command = command.strip_prefix("sudo ").unwrap_or(command).trim();
    if command.is_empty() || command == "true" || command == ":" || command.starts_with('#') {
        return Ok(());
    }
    if let Some(rest) = command.strip_prefix("sysctl ") {
        let mut settings = quoted_words(rest);
        settings.retain(|word| !matches!(word.as_str(), "-q" | "-w" | "-qw" | "-wq"));
        for setting in settings {
            // What is printed goes nowhere.
            if setting.starts_with('>') || setting.starts_with("/dev/null") || setting == "2>" {
                continue;
            }
            let (name, value) = setting.split_once('=').ok_or_else(shell)?;
            set(config, name, value)?;
        }
        return Ok(());
    }
    if let Some(rest) = command.strip_prefix("echo ")
        && let Some((value, path)) = rest.split_once('>')
        && let Some(name) = path.trim().strip_prefix("/proc/sys/")
    {
        return set(config, name, value);
    }
    Err(shell())
}

/// Words, where quotes keep some together.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in text.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// A profile's settings with what `changes` say: `name=value`, names as in [`SETTINGS`].
///
/// # Errors
/// The change that cannot be made.
pub(super) fn configured(profile: Profile, changes: &[(String, String)]) -> Result<Config, String> {
    let mut config = Config::new(profile);
    for (name, value) in changes {
        set(&mut config, name, value).map_err(|_| format!("{name}={value}"))?;
    }
    Ok(config)
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_lines_that_set_settings() {
        let mut config = Config::default();
        let line = "sysctl -q net.ipv4.tcp_sack=0; sudo sysctl -w net/ipv4/tcp_syncookies=2 \\\n \
                    net.ipv4.tcp_rmem=\"4096 10000 20000\"\necho 3 > /proc/sys/net/ipv4/tcp_syn_retries && true";
        shell(&mut config, line).unwrap();
        assert!(!config.sack);
        assert_eq!(config.syn_cookies, SynCookies::Always);
        assert_eq!(
            (config.receive_buffer, config.receive_buffer_max),
            (10_000, 20_000)
        );
        assert_eq!(config.syn_retries, 3);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let mut config = Config::default();
        let refused = |line| shell(&mut config.clone(), line).unwrap_err();
        assert_eq!(refused("ip link"), Refused::Shell("ip link".into()));
        assert_eq!(
            refused("sysctl -q net.moon=1"),
            Refused::Unknown("net.moon".into())
        );
        let value = Refused::Value("net.ipv4.tcp_ecn", "5".into());
        assert_eq!(refused("sysctl net.ipv4.tcp_ecn=5"), value);
        shell(&mut config, "").unwrap();
    }

    #[test]
    fn fifteen_retries_are_linuxs_924_seconds() {
        assert_eq!(patience(15).as_millis(), 924_600);
    }

    #[test]
    fn names_are_named_once() {
        for (n, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[n + 1..].iter().all(|other| other.name != setting.name));
        }
    }
}
