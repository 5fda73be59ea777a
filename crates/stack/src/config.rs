//! What can be set, with its default for each profile and where the figure comes from.

use crate::time::Duration;

/// Which figures and habits a stack has where the RFCs and Linux differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// Keeps every MUST of RFC 9293.
    #[default]
    Rfc,
    /// Linux's figures, for programs and scripts that expect them.
    Linux,
}

/// Which algorithm governs the congestion window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CongestionControl {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// NewReno (RFC 5681, RFC 6582).
    NewReno,
}

/// How SYN cookies are used (RFC 4987 section 3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SynCookies {
    /// Never: a full SYN queue drops SYNs.
    Off,
    /// When the SYN queue is full.
    #[default]
    WhenFull,
    /// For every SYN.
    Always,
}

/// Whether TCP uses explicit congestion notification (RFC 3168): routers mark packets instead of dropping them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ecn {
    /// Never (Linux's `tcp_ecn` 0).
    Off,
    /// When the peer asks for it (Linux's default, `tcp_ecn` 2).
    #[default]
    Accept,
    /// Ask for it in every SYN, and accept it (Linux's `tcp_ecn` 1).
    Always,
}

/// What the urgent pointer points at (RFC 6093 section 2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UrgentPointer {
    /// The octet after the urgent data: RFC 9293 (MUST-62), RFC 6093, BSD, and Linux by default.
    #[default]
    Following,
    /// The last octet of the urgent data: RFC 1122, and Linux with `tcp_stdurg`.
    Last,
}

/// Settings of a stack. [`Config::new`] gives a profile's; each can then be changed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The profile these settings came from; decides habits that are not figures (urgent pointer, errors).
    pub profile: Profile,
    /// Maximum segment lifetime; TIME-WAIT lasts twice this. RFC 9293 section 3.4.1: 2 min; Linux: 60 s in all.
    pub msl: Duration,
    /// First RTO, before any sample (RFC 6298 section 2.1: 1 s).
    pub rto_initial: Duration,
    /// Least RTO. RFC 6298 section 2.4: 1 s; Linux: 200 ms.
    pub rto_min: Duration,
    /// Largest RTO. RFC 6298 section 2.5: at least 60 s; Linux: 120 s.
    pub rto_max: Duration,
    /// Retransmissions of a SYN before giving up. With a first RTO of 1 s that doubles, 7 last 4 min (MUST-23 asks
    /// for 3); Linux: 6.
    pub syn_retries: u8,
    /// SYNs that are repeated after the first RTO each before the wait begins to double; they do not count among
    /// `syn_retries`. Linux since 6.5: 4 (`tcp_syn_linear_timeouts`).
    pub syn_linear_timeouts: u8,
    /// Retransmissions of a SYN,ACK before the half-open entry goes. Linux: 5.
    pub syn_ack_retries: u8,
    /// R1: after this many retransmissions the application and IP are told (SHLD-10: at least 3).
    pub r1: u8,
    /// R2: after this long without acknowledgment the connection ends (SHLD-11: at least 100 s). Linux: 15
    /// retransmissions, about 924 s.
    pub r2: Duration,
    /// How long an ACK may wait. RFC 9293 section 3.8.6.3: under 500 ms; Linux: 40 ms.
    pub delayed_ack: Duration,
    /// Initial congestion window in segments (RFC 6928: 10).
    pub initial_window: u8,
    /// Algorithm for new connections.
    pub congestion_control: CongestionControl,
    /// Offer and accept window scaling (RFC 7323).
    pub window_scaling: bool,
    /// Offer and accept timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer and accept SACK (RFC 2018).
    pub sack: bool,
    /// Explicit congestion notification (RFC 3168).
    pub ecn: Ecn,
    /// Receive buffer at the start, octets; grows by measurement up to `receive_buffer_max`. In the Linux profile the first
    /// window is rounded down to whole segments (64,240 octets on Ethernet).
    pub receive_buffer: u32,
    /// Largest receive buffer, octets; decides the window scale that is offered.
    pub receive_buffer_max: u32,
    /// Send buffer, octets.
    pub send_buffer: u32,
    /// SYN cookies.
    pub syn_cookies: SynCookies,
    /// Half-open connections per listener; beyond them cookies or drops.
    pub syn_queue: u32,
    /// Largest accept queue (Linux's somaxconn).
    pub backlog_max: u32,
    /// TIME-WAIT entries; when full, the oldest goes.
    pub time_wait_max: u32,
    /// How long a closed connection waits in FIN-WAIT-2 for the peer's FIN. Linux: 60 s; RFC: no limit, so the
    /// default there is generous.
    pub fin_wait_2: Duration,
    /// Challenge ACKs a second (RFC 5961 section 7), of all connections. Linux has no such limit since 6.0
    /// (`tcp_challenge_ack_limit`), but one for each connection, which its profile keeps.
    pub challenge_acks_per_second: u32,
    /// ICMP errors and resets without a connection, a second.
    pub unsolicited_replies_per_second: u32,
    /// Keepalive: idle time before the first probe (MUST-28: at least 2 h).
    pub keepalive_idle: Duration,
    /// Keepalive: time between probes.
    pub keepalive_interval: Duration,
    /// Keepalive: probes without answer before the connection ends.
    pub keepalive_count: u8,
    /// First port of the range for outgoing connections (RFC 6335: 49152).
    pub ephemeral_first: u16,
    /// Last port of that range.
    pub ephemeral_last: u16,
    /// How the urgent pointer is read and written.
    pub urgent_pointer: UrgentPointer,
    /// Hop limit or time to live of what we send.
    pub hop_limit: u8,
    /// Octets of fragments held for reassembly, all together.
    pub reassembly_max: u32,
    /// How long fragments are held (RFC 8200 section 4.5: 60 s; RFC 1122 section 3.3.2: 60 to 120 s).
    pub reassembly_timeout: Duration,
    /// Least MTU of an IPv4 path that a router is believed, octets; a smaller one is served by packets of this size that
    /// routers may fragment. Linux's `min_pmtu`: 552; RFC 1191 section 3 asks for 68 at least.
    pub path_mtu_min: u32,
    /// Datagrams a UDP socket holds, in octets, before new ones are dropped.
    pub udp_receive_buffer: u32,
}

