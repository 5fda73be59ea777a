//! A client that sends and never reads. When the server has closed, the next line still goes out and is answered by a
//! reset; only the one after it fails. The client of the tutorial dies of that; this one says it, and ends.

use std::io;
use std::net::IpAddr;

use sockeye_apps::line::Charset;
use sockeye_net::{Net, TcpStream};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// There were no more lines.
    EndOfInput,
    /// The server had closed; with this error a line could not be sent.
    ServerClosed(io::ErrorKind),
}

/// Asks for the server's address and port, then for lines, which it sends in GBK.
///
/// # Errors
/// What was typed is no address or no port; connecting failed; a line has a character that GBK lacks.
pub(crate) async fn client(
    net: &Net,
    lines: &mut mpsc::Receiver<String>,
    mut ask: impl FnMut(&str),
    mut print: impl FnMut(String),
) -> io::Result<Ending> {
    let invalid = |what: &'static str| move || io::Error::new(io::ErrorKind::InvalidInput, what);
    ask("请输入服务器的ip:");
    let ip = lines
        .recv()
        .await
        .and_then(|line| line.trim().parse::<IpAddr>().ok());
    let ip = ip.ok_or_else(invalid("this is no IP address"))?;
    ask("请输入服务器的port:");
    let port = lines
        .recv()
        .await
        .and_then(|line| line.trim().parse::<u16>().ok());
    let port = port.ok_or_else(invalid("this is no port: ports go from 0 to 65535"))?;
    let mut stream = TcpStream::connect(net, (ip, port)).await?;
    loop {
        ask("请输入要发送的数据:");
        let Some(line) = lines.recv().await else {
            return Ok(Ending::EndOfInput);
        };
        let octets = Charset::Gbk.encode(&line).map_err(io::Error::other)?;
        match stream.write_all(&octets).await {
            Ok(()) => {}
            Err(error) if is_closed(&error) => {
                print("服务端已经关闭连接".into());
                return Ok(Ending::ServerClosed(error.kind()));
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted
    )
}
