//! netascii: text as telnet's NVT has it (RFC 764, by way of RFC 1350 section 1). On the wire the end of a line is
//! CR LF, and a carriage return that is only that is CR NUL.
//!
//! Both directions keep what stands between two calls, so blocks may break anywhere, also between CR and what follows.

/// Local text (lines end with LF) to netascii.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Encoder {
    /// The second octet of a pair, if only the first had room.
    pending: Option<u8>,
}

impl Encoder {
    /// Encodes from `input` until it is used up or `out` has `limit` octets; returns how many octets of `input` were
    /// used. A pair that does not fit is split, and its second half comes with the next call.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> usize {
        let mut used = 0;
        while out.len() < limit {
            if let Some(second) = self.pending.take() {
                out.push(second);
                continue;
            }
            let rest = &input[used..];
            let room = limit - out.len();
            let plain = rest.iter().take(room).take_while(|b| !matches!(b, b'\n' | b'\r'));
            let plain = plain.count();
            if plain > 0 {
                out.extend_from_slice(&rest[..plain]);
                used += plain;
                continue;
            }
            let Some(&octet) = rest.first() else { break };
            used += 1;
            out.push(b'\r');
            self.pending = Some(if octet == b'\n' { b'\n' } else { 0 });
        }
        used
    }
    /// Whether half a pair waits to be written.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

/// netascii to local text.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Decoder {
    /// The last octet was a CR whose meaning the next one tells.
    cr: bool,
}

impl Decoder {
    /// Decodes all of `input`. A CR before anything but LF and NUL breaks the rule; it is kept as it is.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for &octet in input {
            if std::mem::take(&mut self.cr) {
                match octet {
                    b'\n' => {
                        out.push(b'\n');
                        continue;
                    }
                    0 => {
                        out.push(b'\r');
                        continue;
                    }
                    _ => out.push(b'\r'),
                }
            }
            match octet {
                b'\r' => self.cr = true,
                _ => out.push(octet),
            }
        }
    }
    /// The end: a CR that nothing followed is kept.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The model: octet by octet, all at once.
    fn model(text: &[u8]) -> Vec<u8> {
        let pairs = text.iter().map(|&b| match b {
            b'\n' => vec![b'\r', b'\n'],
            b'\r' => vec![b'\r', 0],
            other => vec![other],
        });
        pairs.flatten().collect()
    }

    fn encode(text: &[u8], block: usize) -> Vec<u8> {
        let (mut encoder, mut all, mut used) = (Encoder::default(), Vec::new(), 0);
        loop {
            let mut out = Vec::new();
            // Feed it at most seven octets at a time, to break input anywhere as well.
            while out.len() < block && (used < text.len() || encoder.is_pending()) {
                let end = text.len().min(used + 7);
                used += encoder.encode(&text[used..end], &mut out, block);
            }
            assert!(out.len() <= block);
            all.extend_from_slice(&out);
            if out.len() < block {
                return all;
            }
        }
    }

    /// Proves: 1350-10.
    #[test]
    fn pairs_across_a_block() {
        // 511 letters, then LF: CR is the last octet of block 1 and LF the first of block 2.
        let mut text = vec![b'a'; 511];
        text.push(b'\n');
        let wire = encode(&text, 512);
        assert_eq!((wire[511], wire[512]), (b'\r', b'\n'));
        let mut out = Vec::new();
        let mut decoder = Decoder::default();
        decoder.decode(&wire[..512], &mut out);
        decoder.decode(&wire[512..], &mut out);
        decoder.finish(&mut out);
        assert_eq!(out, text);
    }

    #[test]
    fn what_breaks_the_rule_is_kept() {
        let mut out = Vec::new();
        let mut decoder = Decoder::default();
        decoder.decode(b"a\rb\r\r\nc\r", &mut out);
        decoder.finish(&mut out);
        assert_eq!(out, b"a\rb\r\nc\r");
    }

    proptest! {
        #[test]
        fn both_ways_as_the_model(
            text in prop::collection::vec(prop::sample::select(b"ab\r\n\0".to_vec()), 0..300), block in 1usize..20,
        ) {
            let wire = encode(&text, block);
            prop_assert_eq!(&wire, &model(&text));
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            for part in wire.chunks(block) {
                decoder.decode(part, &mut out);
            }
            decoder.finish(&mut out);
            prop_assert_eq!(out, text);
        }
    }
}
