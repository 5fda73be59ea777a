//! Sockeye apps.
