//! `--net`: where the programs have their sockets.

use std::error::Error;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

#[cfg(target_os = "linux")]
use sockeye_net::device::{TunConfig, TunError};
use sockeye_net::{Host, Net, WeakHost};

use crate::console::note;
use crate::exit::{Code, Failure};
use crate::t;

/// How long closing handshakes may take at the end of a program, whose stack goes with it.
const FINISH: Duration = Duration::from_secs(5);

/// How long resets may take to leave when a program is aborted: on a device that works they take no time.
const ABORT: Duration = Duration::from_secs(1);

/// How long peers have to ask back. Nobody at a keyboard notices.
const CHALLENGES: Duration = Duration::from_millis(100);

/// The stack of this process, for who ends it.
static OPEN: Mutex<Option<WeakHost>> = Mutex::new(None);

/// What `--net` says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// The operating system's sockets.
    #[default]
    Os,
    /// A virtual network in this process, on which the program's counterpart runs as well.
    Lab,
    /// A Sockeye stack in this process, on a TUN device.
    #[cfg(target_os = "linux")]
    Tun(TunConfig),
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Place, String> {
        match text.split_once(':') {
            None if text == "os" => Ok(Place::Os),
            None if text == "lab" => Ok(Place::Lab),
            #[cfg(target_os = "linux")]
            Some(("tun", config)) => config
                .parse()
                .map(Place::Tun)
                .map_err(|error: TunError| error.to_string()),
            #[cfg(not(target_os = "linux"))]
            Some(("tun", _)) => Err(t!("place-linux-only")),
            #[cfg(target_os = "linux")]
            None if text == "tun" => Err(t!("place-needs-name")),
            _ => Err(t!("place-accepted")),
        }
    }
}

impl Place {
    /// Makes sockets available there.
    ///
    /// # Errors
    /// The device cannot be had: what is missing, and what to do.
    pub fn open(&self) -> Result<Net, Failure> {
        match self {
            Place::Os => Ok(Net::os()),
            // Only a program that brings its counterpart along can be there.
            Place::Lab => Err(Failure::new(Code::Usage, t!("lab-nobody-comes"))),
            #[cfg(target_os = "linux")]
            Place::Tun(config) => {
                let net = Net::tun(config).map_err(|error| {
                    let error = worded(&error);
                    Failure::new(
                        Code::Network,
                        t!("place-cannot", name = config.name, error = error),
                    )
                })?;
                *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = net.host().map(Host::downgrade);
                Ok(net)
            }
        }
    }
}

/// Waits, at the end of a program, until what its closed connections still owe has been sent and acknowledged. The
/// operating system does that behind a program's back; a stack in the process has to do it before.
pub fn finish(net: &Net) {
    #[cfg(target_os = "linux")]
    if !net.finish_within(FINISH) {
        note(&t!("place-unacknowledged"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = net;
}

/// Aborts the connections of the stack in this process, if it has one, and sees to it that their resets leave: for those who
/// end the process, with which the stack goes.
pub fn abandon() {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(host) = open.and_then(|host| host.upgrade()) {
        let net = host.net();
        if net.abort_all() > 0 {
            #[cfg(target_os = "linux")]
            net.left_within(ABORT);
            // One who has not got all that was sent asks back whether the reset is meant (RFC 5961 section 3.2), and the
            // stack has to be there to say so.
            thread::sleep(CHALLENGES);
        }
    }
}

/// What is wrong with a device, and why.
#[cfg(target_os = "linux")]
fn worded(error: &TunError) -> String {
    match error {
        TunError::NoTun(_) => t!("place-no-tun"),
        TunError::NotPermitted(_) => t!("place-not-permitted"),
        TunError::NameTaken(name) => t!("place-name-taken", name = name),
        // What the kernel says of addresses and devices is rare, and in English.
        error => chain(error),
    }
}

/// An error with its causes.
#[cfg(target_os = "linux")]
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!("os".parse(), Ok(Place::Os));
        assert_eq!("lab".parse(), Ok(Place::Lab));
        for wrong in ["", "OS", "kernel", "tap:x", "os:"] {
            assert_eq!(wrong.parse::<Place>(), Err(t!("place-accepted")), "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_tun_device_has_a_name_and_an_address() {
        let place = "tun:sock0,addr=10.77.0.2/24".parse();
        assert!(matches!(place, Ok(Place::Tun(config)) if config.name == "sock0"));
        for wrong in [
            "tun",
            "tun:",
            "tun:sock0",
            "tun:sock0,addr=10.77.0.2",
            "tun:a,b=c",
        ] {
            let told = wrong.parse::<Place>().unwrap_err();
            assert!(told.contains("NAME,addr="), "{wrong}: {told}");
        }
    }
}