impl Config {
    /// The settings of a profile.
    pub fn new(profile: Profile) -> Self {
        let rfc = Config {
            profile: Profile::Rfc,
            msl: Duration::from_secs(120),
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            syn_retries: 7,
            syn_linear_timeouts: 0,
            syn_ack_retries: 5,
            r1: 3,
            r2: Duration::from_secs(924),
            delayed_ack: Duration::from_millis(200),
            initial_window: 10,
            congestion_control: CongestionControl::Cubic,
            window_scaling: true,
            timestamps: true,
            sack: true,
            ecn: Ecn::Accept,
            receive_buffer: 128 * 1024,
            receive_buffer_max: 6 * 1024 * 1024,
            send_buffer: 2 * 1024 * 1024,
            syn_cookies: SynCookies::WhenFull,
            syn_queue: 256,
            backlog_max: 4096,
            time_wait_max: 1 << 18,
            fin_wait_2: Duration::from_secs(600),
            challenge_acks_per_second: 100,
            unsolicited_replies_per_second: 1000,
            keepalive_idle: Duration::from_secs(7200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_count: 9,
            ephemeral_first: 49152,
            ephemeral_last: 65535,
            urgent_pointer: UrgentPointer::Following,
            hop_limit: 64,
            reassembly_max: 4 * 1024 * 1024,
            reassembly_timeout: Duration::from_secs(60),
            path_mtu_min: 552,
            udp_receive_buffer: 208 * 1024,
        };
        match profile {
            Profile::Rfc => rfc,
            Profile::Linux => Config {
                profile,
                msl: Duration::from_secs(30),
                rto_min: Duration::from_millis(200),
                rto_max: Duration::from_secs(120),
                syn_retries: 6,
                syn_linear_timeouts: 4,
                // Half of tcp_rmem's 128 KiB: Linux leaves the other half to its own accounting (tcp_adv_win_scale).
                receive_buffer: 64 * 1024,
                challenge_acks_per_second: u32::MAX,
                delayed_ack: Duration::from_millis(40),
                fin_wait_2: Duration::from_secs(60),
                ephemeral_first: 32768,
                ephemeral_last: 60999,
                ..rfc
            },
        }
    }
}

impl Config {
    /// The initial congestion window of so many segments: RFC 6928's, or Linux's, which large segments do not cut.
    pub(crate) fn first_window(&self, mss: u32, segments: u8) -> u32 {
        match self.profile {
            Profile::Rfc => crate::tcp::congestion::initial_window(mss, segments),
            Profile::Linux => u32::from(segments.max(1)) * mss,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new(Profile::Rfc)
    }
}
