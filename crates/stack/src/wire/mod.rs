//! Headers: one file a protocol, each with parse, check and emit.
