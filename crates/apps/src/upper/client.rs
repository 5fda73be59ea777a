//! The client: asks line by line, and closes in good order.

use std::io;
use std::net::SocketAddr;

use sockeye_net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use sockeye_net::{Net, TcpStream, ToSocketAddrs};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

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
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a line ends at its newline: ask one at a time",
            ));
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
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed before its answer was complete",
                ));
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the answer is longer than the line in capitals",
                ));
            }
        }
        String::from_utf8(answer)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is not UTF-8"))
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

/// Why a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The person said [Q](is_quit).
    Quit,
    /// The input ended.
    EndOfInput,
}

/// Whether a line says goodbye: `Q`, in either case.
pub fn is_quit(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("q")
}

/// A conversation: each line of `input` is asked, each answer written to `output` as a line, until `Q` or the
/// end of the input; then the connection is closed in good order. Lines with nothing in them are not sent.
///
/// # Errors
/// `InvalidInput` for a line that is not UTF-8; what ended the connection, or what failed with input or
/// output.
pub async fn talk<R, W>(client: Client, mut input: R, mut output: W) -> io::Result<Ending>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut client = client;
    let mut line = Vec::new();
    let ending = loop {
        line.clear();
        if input.read_until(b'\n', &mut line).await? == 0 {
            break Ending::EndOfInput;
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a line of the input is not UTF-8"))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if is_quit(text) {
            break Ending::Quit;
        }
        if text.trim().is_empty() {
            continue;
        }
        let answer = client.ask(text).await?;
        output.write_all(answer.as_bytes()).await?;
        output.write_all(b"\n").await?;
        output.flush().await?;
    };
    client.close().await?;
    Ok(ending)
}
