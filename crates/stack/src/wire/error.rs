//! Why received bytes are not a header.

use thiserror::Error;

use crate::trace::DropReason;

/// Why received bytes are not what they claim to be. Each maps to a [`DropReason`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ParseError {
    /// Fewer bytes than the headers say.
    #[error("shorter than its headers say")]
    Truncated,
    /// A field that cannot be.
    #[error("a header field that cannot be")]
    Malformed,
    /// The IPv4 header's checksum is wrong.
    #[error("wrong IPv4 header checksum")]
    IpChecksum,
    /// The checksum of an ICMP, IGMP, UDP or TCP message is wrong.
    #[error("wrong checksum")]
    TransportChecksum,
    /// Well-formed, but of a kind that is not spoken here.
    #[error("of a kind that is not spoken here")]
    Unsupported,
    /// A source route, which is refused.
    #[error("source route")]
    SourceRoute,
    /// Hop limit not 255 where NDP requires it (RFC 4861), or not 1 where MLD does (RFC 3810).
    #[error("wrong hop limit")]
    HopLimit,
    /// A source address that no sender of this message can have.
    #[error("a source address that cannot be")]
    BadSource,
    /// A fragment whose length or offset cannot be.
    #[error("a fragment that cannot be")]
    BadFragment,
}

impl From<ParseError> for DropReason {
    fn from(e: ParseError) -> DropReason {
        match e {
            ParseError::Truncated => DropReason::Truncated,
            ParseError::Malformed => DropReason::Malformed,
            ParseError::IpChecksum => DropReason::IpChecksum,
            ParseError::TransportChecksum => DropReason::TransportChecksum,
            ParseError::Unsupported => DropReason::UnknownProtocol,
            ParseError::SourceRoute => DropReason::SourceRoute,
            ParseError::HopLimit => DropReason::HopLimit,
            ParseError::BadSource => DropReason::BadSource,
            ParseError::BadFragment => DropReason::BadFragment,
        }
    }
}

/// Whether a checksum is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Verify it.
    Verify,
    /// The path delivers intact frames, or the device has verified it.
    Trust,
}
