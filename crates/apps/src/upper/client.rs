//! The client: asks line by line, and closes in good order.

use std::io;
use std::net::SocketAddr;

use sockeye_net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use sockeye_net::{Net, TcpStream, ToSocketAddrs};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::words::told;

/// A character grows by capitals to three times its octets at most: `ΐ` has two, its capital six.
const GROWTH: usize = 3;

/// A client, connected.
#[derive(Debug)]
pub struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, or that the name is unknown.
    pub async fn connect(net: &Net, server: impl ToSocketAddrs) -> io::Result<Client> {
        let stream = TcpStream::connect(net, server).await?;
        // A line is asked and its answer awaited: there is nothing to gather, and Nagle's rule would only
        // wait.
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Client {
            read: BufReader::new(read),
            write,
        })
    }
    /// Our address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.write.local_addr()
    }
    /// Sends a line and waits for its answer. Its newline goes with it, so that even an empty line has
    /// something to send and to answer, and nobody waits for ever.
    ///
    /// Sending and receiving go on together: an answer longer than all buffers on the way would otherwise
    /// stop both.
    ///
    /// # Errors
    /// `InvalidInput` for a line with a newline in it, `UnexpectedEof` if the server closed, `InvalidData` if
    /// what comes cannot be the answer, and what ended the connection.
    pub async fn ask(&mut self, line: &str) -> io::Result<String> {
        if line.contains('\n') {
            return Err(told(io::ErrorKind::InvalidInput, "upper-one-line", &[]));
        }
        let octets = [line.as_bytes(), b"\n"].concat();
        let limit = (octets.len() * GROWTH) as u64;
        let mut answer = Vec::new();
        let mut limited = (&mut self.read).take(limit);
        let (_, n) = tokio::try_join!(
            biased;
            self.write.write_all(&octets),
            limited.read_until(b'\n', &mut answer),
        )?;
        match answer.pop() {
            Some(b'\n') => {}
            _ if (n as u64) < limit => {
                return Err(told(io::ErrorKind::UnexpectedEof, "upper-cut", &[]));
            }
            _ => {
                return Err(told(io::ErrorKind::InvalidData, "upper-answer-too-long", &[]));
            }
        }
        String::from_utf8(answer).map_err(|_| told(io::ErrorKind::InvalidData, "upper-answer-no-text", &[]))
    }
    /// Closes in good order: our FIN, then all that the server still says, up to its FIN.
    ///
    /// # Errors
    /// What ended the connection otherwise.
    pub async fn close(mut self) -> io::Result<()> {
        self.write.shutdown().await?;
        let mut rest = [0; 256];
        while self.read.read(&mut rest).await? > 0 {}
        Ok(())
    }
}
