//! Why, in a sentence, with the clause of the RFC that asks for it.
//!
//! [`Cause`]s say in two words why something was sent. Here each of them, each reason to hold data back and each reason
//! to drop has a sentence that a learner can read alone, and the place in the RFC to read on.

use std::fmt;

use sockeye_stack::trace::{AckCause, Cause, ChallengeCause, DropReason, Held, ResetCause, RetransmitCause};

use crate::record::{LinkChange, LinkLoss};
use crate::text::snake;

/// A sentence and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// What happened and why, in one sentence.
    pub sentence: &'static str,
    /// The clause that asks for it, `RFC 9293 section 3.8.6.3`; `None` where no RFC does.
    pub clause: Option<&'static str>,
}

/// The sentence, and the clause in brackets.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.clause {
            Some(clause) => write!(f, "{} ({clause})", self.sentence),
            None => f.write_str(self.sentence),
        }
    }
}

/// What can be explained.
pub trait Explain {
    /// The sentence and its clause.
    fn explain(&self) -> Explanation;
}

const fn says(sentence: &'static str, clause: &'static str) -> Explanation {
    Explanation {
        sentence,
        clause: Some(clause),
    }
}
const fn own(sentence: &'static str) -> Explanation {
    Explanation {
        sentence,
        clause: None,
    }
}
/// For variants that the core may grow later; a test finds them.
const UNKNOWN: Explanation = own("This version cannot explain it.");

impl Explain for Cause {
    fn explain(&self) -> Explanation {
        match self {
            Cause::Open => says(
                "The application opens a connection: SYN carries our initial sequence number.",
                "RFC 9293 section 3.10.1",
            ),
            Cause::OpenReply => says(
                "A SYN reached a listener: SYN,ACK acknowledges its number and carries ours.",
                "RFC 9293 section 3.10.7.2",
            ),
            Cause::OpenCookie => says(
                "The SYN queue is full, so the connection's state is kept in the SYN,ACK's own number, not here.",
                "RFC 4987 section 3.6",
            ),
            Cause::OpenComplete => says(
                "The peer's SYN,ACK came: this ACK completes the handshake on our side.",
                "RFC 9293 section 3.10.7.3",
            ),
            Cause::Data => says(
                "New data that both windows and Nagle's rule let go.",
                "RFC 9293 section 3.8.6.2.1, RFC 5681 section 3.1",
            ),
            Cause::Fin => says(
                "The application has no more to send: FIN closes this direction, the other stays open.",
                "RFC 9293 section 3.10.4",
            ),
            Cause::Ack(why) => why.explain(),
            Cause::Retransmit(why) => why.explain(),
            Cause::WindowProbe(_) => says(
                "The peer's window is closed; a probe asks whether it has opened, since the update may have been lost.",
                "RFC 9293 section 3.8.6.1",
            ),
            Cause::Keepalive(_) => says(
                "The connection has been idle; the probe repeats an old number, so that a living peer must answer.",
                "RFC 9293 section 3.8.4",
            ),
            Cause::Reset(why) => why.explain(),
            Cause::Challenge(why) => why.explain(),
            Cause::Datagram => says(
                "The application sent a datagram; nothing will be repeated.",
                "RFC 768",
            ),
            Cause::NeighborRequest => says(
                "The next hop's link address is not known yet, so everybody on the link is asked.",
                "RFC 826, RFC 4861 section 7.2.2",
            ),
            Cause::NeighborReply => says(
                "Somebody asked for our link address.",
                "RFC 826, RFC 4861 section 7.2.4",
            ),
            Cause::DuplicateAddressDetection => says(
                "Before an address is used, the link is asked whether anybody has it.",
                "RFC 4862 section 5.4",
            ),
            Cause::RouterSolicitation => says(
                "The interface came up and asks routers to tell of themselves.",
                "RFC 4861 section 6.3.7",
            ),
            Cause::Membership => says(
                "Routers and switches are told which multicast groups we listen to.",
                "RFC 3376 section 5.1, RFC 3810 section 6.1",
            ),
            Cause::EchoReply => says(
                "Every host answers an echo request with what it carried.",
                "RFC 1122 section 3.2.2.6, RFC 4443 section 4.2",
            ),
            Cause::EchoRequest => says(
                "An echo request asks whether the other end answers.",
                "RFC 1122 section 3.2.2.6, RFC 4443 section 4.1",
            ),
            Cause::IcmpError => says(
                "A packet could not be handled; its sender is told, with the packet's beginning.",
                "RFC 1122 section 3.2.2, RFC 4443 section 2.4",
            ),
            Cause::Forwarded => says("Passed on for somebody else.", "RFC 1812 section 5.2.1"),
            Cause::Raw => own("Handed in by the application as it is."),
            _ => UNKNOWN,
        }
    }
}

