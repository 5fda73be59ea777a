//! Two hosts of one kind with a link between them: what the workloads ask of each stack.

use crate::pattern::Pattern;

/// Frames that pass in one direction in one turn, at most. The same for every stack.
pub const BATCH: usize = 64;
/// Ports that servers listen at, from this one on.
pub const PORT: u16 = 1000;

/// One of the two hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Opens connections, sends bulk data, closes first.
    Client,
    /// Listens.
    Server,
}

/// How octets pass between the application and the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    /// Sent from a slice, received into a slice.
    Copy,
    /// Without a copy: shared buffers, or the stack's own buffers lent to the application, which touches no octet.
    Lend,
}

/// Two hosts on virtual time. Nothing happens between calls: a turn is `egress` at one end and `ingress` at the other.
pub trait Pair {
    /// A connection as one end knows it.
    type Conn: Copy;

    /// Virtual time goes on.
    fn advance(&mut self, micros: u64);

    /// Frames that this end wants to send go onto the link, up to [`BATCH`]; returns how many.
    fn egress(&mut self, from: End) -> usize;
    /// Frames on the link go into this end.
    fn ingress(&mut self, to: End);

    /// The client begins to open a connection to the `n`-th port of the server.
    fn connect(&mut self, n: u16) -> Self::Conn;
    /// The server takes a connection that was opened to its `n`-th port.
    fn accept(&mut self, n: u16) -> Option<Self::Conn>;
    /// Whether the handshake is complete.
    fn is_open(&mut self, end: End, conn: Self::Conn) -> bool;
    /// Closes this end's side. The server's end is gone once its FIN is acknowledged, the client's is in TIME-WAIT.
    fn close(&mut self, end: End, conn: Self::Conn);
    /// After both ends closed: checks that they have finished and gives back what the stack does not give back itself.
    fn finish(&mut self, client: Self::Conn, server: Self::Conn);

    /// Sends from a slice; returns how many octets were taken.
    fn send(&mut self, end: End, conn: Self::Conn, data: &[u8]) -> usize;
    /// Receives into a slice: `None` at the end of the stream, 0 octets if nothing is there.
    fn recv(&mut self, end: End, conn: Self::Conn, out: &mut [u8]) -> Option<usize>;
    /// Sends the stream at `position` without a copy; returns how many octets were taken. `write` makes stacks that lend
    /// their buffer fill it, for verification.
    fn send_lent(
        &mut self,
        end: End,
        conn: Self::Conn,
        pattern: &Pattern,
        position: u64,
        write: bool,
    ) -> usize;
    /// Receives without a copy, checking the octets if asked to; returns how many there were.
    fn recv_lent(&mut self, end: End, conn: Self::Conn, check: Option<(&Pattern, u64)>) -> usize;

    /// Adds idle established connections beside, which have exchanged some data before.
    fn add_idle(&mut self, n: usize);
}

/// Opens a connection and lets both ends see it open.
pub fn open<P: Pair>(pair: &mut P, port: u16) -> (P::Conn, P::Conn) {
    let client = pair.connect(port);
    for _ in 0..3 {
        turn(pair, End::Client);
        turn(pair, End::Server);
    }
    let server = pair.accept(port).expect("the connection reaches the server");
    assert!(
        pair.is_open(End::Client, client) && pair.is_open(End::Server, server),
        "the handshake is complete"
    );
    (client, server)
}

/// A batch of frames passes from one end to the other; returns how many.
pub fn turn<P: Pair>(pair: &mut P, from: End) -> usize {
    let frames = pair.egress(from);
    pair.ingress(match from {
        End::Client => End::Server,
        End::Server => End::Client,
    });
    frames
}
