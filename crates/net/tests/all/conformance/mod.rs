//! How sockets behave: the same programs on the operating system's sockets, on a stack that talks to itself, on two
//! stacks with a wire between them, and (as root) between a stack and the kernel over a TUN device, each of them serving
//! the other. What differs is told by the world, and listed in the documentation of `sockeye_net::socket` with its
//! reasons.
#![cfg(target_os = "linux")]

mod errors;
mod local;
mod opponent;
mod options;
mod polling;
mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use sockeye_net::Net;
use sockeye_net::device::wire;
use sockeye_net::driver::Driver;
use sockeye_net::socket::{Address, Family, Flags, Kind, Socket};
use sockeye_stack::{Config, InterfaceConfig, Profile};

/// Where a test runs: a server's side and a client's, with the server's addresses.
struct World {
    server: Net,
    client: Net,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    /// The sockets are the operating system's.
    os: bool,
}

impl World {
    fn os() -> World {
        World {
            server: Net::os(),
            client: Net::os(),
            v4: Ipv4Addr::LOCALHOST,
            v6: Ipv6Addr::LOCALHOST,
            os: true,
        }
    }
    fn loopback() -> World {
        let net = Driver::new("alone", Config::new(Profile::Linux)).start().unwrap();
        World {
            server: net.clone(),
            client: net,
            os: false,
            ..World::os()
        }
    }
    fn wired() -> World {
        let (one, other) = wire(1500).unwrap();
        let start = |name: &str, device, host: u8| {
            let interface = InterfaceConfig::ip("wire0", 0)
                .address([10, 0, 0, host], 24)
                .address([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)], 64);
            let driver = Driver::new(name, Config::new(Profile::Linux));
            driver.device(device, interface).start().unwrap()
        };
        World {
            server: start("server", one, 1),
            client: start("client", other, 2),
            v4: [10, 0, 0, 1].into(),
            v6: [0xfd00, 0, 0, 0, 0, 0, 0, 1].into(),
            os: false,
        }
    }
    fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::Inet6 => self.v6.into(),
            _ => self.v4.into(),
        }
    }
    /// A socket on the server's side, bound to a port of its own.
    fn bound(&self, family: Family, kind: Kind) -> (Socket, Address) {
        let socket = Socket::new(&self.server, family, kind).unwrap();
        socket.bind((self.ip(family), 0)).unwrap();
        let address = socket.getsockname().unwrap();
        (socket, address)
    }
    fn listener(&self, family: Family, backlog: u32) -> (Socket, Address) {
        let (socket, address) = self.bound(family, Kind::Stream);
        socket.listen(backlog).unwrap();
        (socket, address)
    }
    fn socket(&self, kind: Kind) -> Socket {
        Socket::new(&self.client, Family::Inet, kind).unwrap()
    }
    /// Server's end and client's end of a connection.
    fn connection(&self) -> (Socket, Socket) {
        let (listener, address) = self.listener(Family::Inet, 5);
        let client = self.socket(Kind::Stream);
        client.connect(&address).unwrap();
        let (server, _) = listener.accept().unwrap();
        (server, client)
    }
}

const NONE: Flags = Flags::empty();

/// Long enough that only a fault makes a test wait for it.
const LONG: Duration = Duration::from_secs(30);
/// For waits that are to end without anything having come.
const SHORT: Duration = Duration::from_millis(30);

#[track_caller]
fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    let error = result.unwrap_err();
    error
        .raw_os_error()
        .unwrap_or_else(|| panic!("without errno: {error}"))
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Runs every function on every back end.
macro_rules! on_all_back_ends {
    ($($module:ident: $($name:ident)+;)+) => {
        mod on_the_operating_system { $($(#[test] fn $name() { super::$module::$name(&super::World::os()) })+)+ }
        mod on_a_stack { $($(#[test] fn $name() { super::$module::$name(&super::World::loopback()) })+)+ }
        mod on_two_stacks { $($(#[test] fn $name() { super::$module::$name(&super::World::wired()) })+)+ }
    };
}

/// The functions that also run between the kernel and a stack, with their names.
macro_rules! between_the_kernel_and_a_stack {
    ($($module:ident: $($name:ident)+;)+) => {
        const PROGRAMS: &[(&str, fn(&World))] =
            &[$($((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),+),+];
    };
}

on_all_back_ends! {
    tcp: a_conversation_over_both_families a_send_takes_what_fits_and_sendall_everything
        data_before_accept_is_kept_and_clients_are_served_in_order reuse_of_an_address_in_time_wait
        an_empty_send_is_nothing_on_a_stream end_of_stream_is_no_error_and_stays a_reset_is_an_error
        closing_with_unread_data_resets half_close both_close_at_once sending_to_one_who_has_closed
        a_closed_window_opens_again lingering_loses_nothing many_small_writes peeking_and_waiting_for_all
        truncating_a_stream_drops_octets urgent_data the_wildcard_of_ipv6_takes_ipv4_too makefile_reads_lines
        threads_share_a_socket names_of_hosts a_program_ends_when_all_is_sent;
    udp: boundaries_and_truncation an_empty_datagram_is_a_message the_largest_datagram broadcast_needs_permission
        without_a_destination a_connected_socket_hears_its_peer_only_and_refusals ancillary_data
        several_buffers_are_one_message multicast_reaches_members peeking_leaves_the_datagram shut_down;
    errors: connect_ex_tells_codes connecting_without_blocking timeouts binding_what_cannot_be_had
        sockets_that_are_not_connected calls_of_the_wrong_kind families_do_not_mix ports_out_of_range
        the_error_of_a_socket_is_told_once a_reset_after_the_end;
    options: every_option_of_tcp every_option_of_udp what_does_not_exist keepalive_numbers_do_not_switch_it_on
        information_of_a_connection listeners_hand_down_options numbers_name_options;
    polling: a_listener_polls_readable a_connection_polls datagrams_poll local_sockets_poll;
    local: streams_by_name datagrams_by_name pairs descriptors_travel refusals_of_names streams_wait_for_room
        an_end_that_is_gone;
}

between_the_kernel_and_a_stack! {
    tcp: a_conversation_over_both_families a_send_takes_what_fits_and_sendall_everything
        data_before_accept_is_kept_and_clients_are_served_in_order reuse_of_an_address_in_time_wait
        an_empty_send_is_nothing_on_a_stream end_of_stream_is_no_error_and_stays a_reset_is_an_error
        closing_with_unread_data_resets half_close both_close_at_once sending_to_one_who_has_closed
        peeking_and_waiting_for_all truncating_a_stream_drops_octets urgent_data a_closed_window_opens_again
        lingering_loses_nothing many_small_writes the_wildcard_of_ipv6_takes_ipv4_too
        makefile_reads_lines threads_share_a_socket a_program_ends_when_all_is_sent;
    udp: boundaries_and_truncation an_empty_datagram_is_a_message the_largest_datagram
        a_connected_socket_hears_its_peer_only_and_refusals several_buffers_are_one_message
        peeking_leaves_the_datagram;
    errors: connect_ex_tells_codes connecting_without_blocking timeouts the_error_of_a_socket_is_told_once
        a_reset_after_the_end;
    options: keepalive_numbers_do_not_switch_it_on information_of_a_connection listeners_hand_down_options;
    polling: a_listener_polls_readable a_connection_polls datagrams_poll;
}
