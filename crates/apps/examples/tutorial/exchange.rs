//! A single exchange: the client says something, the server greets, both close.

use std::io;
use std::net::SocketAddr;

use sockeye_net::{Net, TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the server answers, in UTF-8.
pub(crate) const GREETING: &str = "你好，欢迎来到服务端";

/// Takes one client: prints who it is and what it says, greets it and closes both sockets.
///
/// # Errors
/// What ended the connection.
pub(crate) async fn server(listener: TcpListener, mut print: impl FnMut(String)) -> io::Result<()> {
    let (mut stream, peer) = listener.accept().await?;
    print(format!("{} {peer}", stream.local_addr()?));
    let mut buffer = [0; 1024];
    let n = stream.read(&mut buffer).await?;
    print(String::from_utf8_lossy(&buffer[..n]).into_owned());
    stream.write_all(GREETING.as_bytes()).await?;
    stream.shutdown().await
}

/// Says hello, prints the answer, closes.
///
/// # Errors
/// What ended the connection.
pub(crate) async fn client(net: &Net, server: SocketAddr, mut print: impl FnMut(String)) -> io::Result<()> {
    let mut stream = TcpStream::connect(net, server).await?;
    stream.write_all("你好，服务端".as_bytes()).await?;
    // TCP has no messages: the greeting is over when the server closes.
    let mut greeting = Vec::new();
    stream.read_to_end(&mut greeting).await?;
    print(String::from_utf8_lossy(&greeting).into_owned());
    Ok(())
}
