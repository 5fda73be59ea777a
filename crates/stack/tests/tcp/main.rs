//! TCP as the wire and applications see it: between two stacks, and against a scripted peer that can send anything.
//!
//! Tests name the requirements that they prove in a line of their documentation: `Proves: MUST-4, SHLD-3.`

mod pair;
mod peer;

mod table;
mod transfer;
