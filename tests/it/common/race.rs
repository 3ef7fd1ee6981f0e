//! Many tasks at two guards, with one proof, or with one token that is spent once: one task passes.
#![allow(dead_code, reason = "each file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tokio::sync::Barrier;
use unconfused::proof::Dpop;
use unconfused::replay::ReplayStore;
use unconfused::testing::{TestIssuer, TestProofKey};
use unconfused::token::TokenLimits;
use unconfused::{Audience, Guard, Reason, Require, Scope};

pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
pub(crate) const READ: Scope = Scope::from_static("orders:read");
pub(crate) const URL: &str = "https://orders.example/orders";
pub(crate) const TASKS: usize = 64;
/// How many rounds share what is minted for them, so that nothing is ever too old.
const AT_ONCE: usize = 100;

pub(crate) fn login() -> TestIssuer {
    TestIssuer::new("https://login.example")
}

/// A guard over these stores, for one host: with one clock, it is certain what was issued after a store began.
pub(crate) fn guard<S: ReplayStore>(
    login: &TestIssuer,
    dpop: Dpop,
    store: impl Fn() -> S,
) -> Guard {
    let dpop = dpop.window(Duration::from_secs(60), Duration::ZERO);
    Guard::new(ORDERS, login.issuer())
        .limits(TokenLimits::default().leeway(Duration::ZERO))
        .dpop(dpop, store())
        .replay(store())
}

pub(crate) fn dpop() -> Dpop {
    Dpop::for_base_url("https://orders.example").unwrap()
}

/// A request as anyone who sees it on the wire can send it again.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    authorization: String,
    proof: Option<String>,
}

impl Recorded {
    pub(crate) fn head(&self) -> Parts {
        let mut request =
            http::Request::get("/orders").header("authorization", &self.authorization);
        if let Some(proof) = &self.proof {
            request = request.header("dpop", proof);
        }
        request.body(()).unwrap().into_parts().0
    }
}

/// A new token and a proof, with this nonce.
pub(crate) fn proven(login: &TestIssuer, key: &TestProofKey, nonce: Option<&str>) -> Recorded {
    let token = login.token(&ORDERS).scope("orders:read").bound_to(key).sign();
    let proof = key.proof("GET", URL).token(&token);
    let proof = match nonce {
        Some(nonce) => proof.nonce(nonce),
        None => proof,
    };
    Recorded { authorization: format!("DPoP {token}"), proof: Some(proof.sign()) }
}

/// A new token, to be spent.
pub(crate) fn spendable(login: &TestIssuer) -> Recorded {
    let authorization = login.token(&ORDERS).scope("orders:read").bearer();
    Recorded { authorization, proof: None }
}

pub(crate) fn once() -> Require {
    Require::scope(READ).single_use()
}

/// In each round all tasks, half of them at each guard, offer one proof, and then one token that is spent.
/// Returns how many requests each guard let pass, of those with proofs and of those with tokens.
pub(crate) async fn race(login: &TestIssuer, guards: [Guard; 2], rounds: usize) -> [[usize; 2]; 2] {
    let key = TestProofKey::new();
    let mut passed = [[0; 2]; 2];
    for begin in (0..rounds).step_by(AT_ONCE) {
        let length = AT_ONCE.min(rounds - begin);
        let offered: Arc<Vec<_>> =
            Arc::new((0..length).map(|_| [proven(login, &key, None), spendable(login)]).collect());
        let together = Arc::new(Barrier::new(TASKS));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (guard, offered) = (guards[task % 2].clone(), offered.clone());
                let together = together.clone();
                tokio::spawn(async move {
                    let mut won = Vec::new();
                    for [proof, token] in &*offered {
                        together.wait().await;
                        let first =
                            wins(&guard, proof, READ.into(), Reason::DpopProofReplayed).await;
                        together.wait().await;
                        won.push([first, wins(&guard, token, once(), Reason::TokenSpent).await]);
                    }
                    won
                })
            })
            .collect();
        let mut winners = vec![[0; 2]; length];
        for (task, running) in tasks.into_iter().enumerate() {
            for (round, won) in running.await.unwrap().into_iter().enumerate() {
                for kind in 0..2 {
                    winners[round][kind] += usize::from(won[kind]);
                    passed[task % 2][kind] += usize::from(won[kind]);
                }
            }
        }
        for (round, winners) in winners.into_iter().enumerate() {
            assert_eq!(winners, [1, 1], "round {}: proofs, tokens", begin + round);
        }
    }
    passed
}

/// Tells whether the request passed. If not, it must be refused for this reason.
async fn wins(guard: &Guard, offered: &Recorded, requirement: Require, again: Reason) -> bool {
    let mut head = offered.head();
    match guard.authorize(&mut head, requirement).await {
        Ok(_) => true,
        Err(denial) => {
            assert_eq!(denial.reason(), again, "{denial}");
            false
        }
    }
}
