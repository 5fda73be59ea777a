//! The nets that programs run on.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_apps::line::{Stop, Stopper};
use sockeye_apps::words::{self, Language, Words};
use sockeye_lab::{Lab, World, mbit, ms};
use sockeye_net::Net;
use sockeye_testing::namespace::in_namespace;

/// Seeds of the lossy lab: so many networks, each losing other frames.
pub(crate) const SEEDS: u64 = 50;

/// Where the two sides of a program live.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) server: Net,
    pub(crate) client: Net,
    /// The server's address, as the client knows it.
    pub(crate) host: IpAddr,
    /// Another address of the server's machine, if it has one.
    pub(crate) other: Option<IpAddr>,
    /// Whether servers get the ports of their rows. On the operating system others might have them.
    own_ports: bool,
    /// The lab, if it is there.
    pub(crate) lab: Option<Lab>,
    pub(crate) lossy: bool,
}

impl Place {
    /// Where a server of this row's port binds, at its own address.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.host, self.port(port)).into()
    }
    /// The same, at all addresses.
    pub(crate) fn anywhere(&self, port: u16) -> SocketAddr {
        ([0, 0, 0, 0], self.port(port)).into()
    }
    pub(crate) fn port(&self, port: u16) -> u16 {
        if self.own_ports { port } else { 0 }
    }
    /// Where a client finds a server that is bound here.
    pub(crate) fn to(&self, bound: SocketAddr) -> SocketAddr {
        (self.host, bound.port()).into()
    }
}

/// What the programs say: Chinese, worded as in the tutorials.
pub(crate) fn chinese() -> &'static Words {
    words::of(Language::Chinese)
}

/// What a program printed, line by line.
#[derive(Clone, Default, Debug)]
pub(crate) struct Printed(Arc<Mutex<Vec<String>>>);

impl Printed {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|printed| *printed == line).count()
    }
    /// Waits until a line is there that begins like this; the line.
    pub(crate) async fn starting(&self, beginning: &str) -> String {
        loop {
            let found = self.lines().into_iter().find(|line| line.starts_with(beginning));
            if let Some(line) = found {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A task that is stopped in good order.
pub(crate) struct Running<T> {
    pub(crate) printed: Printed,
    pub(crate) at: SocketAddr,
    stopper: Stopper,
    task: tokio::task::JoinHandle<T>,
}

impl<T: Send + 'static> Running<T> {
    pub(crate) fn new<F>(at: SocketAddr, program: impl FnOnce(Printed, Stop) -> F) -> Running<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let printed = Printed::default();
        let (stopper, stop) = Stopper::new();
        let task = tokio::spawn(program(printed.clone(), stop));
        Running {
            printed,
            at,
            stopper,
            task,
        }
    }
    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
    pub(crate) async fn stop(self) -> T {
        self.stopper.stop();
        self.task.await.unwrap()
    }
}

fn in_real_time<F: Future<Output = ()>>(program: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let limit = Duration::from_secs(120);
        let ended = tokio::time::timeout(limit, program()).await;
        assert!(ended.is_ok(), "it does not end");
    });
}

/// On the operating system, over loopback.
pub(crate) fn os<F: Future<Output = ()>>(program: impl Fn(Place) -> F) {
    let place = Place {
        server: Net::os(),
        client: Net::os(),
        host: [127, 0, 0, 1].into(),
        other: Some([127, 0, 0, 2].into()),
        own_ports: false,
        lab: None,
        lossy: false,
    };
    in_real_time(|| program(place));
}

/// In the lab: 10 ms each way, 10 Mbit/s.
pub(crate) fn lab<F>(loss: f64, seed: u64, program: impl Fn(Place) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut world = World::new(seed);
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world.host("server").ip("10.0.0.2/24").ip("10.0.0.3/24").id();
    world.link(client, server).delay(ms(10)).rate(mbit(10)).loss(loss);
    sockeye_lab::run(world, move |lab| {
        program(Place {
            server: lab.net("server"),
            client: lab.net("client"),
            host: [10, 0, 0, 2].into(),
            other: Some([10, 0, 0, 3].into()),
            own_ports: true,
            lab: Some(lab),
            lossy: loss > 0.0,
        })
    });
}

/// Over TUN, in a network namespace of its own: first the server on a stack and the client in the kernel, then the other
/// way round. The test runs itself again in the namespace; where that cannot be it is skipped, saying so.
pub(crate) fn tun<F: Future<Output = ()>>(test: &str, program: impl Fn(Place) -> F) {
    if !in_namespace(test) {
        return;
    }
    let kernel = |host: [u8; 4]| Place {
        server: Net::os(),
        client: Net::os(),
        host: host.into(),
        other: None,
        own_ports: true,
        lab: None,
        lossy: false,
    };
    in_real_time(|| async {
        let net = Net::tun(&"sock0,addr=10.77.0.2/24".parse().unwrap()).unwrap();
        program(Place {
            server: net,
            ..kernel([10, 77, 0, 2])
        })
        .await;
    });
    in_real_time(|| async {
        let net = Net::tun(&"sock1,addr=10.78.0.2/24".parse().unwrap()).unwrap();
        program(Place {
            client: net,
            ..kernel([10, 78, 0, 1])
        })
        .await;
    });
}
