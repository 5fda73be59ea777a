//! How many connections each local port has.
//!
//! Ports of outgoing connections follow one another ([`crate::tcp::ports`]), so they lie side by side here: what opens and what
//! expires touch the same few cache lines, however many ports are in use.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Ports of a page: the low octet of a port is its place in it.
const PAGE: usize = 256;

/// Connections of one port and family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Connections {
    pub(crate) all: u32,
    /// Those whose socket had no SO_REUSEADDR.
    pub(crate) exclusive: u32,
}

/// Connections of one port, of IPv4 and of IPv6.
type Both = [Connections; 2];

#[derive(Debug)]
struct Page {
    /// How many connections the page counts.
    total: u32,
    ports: [Both; PAGE],
}

/// Connections by port and family. Pages without connections are given back, but for one, which stays where it is: a server's
/// port may lose its only connection again and again.
#[derive(Debug, Default)]
pub(crate) struct PortCounts {
    /// By the high octet of the port; as many as were needed.
    pages: Vec<Option<Box<Page>>>,
    /// The place of the page that lost its last connection last.
    emptied: usize,
}

impl PortCounts {
    /// One more connection; `family` is 0 for IPv4 and 1 for IPv6.
    #[inline]
    pub(crate) fn add(&mut self, port: u16, family: usize, exclusive: bool) {
        let [place, number] = port.to_be_bytes().map(usize::from);
        let page = match self.pages.get_mut(place) {
            Some(Some(page)) => page,
            _ => self.new_page(place),
        };
        page.total += 1;
        let counted = &mut page.ports[number][family];
        counted.all += 1;
        counted.exclusive += u32::from(exclusive);
    }
    /// One connection less, counted as it was; whether there was one.
    #[inline]
    pub(crate) fn remove(&mut self, port: u16, family: usize, exclusive: bool) -> bool {
        let [place, number] = port.to_be_bytes().map(usize::from);
        let Some(Some(page)) = self.pages.get_mut(place) else {
            return false;
        };
        let counted = &mut page.ports[number][family];
        let shared = counted.all - counted.exclusive;
        if (if exclusive { counted.exclusive } else { shared }) == 0 {
            return false;
        }
        counted.all -= 1;
        counted.exclusive -= u32::from(exclusive);
        page.total -= 1;
        if page.total == 0 && self.emptied != place {
            self.emptied(place);
        }
        true
    }
    /// The connections of a port.
    pub(crate) fn of(&self, port: u16) -> Both {
        let [place, number] = port.to_be_bytes().map(usize::from);
        match self.pages.get(place) {
            Some(Some(page)) => page.ports[number],
            _ => Both::default(),
        }
    }

    /// This page is empty, and the only one of those that is kept.
    #[inline(never)]
    fn emptied(&mut self, place: usize) {
        let before = core::mem::replace(&mut self.emptied, place);
        drop(self.empty_page(before));
    }
    /// Takes the page at this place, if it is empty.
    fn empty_page(&mut self, place: usize) -> Option<Box<Page>> {
        self.pages.get_mut(place)?.take_if(|page| page.total == 0)
    }

    #[inline(never)]
    fn new_page(&mut self, place: usize) -> &mut Page {
        if self.pages.len() <= place {
            self.pages.resize_with(place + 1, || None);
        }
        let page = self.empty_page(self.emptied).unwrap_or_else(|| {
            Box::new(Page {
                total: 0,
                ports: [Both::default(); PAGE],
            })
        });
        self.pages[place].insert(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn pages_are_given_back_but_for_one() {
        let mut counts = PortCounts::default();
        for port in 0..=u16::MAX {
            counts.add(port, 0, true);
        }
        assert_eq!(counts.pages.iter().flatten().count(), 256);
        for port in 0..=u16::MAX {
            assert!(counts.remove(port, 0, true));
        }
        let kept: Vec<_> = counts.pages.iter().flatten().collect();
        assert!(kept.len() == 1 && kept[0].total == 0);
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 250u16..260, 0usize..2, any::<bool>()), 1..200)) {
            let (mut counts, mut map) = (PortCounts::default(), BTreeMap::<(u16, usize), Connections>::new());
            for (adds, port, family, exclusive) in steps {
                let known = map.entry((port, family)).or_default();
                if adds {
                    counts.add(port, family, exclusive);
                    known.all += 1;
                    known.exclusive += u32::from(exclusive);
                } else {
                    let there = if exclusive { known.exclusive } else { known.all - known.exclusive } > 0;
                    prop_assert_eq!(counts.remove(port, family, exclusive), there);
                    if there {
                        known.all -= 1;
                        known.exclusive -= u32::from(exclusive);
                    }
                }
                prop_assert_eq!(counts.of(port)[family], *known);
            }
        }
    }
}
