//! An Ethernet switch: learns who is where, floods what it does not know.

use std::collections::BTreeMap;

use sockeye_stack::Frame;

/// Addresses a switch remembers. When it is full, new ones are not learnt and frames to them are flooded.
const TABLE: usize = 4096;

/// Where addresses were seen.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    table: BTreeMap<[u8; 6], u16>,
}

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// By one port.
    One(u16),
    /// By all ports but the one it came by.
    Flood,
    /// Nowhere: it came from where it would go, or is no Ethernet frame.
    Nowhere,
}

impl Switch {
    pub(crate) fn receive(&mut self, port: u16, frame: &Frame) -> Output {
        let Some((to, from)) = frame.front().split_first_chunk::<6>() else {
            return Output::Nowhere;
        };
        let Some((from, _)) = from.split_first_chunk::<6>() else {
            return Output::Nowhere;
        };
        let group = |address: &[u8; 6]| address[0] & 1 != 0;
        if !group(from) && (self.table.len() < TABLE || self.table.contains_key(from)) {
            self.table.insert(*from, port);
        }
        match self.table.get(to) {
            _ if group(to) => Output::Flood,
            Some(&known) if known == port => Output::Nowhere,
            Some(&known) => Output::One(known),
            None => Output::Flood,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8) -> Frame {
        let mut bytes = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
        if to == 255 {
            bytes[..6].fill(255);
        }
        Frame::from(bytes)
    }

    #[test]
    fn learns_and_floods() {
        let mut switch = Switch::default();
        assert_eq!(switch.receive(0, &frame(2, 1)), Output::Flood);
        assert_eq!(switch.receive(1, &frame(1, 2)), Output::One(0));
        assert_eq!(switch.receive(0, &frame(2, 1)), Output::One(1));
        assert_eq!(switch.receive(0, &frame(255, 1)), Output::Flood);
        assert_eq!(switch.receive(0, &frame(1, 3)), Output::Nowhere);
        // It moved to another port.
        assert_eq!(switch.receive(2, &frame(2, 1)), Output::One(1));
        assert_eq!(switch.receive(1, &frame(1, 2)), Output::One(2));
        assert_eq!(switch.receive(0, &Frame::from(vec![1, 2, 3])), Output::Nowhere);
    }
}
