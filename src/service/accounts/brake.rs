//! The brake on guessing passwords: it slows who failed, and locks nobody.
//!
//! In memory and of each replica alone, so that a guess costs nothing before it is weighed. Every address has some failures in
//! hand; each failure for an account, from wherever, takes one from what an address has in hand for that account, but never the
//! first. Beyond them the wait doubles with every failure of the address's own. An address that did not fail is never slowed, so
//! the right password from elsewhere always gets in.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::unsync::Cache;

use crate::domain::address::ClientAddress;
use crate::domain::fault::{Code, Fault};

/// Failures that an address has in hand: an office behind one address mistypes, too.
const IN_HAND: f64 = 20.0;
/// One failure is forgiven for so many seconds without another.
const FORGIVEN_S: f64 = 180.0;
/// The longest wait, in seconds.
const WAIT_MAX_S: f64 = 900.0;
/// Passwords of one address that are checked at once: nobody fills the line of all.
const AT_ONCE: u32 = 8;
/// How many addresses, and accounts, are remembered: some MB. The least used go first.
const REMEMBERED: usize = 50_000;

/// Who failed lately.
pub(super) struct Brake(Mutex<Failures>);

struct Failures {
    addresses: Cache<ClientAddress, Failed>,
    /// By name, whether there is such an account or not.
    accounts: Cache<String, Failed>,
}

#[derive(Clone, Copy)]
struct Failed {
    /// How many there were at the last one, less those forgiven by then.
    count: f64,
    last: Instant,
    /// Passwords that are being checked now.
    under_way: u32,
}

/// A password that is being checked: a failure unless it is forgiven.
pub(super) struct LogInAttempt<'b> {
    brake: &'b Brake,
    name: &'b str,
    address: ClientAddress,
    forgiven: bool,
}

impl Brake {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Failures { addresses: Cache::new(REMEMBERED), accounts: Cache::new(REMEMBERED) }))
    }

    /// Lets a password be checked, or says in how many seconds it may be.
    pub(super) fn admit<'b>(&'b self, name: &'b str, address: ClientAddress) -> Result<LogInAttempt<'b>, Fault> {
        let now = Instant::now();
        let mut failures = self.0.lock();
        let of_account = failures.accounts.get(name).map_or(0.0, |failed| failed.left(now));
        let mut own = failures.addresses.get(&address).copied().unwrap_or(Failed::none(now));
        if let Some(wait_s) = own.wait_s(of_account, now) {
            let detail = format!("{} log-ins from this address failed.", own.left(now));
            return Err(Fault::new(Code::TooManyLogins, detail).retry_after(wait_s));
        }
        if own.under_way >= AT_ONCE {
            let detail = format!("{AT_ONCE} passwords from this address are being checked.");
            return Err(Fault::new(Code::TooManyRequests, detail).retry_after(1));
        }
        own.under_way += 1;
        failures.addresses.insert(address, own);
        Ok(LogInAttempt { brake: self, name, address, forgiven: false })
    }
}

impl LogInAttempt<'_> {
    /// It was the right one, or could not be checked.
    pub(super) fn forgive(mut self) {
        self.forgiven = true;
    }
}

impl Drop for LogInAttempt<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut failures = self.brake.0.lock();
        let own = failures.addresses.get(&self.address).copied().unwrap_or(Failed::none(now));
        let own = Failed { under_way: own.under_way.saturating_sub(1), ..own };
        failures.addresses.insert(self.address, if self.forgiven { own } else { own.once_more(now) });
        if !self.forgiven {
            let of_account = failures.accounts.get(self.name).copied().unwrap_or(Failed::none(now));
            failures.accounts.insert(self.name.to_owned(), of_account.once_more(now));
        }
    }
}

impl Failed {
    const fn none(now: Instant) -> Self {
        Self { count: 0.0, last: now, under_way: 0 }
    }

    /// What is not forgiven yet.
    fn left(&self, now: Instant) -> f64 {
        (self.count - (now.duration_since(self.last).as_secs_f64() / FORGIVEN_S).floor()).max(0.0)
    }

    fn once_more(self, now: Instant) -> Self {
        Self { count: self.left(now) + 1.0, last: now, ..self }
    }

    /// In how many seconds this address may try an account that so many failed for; nothing if at once. One that has nothing in
    /// hand tries one by one.
    fn wait_s(&self, of_account: f64, now: Instant) -> Option<u32> {
        let beyond = self.left(now) - (IN_HAND - of_account).max(1.0);
        if beyond < 0.0 {
            return None;
        }
        let wait = Duration::from_secs_f64(beyond.exp2().min(WAIT_MAX_S));
        let left = wait.saturating_sub(now.duration_since(self.last)).as_secs_f64().ceil();
        if left > 0.0 { Some(left as u32) } else { (self.under_way > 0).then_some(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(count: f64, ago_s: u64) -> (Failed, Instant) {
        let last = Instant::now();
        (Failed { count, last, under_way: 0 }, last + Duration::from_secs(ago_s))
    }

    #[test]
    fn the_wait_grows_with_ones_own_failures_and_ends() {
        for (own, of_account, ago_s, wait_s) in [
            (0.0, 1e6, 0, None),
            (19.0, 1.0, 0, Some(1)),
            (9.0, 9.0, 0, None),
            (10.0, 10.0, 0, Some(1)),
            (10.0, 10.0, 1, None),
            (12.0, 12.0, 0, Some(16)),
            (1.0, 1000.0, 0, Some(1)),
            (3.0, 1000.0, 0, Some(4)),
            (1000.0, 0.0, 0, Some(900)),
            (1000.0, 1000.0, 900, None),
            (20.0, 0.0, 3600, None),
        ] {
            let (failed, now) = failed(own, ago_s);
            assert_eq!(failed.wait_s(of_account, now), wait_s, "{own} {of_account} {ago_s}");
        }
    }

    #[test]
    fn guesses_cannot_hide_behind_each_other() {
        let brake = Brake::new();
        let from = |text: &str| ClientAddress::from(text.parse::<std::net::IpAddr>().unwrap());
        let guesses: Vec<_> = (0..AT_ONCE).map(|_| brake.admit("root", from("10.0.0.1")).unwrap()).collect();
        assert_eq!(brake.admit("ines", from("10.0.0.1")).err().map(|fault| fault.code), Some(Code::TooManyRequests));
        drop(guesses);
        for _ in AT_ONCE..10 {
            drop(brake.admit("root", from("10.0.0.1")).unwrap());
        }
        assert_eq!(brake.admit("root", from("10.0.0.1")).err().and_then(|fault| fault.retry_after_s), Some(1));
        brake.admit("ines", from("10.0.0.1")).unwrap().forgive();
        for n in 0..100 {
            brake.admit("root", from(&format!("10.0.1.{n}"))).unwrap();
        }
        let slowed = brake.admit("root", from("10.0.1.7")).err();
        assert_eq!(slowed.and_then(|fault| fault.retry_after_s), Some(1), "a guessed account slows those who failed");
        brake.admit("root", from("10.9.9.9")).unwrap().forgive();
    }
}
