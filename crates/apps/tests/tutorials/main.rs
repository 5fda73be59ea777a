//! The sixteen programs of the tutorials, each on every net: the same function runs on the operating system's sockets,
//! over TUN between a stack and the kernel (both ways round; root only), and in the lab without and with 5 % loss.
//!
//! What each does, and where it is not the tutorial's own way since that does not work, stands in docs/programs.md.
#![cfg(target_os = "linux")]

mod chat;
mod datagrams;
mod place;
mod small;
mod tftp;
mod upper;
mod vanished;

#[path = "../../examples/tutorial/create.rs"]
mod create;
#[path = "../../examples/tutorial/deaf_client.rs"]
mod deaf_client;
#[path = "../../examples/tutorial/exchange.rs"]
mod exchange;
#[path = "../../examples/tutorial/gbk_server.rs"]
mod gbk_server;
#[path = "../../examples/tutorial/listen.rs"]
mod listen;
#[path = "../../examples/tutorial/reuse_server.rs"]
mod reuse_server;

/// Programs, by their rows: on each net a test.
macro_rules! on_all_nets {
    ($($row:ident: $program:path;)+) => {$(
        mod $row {
            #[test]
            fn os() {
                crate::place::os($program);
            }
            #[test]
            fn tun() {
                crate::place::tun(concat!(stringify!($row), "::tun"), $program);
            }
            #[test]
            fn lab() {
                crate::place::lab(0.0, 1, $program);
            }
            #[test]
            fn lab_with_loss() {
                for seed in 1..=crate::place::SEEDS {
                    crate::place::lab(0.05, seed, $program);
                }
            }
        }
    )+};
}

on_all_nets! {
    p01: crate::chat::one_to_one;
    p02: crate::chat::udp;
    p03: crate::tftp::server;
    p04: crate::tftp::client;
    p05: crate::chat::with_q;
    p06: crate::chat::udp_with_q;
    p07: crate::small::single_exchange;
    p08: crate::small::restarted_at_once;
    p09: crate::chat::robust;
    p10: crate::upper::one_client;
    p11: crate::upper::clients_in_turn;
    p12: crate::datagrams::sender;
    p13: crate::datagrams::receiver;
    p14: crate::small::never_reads;
    p15: crate::small::gbk;
    p16: crate::small::created_and_closed;
}
