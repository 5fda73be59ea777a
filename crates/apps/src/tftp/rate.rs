//! Limits on octets per second: token buckets, one for all clients and one for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sockeye_stack::time::{Duration, Instant};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is a number of octets: any value will do.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fills with `rate` octets a second up to a tenth of a second's worth. It may go below zero by what was sent at once.
#[derive(Debug)]
struct Bucket {
    rate: u64,
    level: i64,
    at: Instant,
}
impl Bucket {
    fn new(rate: u64, now: Instant) -> Bucket {
        Bucket {
            rate: rate.max(1),
            level: 0,
            at: now,
        }
    }
    fn fill(&mut self, now: Instant) {
        let elapsed = now.since(self.at).as_nanos().min(10_000_000_000);
        let octets = u128::from(elapsed) * u128::from(self.rate) / 1_000_000_000;
        if octets > 0 {
            let most = (self.rate / 10).clamp(1, i64::MAX as u64) as i64;
            self.level = self.level.saturating_add(octets as i64).min(most);
            self.at = now;
        }
    }
    /// How many octets may go now, or how long to wait until some may.
    fn allowance(&mut self, now: Instant) -> Result<u64, Duration> {
        self.fill(now);
        match u64::try_from(self.level) {
            Ok(level) if level > 0 => Ok(level),
            _ => {
                let missing = self.level.unsigned_abs() + 1;
                let nanos = u128::from(missing) * 1_000_000_000 / u128::from(self.rate);
                // A runtime's timer has milliseconds; less would only wake it in vain.
                Err(Duration::from_nanos(nanos as u64).max(Duration::from_millis(1)))
            }
        }
    }
}

/// The limits of a server.
#[derive(Debug)]
pub(super) struct Limiter {
    total: Option<Arc<Mutex<Bucket>>>,
    per_client: Option<u64>,
    /// Only looked up; entries of addresses without a transfer are dropped with the next newcomer.
    clients: Mutex<HashMap<IpAddr, Weak<Mutex<Bucket>>>>,
}
impl Limiter {
    pub(super) fn new(total: Option<u64>, per_client: Option<u64>) -> Limiter {
        Limiter {
            total: total.map(|rate| Arc::new(Mutex::new(Bucket::new(rate, Instant::ZERO)))),
            per_client,
            clients: Mutex::default(),
        }
    }
    /// What holds for one more transfer of a client.
    pub(super) fn join(&self, client: IpAddr, now: Instant) -> Allowance {
        let mine = self.per_client.map(|rate| {
            let mut clients = lock(&self.clients);
            if let Some(bucket) = clients.get(&client).and_then(Weak::upgrade) {
                return bucket;
            }
            clients.retain(|_, bucket| bucket.strong_count() > 0);
            let bucket = Arc::new(Mutex::new(Bucket::new(rate, now)));
            clients.insert(client, Arc::downgrade(&bucket));
            bucket
        });
        Allowance([self.total.clone(), mine])
    }
}

/// What one transfer may send.
#[derive(Debug)]
pub(super) struct Allowance([Option<Arc<Mutex<Bucket>>>; 2]);
impl Allowance {
    /// Whether there is a limit at all.
    pub(super) fn is_limited(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }
    /// How many octets may go now, or how long to wait.
    pub(super) fn now(&self, now: Instant) -> Result<u64, Duration> {
        let mut least = Ok(u64::MAX);
        for bucket in self.0.iter().flatten() {
            least = match (least, lock(bucket).allowance(now)) {
                (Ok(a), Ok(b)) => Ok(a.min(b)),
                (Err(a), Err(b)) => Err(a.max(b)),
                (Err(wait), _) | (_, Err(wait)) => Err(wait),
            };
        }
        least
    }
    /// So many octets went, or came.
    pub(super) fn spend(&self, octets: u64) {
        for bucket in self.0.iter().flatten() {
            let mut bucket = lock(bucket);
            bucket.level = bucket.level.saturating_sub_unsigned(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Spends as fast as it may; how much goes in ten seconds.
    fn rate(allowance: &Allowance) -> u64 {
        let (mut now, mut sent) = (Instant::ZERO, 0);
        while now < Instant::from_secs(10) {
            match allowance.now(now) {
                Ok(octets) => {
                    let burst = octets.clamp(512, 65_000);
                    allowance.spend(burst);
                    sent += burst;
                }
                Err(wait) => now += wait,
            }
        }
        sent / 10
    }

    #[test]
    fn rates_hold() {
        let limiter = Limiter::new(None, None);
        assert_eq!(limiter.join(IP, Instant::ZERO).now(Instant::ZERO), Ok(u64::MAX));
        for (total, mine, expected) in [
            (Some(1_000_000), None, 1_000_000),
            (None, Some(50_000), 50_000),
            (Some(1_000_000), Some(50_000), 50_000),
        ] {
            let limiter = Limiter::new(total, mine);
            let got = rate(&limiter.join(IP, Instant::ZERO));
            assert!(got.abs_diff(expected) < expected / 20, "{got} of {expected}");
        }
    }

    #[test]
    fn transfers_of_a_client_share() {
        let limiter = Limiter::new(None, Some(1000));
        let (a, b) = (limiter.join(IP, Instant::ZERO), limiter.join(IP, Instant::ZERO));
        a.spend(500);
        assert!(b.now(Instant::ZERO).is_err());
        let other = limiter.join([10, 0, 0, 1].into(), Instant::ZERO);
        assert!(other.now(Instant::from_secs(1)).is_ok());
    }
}
