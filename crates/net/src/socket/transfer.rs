//! What is sent and received through a socket.

use std::io::{self, IoSlice, IoSliceMut};

use super::wait::Wait;
use super::{Address, Ancillary, Back, Flags, Message, Socket, ToAddress, Way};
use crate::error::{errno, from_errno};

impl Socket {
    /// Receives at most `size` octets. From a stream an empty answer is its end; from datagrams it is an empty one.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `ConnectionReset`, `NotConnected`, `ConnectionRefused`.
    pub fn recv(&self, size: usize, flags: Flags) -> io::Result<Vec<u8>> {
        Ok(self.recvfrom(size, flags)?.0)
    }
    /// As [`Socket::recv`], into a buffer; how many octets.
    ///
    /// # Errors
    /// As there.
    pub fn recv_into(&self, buf: &mut [u8], flags: Flags) -> io::Result<usize> {
        Ok(self.receive(buf, flags)?.len)
    }
    /// As [`Socket::recv`], and who sent it; `None` on a connection.
    ///
    /// # Errors
    /// As there.
    pub fn recvfrom(&self, size: usize, flags: Flags) -> io::Result<(Vec<u8>, Option<Address>)> {
        let mut buf = vec![0; size];
        let (n, from) = self.recvfrom_into(&mut buf, flags)?;
        buf.truncate(n);
        Ok((buf, from))
    }
    /// As [`Socket::recvfrom`], into a buffer.
    ///
    /// # Errors
    /// As there.
    pub fn recvfrom_into(&self, buf: &mut [u8], flags: Flags) -> io::Result<(usize, Option<Address>)> {
        let message = self.receive(buf, flags)?;
        Ok((message.len, message.address))
    }
    fn receive(&self, buf: &mut [u8], flags: Flags) -> io::Result<Message> {
        let wait = self.wait(Way::Receive, flags);
        match &self.0.back {
            Back::Os(s) => s.receive(buf, flags, wait),
            Back::Stack(s) => s.receive(buf, flags, wait),
            Back::Local(s) => s.receive(buf, flags, wait),
        }
    }
    /// Receives into several buffers, and says what else is known of the message.
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub fn recvmsg(&self, bufs: &mut [IoSliceMut<'_>], flags: Flags) -> io::Result<Message> {
        if let Back::Os(s) = &self.0.back {
            return s.receive_message(bufs, flags, self.wait(Way::Receive, flags));
        }
        if let [one] = bufs {
            return self.receive(one, flags);
        }
        let mut whole = vec![0; bufs.iter().map(|buf| buf.len()).sum()];
        let message = self.receive(&mut whole, flags)?;
        let mut rest = &whole[..message.len.min(whole.len())];
        for buf in bufs {
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
        }
        Ok(message)
    }

    /// Sends; how many octets were taken, which on a stream that does not block may be fewer than given. The rest stays
    /// with the caller.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `BrokenPipe`, `ConnectionReset`; destination address required, message too long.
    pub fn send(&self, data: &[u8], flags: Flags) -> io::Result<usize> {
        self.transmit(data, flags, None)
    }
    /// Sends everything. A timeout holds for all of it together.
    ///
    /// # Errors
    /// As [`Socket::send`]; how much was sent before is not known then.
    pub fn sendall(&self, data: &[u8], flags: Flags) -> io::Result<()> {
        let wait = self.wait(Way::Send, flags);
        let mut done = 0;
        loop {
            done += self.transmit_within(&data[done..], flags, None, wait)?;
            if done >= data.len() {
                return Ok(());
            }
        }
    }
    /// Sends a datagram to an address.
    ///
    /// # Errors
    /// As [`Socket::send`]; `PermissionDenied` for broadcast without [`SockOpt::Broadcast`](super::SockOpt::Broadcast);
    /// `NetworkUnreachable`.
    pub fn sendto(&self, data: &[u8], flags: Flags, address: impl ToAddress) -> io::Result<usize> {
        let address = self.address(address)?;
        self.transmit(data, flags, Some(&address))
    }
    fn transmit(&self, data: &[u8], flags: Flags, to: Option<&Address>) -> io::Result<usize> {
        self.transmit_within(data, flags, to, self.wait(Way::Send, flags))
    }
    fn transmit_within(
        &self,
        data: &[u8],
        flags: Flags,
        to: Option<&Address>,
        wait: Wait,
    ) -> io::Result<usize> {
        match &self.0.back {
            Back::Os(s) => s.send(data, flags, to, wait),
            Back::Stack(s) => s.send(data, flags, to, wait),
            Back::Local(s) => s.send(data, Vec::new(), to, wait),
        }
    }
    /// Sends the content of several buffers as one message, with ancillary data. A stack takes descriptors over AF_UNIX
    /// only, and sets hop limit and traffic class by options.
    ///
    /// # Errors
    /// As [`Socket::sendto`]; `InvalidInput` for ancillary data that cannot be sent here.
    pub fn sendmsg(
        &self,
        bufs: &[IoSlice<'_>],
        ancillary: Vec<Ancillary>,
        flags: Flags,
        address: Option<&Address>,
    ) -> io::Result<usize> {
        let wait = self.wait(Way::Send, flags);
        match &self.0.back {
            Back::Os(s) => s.send_message(bufs, ancillary, flags, address, wait),
            Back::Stack(_) if !ancillary.is_empty() => Err(from_errno(errno::EINVAL)),
            Back::Stack(s) => s.send(&bufs.concat_bytes(), flags, address, wait),
            Back::Local(s) => s.send(&bufs.concat_bytes(), ancillary, address, wait),
        }
    }
}

/// Buffers joined.
trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}
impl Concat for [IoSlice<'_>] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|slice| slice.iter().copied()).collect()
    }
}
