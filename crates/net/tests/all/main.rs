//! The tests of the sockets, in one program: what each is for stands at the head of its file. `loom.rs` is built
//! otherwise and stands apart.

mod conformance;
mod docs;
mod faces;
mod failed_device;
mod os;
mod refused_datagrams;
mod tun;
