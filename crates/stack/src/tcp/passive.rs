//! What reaches a port that listens, or where nobody does (RFC 9293 sections 3.10.7.2 and 3.10.7.1, RFC 4987).

use super::burst::{Reply, reset_for};
use super::conn::{AckOwed, Fact};
use super::dispatch::{Around, mss_along, state_moved};
use super::isn::initial_sequence_number;
use super::listen::{self, HalfOpen};
use super::open::{self, PeerOffer, fact_if};
use super::table::Tcp;
use super::{Flags, Segment, SeqNumber, State, ecn};
use crate::config::{Ecn, Profile, SynCookies};
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::Text;
use crate::iface::IpLayer;
use crate::stack::SocketId;
use crate::time::{Duration, Instant};
use crate::trace::{Cause, DropReason, ResetCause, Transition};

/// How long after the last cookie an ACK may carry one.
const COOKIE_LIFE: Duration = Duration::from_secs(128);

impl Tcp {
    /// LISTEN and CLOSED (RFC 9293 sections 3.10.7.2 and 3.10.7.1).
    pub(super) fn at_listener(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        seg: &Segment,
        text: &mut Text<'_>,
        beyond: Option<SeqNumber>,
    ) {
        let Some(id) = self.bindings.listener_for(tuple) else {
            return self.refuse(cx, tuple, seg, DropReason::NoSocket, ResetCause::NoConnection);
        };
        let control = Flags::SYN | Flags::ACK | Flags::RST | Flags::FIN;
        if seg.flags.intersection(control) != Flags::SYN {
            return self.no_syn_arrives(cx, tuple, id, seg, text);
        }
        self.syn_arrives(cx, tuple, id, seg, text, beyond);
    }

