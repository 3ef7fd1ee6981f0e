//! The record: its form and its schema, what each sink writes, and what it costs to lose a line.

mod hostile;
mod kinds;
mod lines;
mod metrics;
mod ocsf;
mod trace;

use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::request::Parts;
use serde_json::Value;
use time::UtcDateTime;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Acr, Audience, AuditEvent, Denial, Grant, Guard, Require, Scope};

const LOGIN: &str = "https://login.example";
const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const PHR: Acr = Acr::from_static("phr");
/// The moment of every test.
const NOW: i64 = 1_800_000_000;

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn login() -> &'static TestIssuer {
    static LOGIN_ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    LOGIN_ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

fn token() -> TestToken {
    login().token(&ORDERS).subject("alice").issued_at(now())
}

fn guard() -> Guard {
    Guard::new(ORDERS, login().issuer()).clock(now)
}

/// A store that remembers since long ago.
fn store() -> MemoryReplayStore {
    MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH)
}

fn head(token: Option<&TestToken>) -> Parts {
    let mut request = http::Request::post("/orders/7?code=s3cr3t");
    if let Some(token) = token {
        request = request.header("authorization", token.bearer());
    }
    request.body(()).unwrap().into_parts().0
}

fn ask(guard: &Guard, token: &TestToken, requirement: impl Into<Require>) -> Result<Grant, Denial> {
    guard.authorize(&mut head(Some(token)), requirement).now().unwrap()
}

/// Keeps what `see` makes of each event.
fn kept<T: Send + 'static>(
    see: impl Fn(&AuditEvent<'_>) -> T + Send + Sync + 'static,
) -> (Arc<Mutex<Vec<T>>>, impl unconfused::Audit) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let record = all.clone();
    (all, move |event: &AuditEvent<'_>| record.lock().unwrap().push(see(event)))
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A writer whose bytes can be read.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