impl Explain for AckCause {
    fn explain(&self) -> Explanation {
        const WHEN_TO_ACK: &str = "RFC 9293 section 3.8.6.3";
        const EVENTS: &str = "RFC 9293 section 3.10.7.4";
        match self {
            AckCause::EverySecondSegment => says(
                "Two full segments are unacknowledged; an ACK may not wait for a third (SHLD-19).",
                WHEN_TO_ACK,
            ),
            AckCause::DelayTimer => says(
                "An ACK may wait for data to ride on, but less than half a second; that time is over (MUST-40).",
                WHEN_TO_ACK,
            ),
            AckCause::Quick => says(
                "At the start of a connection or after idle ACKs are not delayed, so that the peer's window grows.",
                WHEN_TO_ACK,
            ),
            AckCause::OutOfOrder => says(
                "A segment came before its turn: the repeated ACK number says at once where the gap begins.",
                "RFC 5681 section 4.2",
            ),
            AckCause::GapFilled => says(
                "A gap was filled, in whole or in part; the sender learns it at once.",
                "RFC 5681 section 4.2",
            ),
            AckCause::Duplicate => says(
                "These octets had come before: our ACK may have been lost, or the peer repeated them needlessly.",
                "RFC 9293 section 3.10.7.4, RFC 2883 section 4",
            ),
            AckCause::Fin => says(
                "The peer's FIN takes a sequence number and is acknowledged like data.",
                EVENTS,
            ),
            AckCause::WindowUpdate => says(
                "The application has read enough for the window to be worth telling.",
                "RFC 9293 section 3.8.6.2.2",
            ),
            AckCause::ProbeReply => says(
                "A probe is answered with our next expected number and the window as it is.",
                "RFC 9293 section 3.8.6.1, section 3.8.4",
            ),
            AckCause::NotAcceptable => says(
                "The segment lies outside the window: the ACK tells the peer where we are.",
                EVENTS,
            ),
            AckCause::AckOfUnsent => says(
                "The peer acknowledged octets that we have not sent: the ACK tells where we are.",
                EVENTS,
            ),
            AckCause::Paws => says(
                "The segment's timestamp is older than the last: a duplicate from an earlier round of numbers.",
                "RFC 7323 section 5.3",
            ),
            AckCause::CongestionMark => says(
                "A router marked a segment: the ACK carries ECE at once, and so does each until the peer says CWR.",
                "RFC 3168 section 6.1.3",
            ),
            AckCause::WindowReduced => says(
                "CWR says that the peer has reduced its window; with little in flight it must not wait for an ACK.",
                "RFC 3168 section 6.1.3",
            ),
            AckCause::TimeWait => says(
                "The peer repeated its FIN, so our last ACK was lost: it is sent again and 2 MSL start anew.",
                EVENTS,
            ),
            AckCause::Application => own("The application asked for an ACK now."),
            _ => UNKNOWN,
        }
    }
}

impl Explain for RetransmitCause {
    fn explain(&self) -> Explanation {
        match self {
            RetransmitCause::Timeout { .. } => says(
                "No acknowledgment came within the RTO: the oldest segment goes again and the RTO doubles.",
                "RFC 6298 section 5",
            ),
            RetransmitCause::Fast => says(
                "Three duplicate ACKs: later segments arrive, so this one is lost; no need to wait for the RTO.",
                "RFC 5681 section 3.2",
            ),
            RetransmitCause::Scoreboard => says(
                "The peer's SACK blocks show a hole with enough behind it to hold it for lost.",
                "RFC 6675 section 4, NextSeg rules 1 and 3",
            ),
            RetransmitCause::PartialAck => says(
                "In recovery an ACK came for only a part of what was out: the next hole begins at its number.",
                "RFC 6582 section 3.2",
            ),
            RetransmitCause::Rescue => says(
                "Recovery ends without a sign of the last segment: it goes once more, sooner than an RTO.",
                "RFC 6675 section 4, NextSeg rule 4",
            ),
            RetransmitCause::AfterTimeout => says(
                "After a timeout all that was out counts as lost and goes again in slow start.",
                "RFC 6675 section 5.1",
            ),
            RetransmitCause::PeerRepeatedSyn => says(
                "The peer repeated its SYN, so our SYN,ACK did not reach it.",
                "RFC 9293 section 3.10.7.4",
            ),
            RetransmitCause::PathMtu => says(
                "A router said that the packet was too big for the next link: its data goes again in smaller pieces.",
                "RFC 1191 section 6.4, RFC 8201 section 5.4",
            ),
            _ => UNKNOWN,
        }
    }
}

