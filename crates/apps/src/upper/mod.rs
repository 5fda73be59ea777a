//! Upper-casing: text goes to the server and comes back in capitals.
//!
//! TCP carries octets without boundaries, so two things are agreed on. Text is UTF-8, and a character that
//! comes in two reads is kept whole. A line ends with a newline; the server need not know, since capitals
//! neither make nor lose one, and the client knows by it that its answer is complete.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use sockeye_apps::upper::{Client, Server, Settings};
//! use sockeye_net::Net;
//!
//! let net = Net::os();
//! let server = Server::bind(&net, "127.0.0.1:8000", Settings::default()).await?;
//! let address = server.local_addr()?;
//! tokio::spawn(server.run(|event| println!("{event}")));
//! let mut client = Client::connect(&net, address).await?;
//! assert_eq!(client.ask("python").await?, "PYTHON");
//! client.close().await?;
//! # Ok(()) }
//! ```

mod client;
mod server;
mod talk;
mod text;

pub use client::Client;
pub use server::{Event, Server, Settings};
pub use talk::{Ending, Told, converse, is_quit, talk};
pub use text::Uppercase;
