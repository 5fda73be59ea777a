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

#[path = "../../../examples/tutorial/create.rs"]
mod create;
#[path = "../../../examples/tutorial/deaf_client.rs"]
mod deaf_client;
#[path = "../../../examples/tutorial/exchange.rs"]
mod exchange;
#[path = "../../../examples/tutorial/gbk_server.rs"]
mod gbk_server;
#[path = "../../../examples/tutorial/listen.rs"]
mod listen;
#[path = "../../../examples/tutorial/reuse_server.rs"]
mod reuse_server;

/// Programs, by their rows: on each net a test.
macro_rules! on_all_nets {
    ($($row:ident: $program:path;)+) => {$(
        mod $row {
            #[test]
            fn os() {
                super::place::os($program);
            }
            #[test]
            fn tun() {
                super::place::tun(concat!("tutorials::", stringify!($row), "::tun"), $program);
            }
            #[test]
            fn lab() {
                super::place::lab(0.0, 1, $program);
            }
            #[test]
            fn lab_with_loss() {
                for seed in 1..=super::place::SEEDS {
                    super::place::lab(0.05, seed, $program);
                }
            }
        }
    )+};
}

on_all_nets! {
    p01: super::chat::one_to_one;
    p02: super::chat::udp;
    p03: super::tftp::server;
    p04: super::tftp::client;
    p05: super::chat::with_q;
    p06: super::chat::udp_with_q;
    p07: super::small::single_exchange;
    p08: super::small::restarted_at_once;
    p09: super::chat::robust;
    p10: super::upper::one_client;
    p11: super::upper::clients_in_turn;
    p12: super::datagrams::sender;
    p13: super::datagrams::receiver;
    p14: super::small::never_reads;
    p15: super::small::gbk;
    p16: super::small::created_and_closed;
}
