//! A server that can be started again at once. It says "hi", and closes first: TIME-WAIT is on its side.

use std::io;

use sockeye_net::TcpListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Takes one client, prints what it says, answers `hi` and closes. The listener is to be made with SO_REUSEADDR.
///
/// # Errors
/// What ended the connection.
pub(crate) async fn server(listener: TcpListener, mut print: impl FnMut(String)) -> io::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut buffer = [0; 1024];
    let n = stream.read(&mut buffer).await?;
    print(String::from_utf8_lossy(&buffer[..n]).into_owned());
    stream.write_all(b"hi").await?;
    stream.shutdown().await
}