    /// What is not just a SYN, for a listener.
    #[cold]
    #[inline(never)]
    fn no_syn_arrives(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        id: SocketId,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        // First, a RST is ignored; second, an ACK is answered with one, unless it carries a cookie; anything else is dropped.
        if seg.has(Flags::RST) {
            self.dropped(cx.env, tuple, DropReason::NoSocket);
        } else if seg.has(Flags::ACK) {
            self.maybe_cookie(cx, tuple, id, seg, text);
        } else {
            self.dropped(cx.env, tuple, DropReason::NoAck);
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        seg: &Segment,
        reason: DropReason,
        cause: ResetCause,
    ) {
        self.dropped(cx.env, tuple, reason);
        let Some(segment) = reset_for(seg) else { return };
        if self.may_reset(cx.env) {
            self.reply(Reply {
                tuple: *tuple,
                segment,
                cause: Cause::Reset(cause),
            });
        } else {
            self.dropped(cx.env, tuple, DropReason::RateLimited);
        }
    }

    /// A SYN for a listener: a half-open entry, or a cookie, or nothing.
    fn syn_arrives(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        id: SocketId,
        seg: &Segment,
        text: &mut Text<'_>,
        beyond: Option<SeqNumber>,
    ) {
        let (now, config) = (cx.env.now, cx.env.config);
        let Some(listener) = self.listener(id) else { return };
        if listener.accept_queue_full() {
            return self.dropped(cx.env, tuple, DropReason::AcceptQueueFull);
        }
        let full = listener.half_open >= config.syn_queue;
        let mut peer = PeerOffer::from_syn(seg, tuple.is_ipv4(), config);
        if ecn::is_setup_syn(seg) && ecn::setting(&listener.options, config) != Ecn::Off {
            peer.agreed |= Fact::ECN | Fact::ECT;
        }
        if full || config.syn_cookies == SynCookies::Always {
            return self.without_entry(cx, tuple, id, &peer);
        }
        listener.half_open += 1;
        let told = told_towards(cx, tuple, &peer, &listener.options);
        let hash = self.demux.hash(tuple);
        let mut iss = initial_sequence_number(now, hash.sequence_place());
        if let Some(old) = beyond
            && !iss.after(old)
        {
            iss = old + 64_000; // MAY-2: larger than any the old connection used
        }
        let text = match seg.payload_len {
            0 => None,
            _ => open::keep_text(text, told.window),
        };
        let ts_offset = self.offsets.timestamp_offset(tuple);
        let (place, _) = self.tables.half_open.insert_with(|_, _| HalfOpen {
            tuple: *tuple,
            hash: hash.table(),
            listener: id,
            iss,
            ts_offset,
            peer,
            told,
            tries: 0,
            ack_owed: AckOwed::No,
            text,
            queued: true,
            owed: Some(Cause::OpenReply),
            sent_at: now,
            retry_at: Instant::NEVER,
            wheel: Default::default(),
        });
        self.enter(tuple, hash.table(), Entry::new(Kind::HalfOpen, place));
        state_moved(
            cx.env,
            None,
            tuple,
            State::Listen,
            State::SynReceived,
            Transition::Syn,
        );
        self.ready.push_back(Entry::new(Kind::HalfOpen, place));
    }

    /// A SYN for which no entry is made.
    #[cold]
    #[inline(never)]
    fn without_entry(&mut self, cx: &mut Around<'_, '_>, tuple: &FourTuple, id: SocketId, peer: &PeerOffer) {
        match cx.env.config.syn_cookies {
            SynCookies::Always | SynCookies::WhenFull => self.send_cookie(cx, tuple, id, peer),
            SynCookies::Off => self.dropped(cx.env, tuple, DropReason::SynQueueFull),
        }
    }

    /// RFC 4987 section 3.6: everything the handshake needs goes into the sequence number and the timestamp.
    fn send_cookie(&mut self, cx: &mut Around<'_, '_>, tuple: &FourTuple, id: SocketId, peer: &PeerOffer) {
        let (now, config) = (cx.env.now, cx.env.config);
        let iss = self.cookies.make(now, tuple, peer.irs, peer.mss);
        let offset = self.offsets.timestamp_offset(tuple);
        let ts_value = self
            .cookies
            .timestamp(
                now,
                peer.has(Fact::SCALING).then_some(peer.scale),
                peer.has(Fact::SACK),
                peer.has(Fact::ECN),
            )
            .wrapping_add(offset);
        let Some(listener) = self.listener(id) else { return };
        listener.cookies_until = now + COOKIE_LIFE;
        let options = listener.options;
        let Some(mss) = mss_towards(cx.ip, tuple, &options) else {
            return;
        };
        // Without timestamps there is no room for options: they are not agreed.
        let mut told = *peer;
        if !peer.has(Fact::TIMESTAMPS) {
            told.agreed = Fact::empty();
            told.scale = 0;
        }
        let answer = listen::Answer {
            iss,
            mss,
            ts_value,
            told: open::Told::new(&options, config, open::answered_mss(mss, &told)),
        };
        let segment = listen::syn_ack(answer, &told);
        self.reply(Reply {
            tuple: *tuple,
            segment,
            cause: Cause::OpenCookie,
        });
    }

    /// An ACK for a listener: good only if it carries a cookie of ours.
    fn maybe_cookie(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        id: SocketId,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let (now, config) = (cx.env.now, cx.env.config);
        let Some(listener) = self.listener(id) else { return };
        let expected = config.syn_cookies != SynCookies::Off && now <= listener.cookies_until;
        let full = listener.accept_queue_full();
        let setting = ecn::setting(&listener.options, config);
        let options = listener.options;
        let irs = seg.seq - 1;
        let cookie = if expected {
            self.cookies.check(now, tuple, irs, seg.ack - 1)
        } else {
            None
        };
        let Some(mss) = cookie else {
            let reason = if expected {
                DropReason::BadCookie
            } else {
                DropReason::NoSocket
            };
            return self.refuse(cx, tuple, seg, reason, ResetCause::BadAck);
        };
        if full {
            return self.dropped(cx.env, tuple, DropReason::AcceptQueueFull);
        }
        let offset = self.offsets.timestamp_offset(tuple);
        let stamps = seg.options.timestamps.filter(|_| config.timestamps);
        let mut peer = PeerOffer {
            irs,
            mss,
            ..PeerOffer::default()
        };
        if let Some(ts) = stamps {
            let told = self.cookies.options_from(ts.echo.wrapping_sub(offset));
            // What was switched off was not in our SYN,ACK, whatever the peer says.
            let shift = told.window_scale.filter(|_| config.window_scaling);
            peer.timestamp = ts.value;
            peer.scale = shift.unwrap_or(0);
            peer.agreed = Fact::TIMESTAMPS
                | fact_if(shift.is_some(), Fact::SCALING)
                | fact_if(told.sack && config.sack, Fact::SACK)
                | fact_if(told.ecn && setting != Ecn::Off, Fact::ECN | Fact::ECT);
        }
        let told = told_towards(cx, tuple, &peer, &options);
        // As if it had been kept.
        let hash = self.demux.hash(tuple).table();
        let half = HalfOpen {
            tuple: *tuple,
            hash,
            listener: id,
            iss: seg.ack - 1,
            ts_offset: offset,
            peer,
            told,
            tries: 0,
            ack_owed: AckOwed::No,
            text: None,
            queued: true,
            owed: None,
            sent_at: Instant::NEVER,
            retry_at: Instant::NEVER,
            wheel: Default::default(),
        };
        if let Some(listener) = self.listener(id) {
            listener.half_open += 1;
        }
        let (place, _) = self.tables.half_open.insert(half);
        self.enter(tuple, hash, Entry::new(Kind::HalfOpen, place));
        if let Some(slot) = self.at_half_open(cx, tuple, place, seg) {
            self.rest_of(cx, slot, seg, text);
        }
    }
}

/// What a SYN,ACK tells this peer of the window.
fn told_towards(
    cx: &Around<'_, '_>,
    tuple: &FourTuple,
    peer: &PeerOffer,
    options: &super::TcpOptions,
) -> open::Told {
    match cx.env.config.profile {
        Profile::Linux => told_with_mss(cx, tuple, peer, options),
        Profile::Rfc => open::Told::new(options, cx.env.config, 1), // it does not depend on the MSS
    }
}

/// As [`told_towards`], where windows are whole segments.
#[cold]
#[inline(never)]
fn told_with_mss(
    cx: &Around<'_, '_>,
    tuple: &FourTuple,
    peer: &PeerOffer,
    options: &super::TcpOptions,
) -> open::Told {
    let mss = mss_towards(cx.ip, tuple, options).unwrap_or(1);
    open::Told::new(options, cx.env.config, open::answered_mss(mss, peer))
}

/// The MSS to offer to this peer.
fn mss_towards(ip: &IpLayer, tuple: &FourTuple, options: &super::TcpOptions) -> Option<u16> {
    let route = ip.route(tuple.remote(), Some(tuple.local()), None)?;
    Some(mss_along(ip, &route, options))
}