impl Explain for ResetCause {
    fn explain(&self) -> Explanation {
        match self {
            ResetCause::NoConnection => says(
                "Nobody listens on that port, or the connection is gone.",
                "RFC 9293 section 3.10.7.1",
            ),
            ResetCause::BadAck => says(
                "Before the handshake is complete, the segment acknowledged what was never sent.",
                "RFC 9293 section 3.5.2",
            ),
            ResetCause::Abort => says(
                "The application aborted the connection.",
                "RFC 9293 section 3.10.5",
            ),
            ResetCause::UnreadData => says(
                "The application closed with data unread, or data came after: the peer must learn it was lost (SHLD-3).",
                "RFC 9293 section 3.6.1",
            ),
            ResetCause::Linger => says(
                "The application closed with linger time zero, which is an abort.",
                "RFC 9293 section 3.10.5",
            ),
            ResetCause::Timeout => says(
                "Data stayed unacknowledged for longer than R2 or the user timeout.",
                "RFC 9293 section 3.8.3",
            ),
            ResetCause::ListenerClosed => {
                own("The listener closed before the application accepted the connection.")
            }
            ResetCause::Keepalive => says(
                "Several keepalive probes in a row had no answer (MUST-29).",
                "RFC 9293 section 3.8.4",
            ),
            _ => UNKNOWN,
        }
    }
}

impl Explain for ChallengeCause {
    fn explain(&self) -> Explanation {
        match self {
            ChallengeCause::ResetInWindow => says(
                "A RST in the window but not at RCV.NXT may be a guess: a true peer answers this ACK with an exact one.",
                "RFC 5961 section 3.2",
            ),
            ChallengeCause::Syn => says(
                "A SYN on a synchronised connection may be forged: a peer that restarted answers this ACK with RST.",
                "RFC 5961 section 4.2",
            ),
            ChallengeCause::AckOutOfRange => says(
                "The segment's ACK number is too old or not yet sent: data with it may be injected.",
                "RFC 5961 section 5.2",
            ),
            _ => UNKNOWN,
        }
    }
}

impl Explain for Held {
    fn explain(&self) -> Explanation {
        match self {
            Held::CongestionWindow => says(
                "As much as the congestion window allows is in the network; ACKs make room.",
                "RFC 5681 section 3.1",
            ),
            Held::PeerWindow => says(
                "The peer has no room for more: its window is full or closed until it says otherwise.",
                "RFC 9293 section 3.8.6",
            ),
            Held::Nagle => says(
                "A small segment waits while earlier data is unacknowledged.",
                "RFC 9293 section 3.7.4",
            ),
            Held::Cork => own("The application corked the socket to fill whole segments."),
            Held::SillyWindow => says(
                "Too little of the peer's window is open to be worth a segment.",
                "RFC 9293 section 3.8.6.2.1",
            ),
            Held::Pacing => {
                own("Segments are spread over the round trip and this one's moment has not come.")
            }
            Held::Neighbor => says(
                "The next hop's link address is being looked for.",
                "RFC 1122 section 2.3.2.2, RFC 4861 section 7.2.2",
            ),
            Held::Handshake => says(
                "Data waits until the handshake is complete.",
                "RFC 9293 section 3.10.2",
            ),
            _ => UNKNOWN,
        }
    }
}

impl Explain for DropReason {
    fn explain(&self) -> Explanation {
        explain_packet_drop(*self)
            .or_else(|| explain_segment_drop(*self))
            .unwrap_or(UNKNOWN)
    }
}

