//! What IGMPv3 and MLDv2 have in common: record types and the floating-point codes of their times.

/// What a group record of a membership report says (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// The filter is INCLUDE of these sources.
    IsInclude = 1,
    /// The filter is EXCLUDE of these sources; without sources: any source is wanted.
    IsExclude = 2,
    /// The filter has become INCLUDE; without sources: left the group.
    ToInclude = 3,
    /// The filter has become EXCLUDE; without sources: joined the group.
    ToExclude = 4,
    /// Further sources are wanted.
    Allow = 5,
    /// These sources are not wanted any more.
    Block = 6,
}

impl RecordKind {
    /// The kind of a record type, if it is known; unknown ones are to be skipped.
    pub(crate) fn from_code(code: u8) -> Option<RecordKind> {
        Some(match code {
            1 => RecordKind::IsInclude,
            2 => RecordKind::IsExclude,
            3 => RecordKind::ToInclude,
            4 => RecordKind::ToExclude,
            5 => RecordKind::Allow,
            6 => RecordKind::Block,
            _ => return None,
        })
    }
}

/// The value of an 8-bit code: as it stands below 128, then 4 bits of mantissa and 3 of exponent (RFC 3376 section
/// 4.1.1 and 4.1.7, RFC 3810 section 5.1.9).
pub(crate) fn decode8(code: u8) -> u32 {
    if code < 128 {
        return u32::from(code);
    }
    let mantissa = u32::from(code & 0x0f) | 0x10;
    mantissa << ((code >> 4 & 7) + 3)
}

/// The value of a 16-bit code: as it stands below 32,768, then 12 bits of mantissa and 3 of exponent (RFC 3810 section
/// 5.1.3).
pub(crate) fn decode16(code: u16) -> u32 {
    if code < 32_768 {
        return u32::from(code);
    }
    let mantissa = u32::from(code & 0x0fff) | 0x1000;
    mantissa << ((code >> 12 & 7) + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_grow_without_a_jump() {
        assert_eq!((decode8(127), decode8(128), decode8(255)), (127, 128, 31_744));
        assert_eq!(
            (decode16(32_767), decode16(32_768), decode16(u16::MAX)),
            (32_767, 32_768, 8_387_584)
        );
        assert!((0..255u8).all(|c| decode8(c) < decode8(c + 1)));
        assert!((0..u16::MAX).all(|c| decode16(c) < decode16(c + 1)));
    }
}
