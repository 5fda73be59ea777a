//! Sockeye view.
