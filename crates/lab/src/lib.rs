//! Sockeye lab.
