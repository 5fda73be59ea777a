//! A server that answers one client in GBK.

use std::io;

use sockeye_apps::line::Charset;
use sockeye_net::TcpListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What it answers: twelve octets in GBK, two a character. In UTF-8 it would be eighteen.
pub(crate) const ANSWER: &str = "收到啦我反馈";

/// Prints `----1----`, waits for a client, prints `----2----` and its address, reads once, answers, and closes both
/// sockets.
///
/// # Errors
/// What ended the connection.
pub(crate) async fn server(listener: TcpListener, mut print: impl FnMut(String)) -> io::Result<()> {
    print("----1----".into());
    let (mut stream, peer) = listener.accept().await?;
    print("----2----".into());
    print(peer.to_string());
    let mut buffer = [0; 1024];
    let n = stream.read(&mut buffer).await?;
    print(Charset::Gbk.decode(&buffer[..n]));
    let answer = Charset::Gbk.encode(ANSWER).map_err(io::Error::other)?;
    stream.write_all(&answer).await?;
    stream.shutdown().await
}
