//! The policy that asks an AuthZEN decision point, and Cerbos as that decision point. `tests/authzen/run` runs it.

#[path = "../common.rs"]
mod common;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use unconfused::policy::Ask;
use unconfused::testing::TestIssuer;
use unconfused::{Issuer, Reason};

use common::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/authzen/cerbos");
const BINARY: &str = "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64";

/// A running Cerbos. It ends with this.
struct Cerbos {
    process: Child,
    port: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cerbos {
    fn start() -> Self {
        Cerbos::start_on(free_port())
    }

    fn start_on(port: u16) -> Self {
        let set = |name: &str, port: u16| format!("--set=server.{name}=127.0.0.1:{port}");
        let process = Command::new(Path::new(FOLDER).join(BINARY))
            .current_dir(FOLDER)
            .args(["server", "--config=cerbos.yaml", "--log-level=error", "--debug-listen-addr="])
            .args([set("httpListenAddr", port), set("grpcListenAddr", free_port())])
            .stdin(Stdio::null())
            .spawn()
            .expect("Cerbos starts: tests/authzen/run installs it");
        let cerbos = Cerbos { process, port };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return cerbos;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("Cerbos does not listen");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A guard that asks it, where its metadata says.
    fn guard(&self) -> Guard {
        let policy = AuthZenPolicy::discover_without_tls_on_loopback(&self.url(), http()).unwrap();
        guard().policy(policy)
    }
}

impl Drop for Cerbos {
    fn drop(&mut self) {
        // If it has ended already, there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn refund(cents: u64) -> Ask {
    Ask::operation("orders.refund").resource("order", 7).attribute("cents", cents)
}

#[tokio::test]
async fn what_an_agent_may_is_what_both_may() {
    let cerbos = Cerbos::start();
    let guard = cerbos.guard();
    let no = Some(Reason::PolicyDenied);
    for (token, cents, expected) in [
        (token(), 5_000, None),
        (token(), 50_000, None),
        (token(), 500_000, no),
        (token().actor("agent-7"), 5_000, None),
        // The user may, and the agent not.
        (token().actor("agent-7"), 50_000, no),
        (token().actor("agent-13"), 5_000, no),
        // The agent may, and the user not.
        (token().subject("mallory").actor("agent-7"), 5_000, no),
    ] {
        let grant = ask(&guard_without_policy(), &token).await.unwrap();
        let answer = guard.narrow(&grant, refund(cents)).await;
        assert_eq!(reason(&answer), expected, "{cents} by {:?}: {}", grant.actor(), told(&answer));
    }
}

fn guard_without_policy() -> Guard {
    guard()
}

#[tokio::test]
async fn a_layer_asks_about_the_path_and_a_policy_sees_the_evidence() {
    let cerbos = Cerbos::start();
    let guard = cerbos.guard();
    let strong = token().scope("orders:read orders:close").acr("phr").authenticated(secs(10));
    let grant = ask(&guard, &strong).await.unwrap();
    let close = || Ask::operation("orders.close").resource("order", 7);
    assert_eq!(reason(&guard.narrow(&grant, close()).await), None);
    for weaker in [
        token().scope("orders:read orders:close").acr("pwd").authenticated(secs(10)),
        token().scope("orders:read").acr("phr").authenticated(secs(10)),
        token().scope("orders:read orders:close").acr("phr"),
    ] {
        let grant = ask(&guard, &weaker).await.unwrap();
        let denied = guard.narrow(&grant, close()).await;
        assert_eq!(reason(&denied), Some(Reason::PolicyDenied));
    }
    // No rule is about it.
    let denied = guard.narrow(&grant, Ask::operation("orders.burn").resource("order", 7)).await;
    assert_eq!(reason(&denied), Some(Reason::PolicyDenied));
}

#[tokio::test]
async fn a_name_of_another_issuer_is_not_the_same_name() {
    let cerbos = Cerbos::start();
    let partner = TestIssuer::new("https://partner.example");
    let trust = |guard: Guard, issuer: Issuer| guard.trust(issuer);
    let guard = trust(cerbos.guard(), partner.issuer());
    let base = trust(guard_without_policy(), partner.issuer());
    let token = partner.token(&ORDERS).issued_at(now()).subject("alice").scope("orders:read");
    let grant = ask(&base, &token).await.unwrap();
    let denied = guard.narrow(&grant, refund(5_000)).await;
    assert_eq!(reason(&denied), Some(Reason::PolicyDenied));
}

#[tokio::test]
async fn a_killed_cerbos_is_503_and_passes_again_once_it_is_back() {
    let cerbos = Cerbos::start();
    let (guard, port) = (cerbos.guard(), cerbos.port);
    assert_eq!(reason(&ask(&guard, &token()).await), None);
    drop(cerbos);
    assert_eq!(reason(&ask(&guard, &token()).await), Some(Reason::PolicyUnavailable));
    let _cerbos = Cerbos::start_on(port);
    assert_eq!(reason(&ask(&guard, &token()).await), None);
}

#[tokio::test]
async fn a_question_that_cerbos_does_not_understand_is_503() {
    let cerbos = Cerbos::start();
    // An endpoint that answers, and not with a decision.
    for path in ["/access/v1/evaluations", "/.well-known/authzen-configuration", "/"] {
        let url = format!("{}{path}", cerbos.url());
        let guard = guard().policy(AuthZenPolicy::at_without_tls(&url, http()).unwrap());
        let denied = ask(&guard, &token()).await;
        assert_eq!(reason(&denied), Some(Reason::PolicyUnavailable), "{path}: {}", told(&denied));
    }
}
