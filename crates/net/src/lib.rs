//! Sockeye net.
