//! What `makefile` gives: buffered readers and writers on a socket.

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::{Flags, Socket};

/// Reads a socket. Several may, and with the writers they share it.
#[derive(Clone, Debug)]
pub struct SocketReader(pub(super) Socket);

/// Writes a socket. What a buffer around it holds is sent when it is flushed or dropped; errors of the latter are lost,
/// so flush.
#[derive(Clone, Debug)]
pub struct SocketWriter(pub(super) Socket);

/// A buffered reader: lines (`BufRead::lines`), exact counts, all to the end.
pub type FileReader = BufReader<SocketReader>;
/// A buffered writer.
pub type FileWriter = BufWriter<SocketWriter>;

impl Read for SocketReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv_into(buf, Flags::empty())
    }
}
impl Write for SocketWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.send(data, Flags::empty())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Read for &Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_into(buf, Flags::empty())
    }
}
impl Write for &Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send(data, Flags::empty())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
