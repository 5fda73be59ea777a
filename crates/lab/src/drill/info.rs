//! TCP_INFO under the names that scripts know.

use sockeye_stack::Duration;
use sockeye_stack::tcp::{Repair, State, TcpInfo};

use super::constant;
use super::value::{Names, Value};
use super::world::World;

/// Linux's number of a state.
fn state_number(state: State) -> i64 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

/// A field of TCP_INFO; `None` for one that this stack does not tell. Times are microseconds, windows segments, as on
/// Linux.
fn field(info: &TcpInfo, name: &str) -> Option<i64> {
    let usecs = |time: Duration| time.as_micros() as i64;
    let segments = |octets: u32| i64::from(octets.div_ceil(info.snd_mss.max(1)));
    /// Linux's slow-start threshold before there was a loss.
    const INFINITE: i64 = 0x7fff_ffff;
    Some(match name {
        "tcpi_retransmits" => info.timeouts.into(),
        "tcpi_backoff" => info.backoff.into(),
        "tcpi_rto" => usecs(info.rto),
        "tcpi_snd_mss" => info.snd_mss.into(),
        "tcpi_rcv_mss" => info.rcv_mss.into(),
        "tcpi_unacked" => segments(info.outstanding),
        "tcpi_sacked" => segments(info.sacked),
        "tcpi_notsent_bytes" => info.unsent.into(),
        "tcpi_pmtu" => info.path_mtu.into(),
        "tcpi_probes" => info.probes.into(),
        "tcpi_ca_state" => match info.repair {
            Repair::None => 0,
            Repair::Suspected => 1,
            Repair::Fast => 3,
            Repair::Timeout => 4,
        },
        "tcpi_options" => {
            let agreed = [
                (info.timestamps, 1),
                (info.sack, 2),
                (info.window_scale.is_some(), 4),
                (info.ecn, 8),
            ];
            agreed.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
        }
        "tcpi_snd_wscale" => info.window_scale.unwrap_or_default().0.into(),
        "tcpi_rcv_wscale" => info.window_scale.unwrap_or_default().1.into(),
        "tcpi_rtt" => usecs(info.srtt),
        "tcpi_rttvar" => usecs(info.rttvar),
        "tcpi_snd_ssthresh" if info.ssthresh >= INFINITE as u32 => INFINITE,
        "tcpi_snd_ssthresh" => (info.ssthresh / info.snd_mss.max(1)).into(),
        "tcpi_snd_cwnd" => segments(info.cwnd),
        "tcpi_total_retrans" => info.retransmits as i64,
        "tcpi_bytes_acked" => info.bytes_acked as i64,
        "tcpi_bytes_received" => info.bytes_received as i64,
        "tcpi_segs_out" => info.segments_out as i64,
        "tcpi_segs_in" => info.segments_in as i64,
        "tcpi_min_rtt" => usecs(info.min_rtt),
        "tcpi_snd_wnd" => info.snd_wnd.into(),
        "tcpi_rcv_wnd" => info.rcv_wnd.into(),
        _ => return None,
    })
}

impl Names for World {
    fn name(&self, name: &str) -> Result<Option<Value>, String> {
        if !name.starts_with("tcpi_") {
            return Ok(constant::value(name).map(Value::Int));
        }
        let Some(conn) = self.current else {
            return Err("there is no connection yet to tell of".into());
        };
        let row = self.row(conn);
        if name == "tcpi_state" {
            let state = row.and_then(|row| row.state).unwrap_or(State::Closed);
            return Ok(Some(Value::Int(state_number(state))));
        }
        let info = row.and_then(|row| row.id).and_then(|id| self.engine.info(id));
        match info {
            Some(info) => Ok(field(&info, name).map(Value::Int)),
            None => Err(format!(
                "{name} cannot be told: no open socket stands for the connection"
            )),
        }
    }
}