/// Drops on the way to a transport protocol, and for want of room.
fn explain_packet_drop(reason: DropReason) -> Option<Explanation> {
    Some(match reason {
        DropReason::Truncated => says("Shorter than its headers say.", "RFC 1122 section 1.2.2"),
        DropReason::Malformed => says("A header field holds what cannot be.", "RFC 1122 section 1.2.2"),
        DropReason::IpChecksum => says(
            "The IPv4 header was damaged: its checksum is wrong.",
            "RFC 1122 section 3.2.1.2",
        ),
        DropReason::TransportChecksum => says(
            "The packet was damaged: its checksum is wrong; TCP's sender will notice and repeat (MUST-3).",
            "RFC 9293 section 3.1, RFC 1122 section 4.1.3.4",
        ),
        DropReason::UnknownProtocol => says("Nobody here speaks that protocol.", "RFC 1122 section 3.2.2.1"),
        DropReason::NotForUs => says("Not addressed to this host.", "RFC 1122 section 3.2.1.3"),
        DropReason::BadSource => says(
            "No sender can have that source address.",
            "RFC 1122 section 3.2.1.3",
        ),
        DropReason::AddressConflict => says(
            "Somebody else says that our address is theirs; we keep it, and say so.",
            "RFC 5227 section 2.4, RFC 4862 section 5.4",
        ),
        DropReason::NoSocket => says(
            "Nobody listens on that port.",
            "RFC 1122 section 4.1.3.1, RFC 9293 section 3.10.7.1",
        ),
        DropReason::NoRoute => says("There is no way back to the sender.", "RFC 1122 section 3.3.1"),
        DropReason::SourceRoute => says(
            "The sender chose the route itself, which we refuse.",
            "RFC 1122 section 3.2.1.8, RFC 5095",
        ),
        DropReason::HopLimit => says(
            "Neighbour discovery with a hop limit below 255 came from off the link.",
            "RFC 4861 section 7.1",
        ),
        DropReason::BadFragment => says(
            "Fragments overlap, disagree, or make too long a datagram: the way of attacks.",
            "RFC 5722 section 4, RFC 8200 section 4.5",
        ),
        DropReason::FragmentsFull => says("No room for more datagrams in pieces.", "RFC 1122 section 3.3.2"),
        DropReason::FragmentTimeout => says(
            "Not all fragments came in time, so the datagram cannot be put together.",
            "RFC 1122 section 3.3.2, RFC 8200 section 4.5",
        ),
        DropReason::ReceiveQueueFull => own("The application reads too slowly: the socket's queue is full."),
        DropReason::TransmitQueueFull => own("The interface's output queue is full."),
        DropReason::NeighborUnreachable => says(
            "The next hop does not answer when asked for its link address.",
            "RFC 1122 section 2.3.2, RFC 4861 section 7.3",
        ),
        DropReason::IcmpMismatch => says(
            "An ICMP error about no connection of ours, or about numbers not in flight: likely forged.",
            "RFC 5927 section 4.1",
        ),
        DropReason::SourceQuench => says(
            "Source quench is ignored (MUST-55).",
            "RFC 9293 section 3.9.2.2, RFC 6633",
        ),
        DropReason::RateLimited => says(
            "Answered often enough lately; silence keeps us from being used against others.",
            "RFC 4443 section 2.4, RFC 5961 section 7",
        ),
        DropReason::NoInterface => own("The interface is down or unknown."),
        _ => return None,
    })
}

/// Drops of TCP segments.
fn explain_segment_drop(reason: DropReason) -> Option<Explanation> {
    const EVENTS: &str = "RFC 9293 section 3.10.7.4";
    Some(match reason {
        DropReason::SynQueueFull => says(
            "Too many half-open connections and cookies are off: the SYN is ignored, its sender will repeat it.",
            "RFC 4987 section 2",
        ),
        DropReason::AcceptQueueFull => {
            own("The application accepts too slowly: the accept queue is full, the peer will try again.")
        }
        DropReason::SynToMany => says(
            "A connection has two ends: a SYN to or from a multicast or broadcast address is ignored (MUST-57, MUST-63).",
            "RFC 9293 section 3.9.2.3",
        ),
        DropReason::BadCookie => says(
            "The ACK carries no number that we could have given out as a cookie.",
            "RFC 4987 section 3.6",
        ),
        DropReason::OutOfWindow => says("No octet of it lies in the receive window.", EVENTS),
        DropReason::Paws => says(
            "Its timestamp is older than the last: an old duplicate.",
            "RFC 7323 section 5.3",
        ),
        DropReason::ResetNotExact => says(
            "The RST does not stand exactly at RCV.NXT; it may be a guess.",
            "RFC 5961 section 3.2",
        ),
        DropReason::AckOutOfRange => says(
            "It acknowledges what was not sent, or what is long past.",
            "RFC 5961 section 5.2",
        ),
        DropReason::SynInWindow => says("A SYN on a synchronised connection.", "RFC 5961 section 4.2"),
        DropReason::NoAck => says("After the handshake every segment must carry ACK.", EVENTS),
        DropReason::Duplicate => says("We had these octets already.", EVENTS),
        DropReason::BeyondWindow => says("What lies beyond our window was cut off.", EVENTS),
        DropReason::ReassemblyFull => says(
            "No room for more segments that came before their turn; they will be sent again (SHLD-31).",
            EVENTS,
        ),
        DropReason::AfterClose => says(
            "Data came after our side had closed: nobody will read it.",
            "RFC 9293 section 3.6.1",
        ),
        _ => return None,
    })
}

