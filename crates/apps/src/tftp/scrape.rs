//! Metrics for Prometheus over HTTP: as much of it as a scraper needs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sockeye_net::{Net, TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::metrics::Metrics;

/// How long a scraper may take, and how long its request may be.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST: usize = 8192;

/// Answers `GET /metrics` on `address`, one scraper at a time, until it is dropped.
///
/// # Errors
/// The address cannot be had, or the network is down.
pub async fn serve(net: &Net, address: &str, metrics: Arc<Metrics>) -> io::Result<()> {
    let listener = TcpListener::bind(net, address).await?;
    loop {
        match listener.accept().await {
            // A scraper that went away is no concern of ours.
            Ok((stream, _)) => drop(timeout(PATIENCE, answer(stream, &metrics)).await),
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return Err(error),
            Err(_) => {}
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|w| w == b"\r\n\r\n") && request.len() < LONGEST {
        match stream.read(&mut part).await? {
            0 => break,
            n => request.extend_from_slice(&part[..n]),
        }
    }
    let (status, body) = match request.starts_with(b"GET /metrics ") {
        true => ("200 OK", metrics.render()),
        false => ("404 Not Found", String::from("GET /metrics\n")),
    };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scraper_gets_the_text() {
        let net = Net::os();
        let probe = TcpListener::bind(&net, "127.0.0.1:0").await.unwrap();
        let listen = |request: &'static str| {
            let net = net.clone();
            async move {
                let listener = TcpListener::bind(&net, "127.0.0.1:0").await.unwrap();
                let at = listener.local_addr().unwrap();
                let server = tokio::spawn(async move {
                    let (stream, _) = listener.accept().await.unwrap();
                    answer(stream, &Metrics::default()).await
                });
                let mut client = TcpStream::connect(&net, at).await.unwrap();
                client.write_all(request.as_bytes()).await.unwrap();
                let mut text = String::new();
                client.read_to_string(&mut text).await.unwrap();
                server.await.unwrap().unwrap();
                text
            }
        };
        let text = listen("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.contains("sockeye_tftp_active_transfers 0"));
        let text = listen("GET / HTTP/1.1\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.0 404"));
        let taken = serve(&net, &probe.local_addr().unwrap().to_string(), Arc::default()).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