impl Explain for LinkLoss {
    fn explain(&self) -> Explanation {
        own(match self {
            LinkLoss::Random => "The link loses a part of what it carries; this frame was among it.",
            LinkLoss::Chosen => "The scenario chose this frame to be lost.",
            LinkLoss::QueueFull => "More came than the link carries: the queue before it is full.",
            LinkLoss::TooBig => "The frame is larger than the link's MTU.",
            LinkLoss::Down => "The link is down.",
            LinkLoss::NoDestination => "Nobody on the link has that address.",
        })
    }
}

impl Explain for LinkChange {
    fn explain(&self) -> Explanation {
        match self {
            LinkChange::Duplicated => own("The frame arrives twice."),
            LinkChange::Corrupted => own("Some bits were turned over on the way; a checksum should notice."),
            LinkChange::Reordered => own("The frame is held back, so that later ones overtake it."),
            LinkChange::Marked => says(
                "The link is congested and marks the frame instead of dropping it.",
                "RFC 3168 section 5",
            ),
        }
    }
}

/// A stable name of a cause for machines: `open`, `ack_delay_timer`, `retransmit_timeout`.
pub fn name(cause: &Cause) -> String {
    // `Retransmit(Timeout { count: 1, .. })`: the names of the variants, without what they hold.
    let debug = format!("{cause:?}");
    let mut variants = debug.split(|c: char| !c.is_ascii_alphanumeric()).take(2);
    let outer = snake(variants.next().unwrap_or_default());
    match variants.next() {
        Some(inner) if inner.starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("{outer}_{}", snake(inner))
        }
        _ => outer,
    }
}

/// A cause as a comment for a capture: its few words, then the sentence and the clause.
pub fn comment(cause: &Cause) -> String {
    format!("{cause}. {}", cause.explain())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = concat!(
        include_str!("../../stack/src/trace/cause.rs"),
        include_str!("../../stack/src/trace/drops.rs")
    );
    const HERE: &str = include_str!("explain.rs");

    /// The variants of an enum, read from the core's source: `#[non_exhaustive]` hides a new one from the compiler here.
    fn variants(name: &str) -> Vec<&'static str> {
        let start = TRACE
            .find(&format!("pub enum {name} {{"))
            .expect("the core has this enum");
        let body = &TRACE[start..];
        let body = &body[..body.find("\n}").expect("an enum ends")];
        body.lines()
            .skip(1)
            .filter(|line| {
                line.starts_with("    ") && line.as_bytes().get(4).is_some_and(u8::is_ascii_uppercase)
            })
            .map(|line| {
                line.trim_start()
                    .split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap_or("")
            })
            .collect()
    }

    #[test]
    fn no_variant_is_without_text() {
        let mut seen = 0;
        for name in [
            "Cause",
            "AckCause",
            "RetransmitCause",
            "ResetCause",
            "ChallengeCause",
            "Held",
            "DropReason",
        ] {
            for variant in variants(name) {
                let arm = format!(" {name}::{variant}");
                let explained = HERE.match_indices(&arm).any(|(at, _)| {
                    !HERE[at + arm.len()..].starts_with(|c: char| c.is_alphanumeric())
                        && HERE[at..].lines().next().is_some_and(|line| line.contains("=>"))
                });
                assert!(explained, "{name}::{variant} has no explanation");
                seen += 1;
            }
        }
        assert_eq!(variants("DropReason").len(), DropReason::COUNT);
        assert!(seen > 80, "the source was not read: {seen}");
    }

    #[test]
    fn names_are_stable() {
        let rto = sockeye_stack::Duration::ZERO;
        assert_eq!(name(&Cause::Open), "open");
        assert_eq!(name(&Cause::WindowProbe(3)), "window_probe");
        assert_eq!(name(&Cause::Ack(AckCause::DelayTimer)), "ack_delay_timer");
        assert_eq!(
            name(&Cause::Retransmit(RetransmitCause::Timeout { count: 1, rto })),
            "retransmit_timeout"
        );
    }

    #[test]
    fn sentences_end_and_clauses_name_an_rfc() {
        let cause = Cause::Ack(AckCause::DelayTimer).explain();
        assert!(cause.sentence.ends_with('.'));
        assert_eq!(cause.clause, Some("RFC 9293 section 3.8.6.3"));
        for line in HERE
            .lines()
            .filter(|line| line.contains("section ") && line.trim_start().starts_with('"'))
        {
            assert!(line.trim_start().starts_with("\"RFC "), "{line}");
        }
    }
}
