//! Tokens that are bound to a key: the same token, and another proof for each request.

use std::collections::HashSet;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use dpop_verifier::{DpopError, DpopVerifier, ReplayContext};
use http::{HeaderName, Method};
use huskarl_resource_server::core::Error as HuskarlError;
use huskarl_resource_server::core::jwt::JtiUniquenessChecker;
use huskarl_resource_server::core::platform::MaybeSendBoxFuture;
use serde_json::Value;
use time::UtcDateTime;
use tokio::runtime::Runtime;
use tower::Service;
use unconfused::Guard;
use unconfused::keys::{Algorithm, Backend};
use unconfused::proof::{Dpop, Possession};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestProof, TestProofKey};

use crate::lab::{self, AUDIENCE, BASE, BROKEN, Fallible, Lab, PATH, Wire, asking, bare, broken};
use crate::measure::Contender;
use crate::ours::{BARE, ORDERS, behind, cold, issuer};
use crate::{peers, raw};

/// Each contender goes through all of them once.
const PROOFS: usize = 20_000;
/// In one slice. Five rounds and the warm-up of a contender need fewer than all.
const MOST: u64 = 3_500;
/// A run is longer than the minute for which a proof is accepted by default.
const MAX_AGE: Duration = Duration::from_secs(3600);

pub const KNOWN: [&str; 2] = ["unconfused, OpenSSL, known key", "unconfused, AWS-LC, known key"];
pub const UNKNOWN: [&str; 2] =
    ["unconfused, OpenSSL, unknown key", "unconfused, AWS-LC, unknown key"];
pub const NEW_TOKEN: [&str; 2] =
    ["unconfused, OpenSSL, new token", "unconfused, AWS-LC, new token"];

/// A token, and proofs for it. Signing a proof costs as much as checking it, so they are signed before.
pub struct Proofs {
    lab: Lab,
    key: TestProofKey,
    token: String,
    proof: TestProof,
    /// The JWK of the proofs.
    jwk: Value,
    pile: Rc<[Bytes]>,
}

impl Proofs {
    pub fn new(background: &Arc<Runtime>, foreground: &Rc<Runtime>) -> Fallible<Self> {
        let lab = Lab::new(("ES256", Algorithm::Es256), background, foreground)?;
        let key = TestProofKey::new();
        let token = lab::unsigned(&lab.issuer, AUDIENCE).bound_to(&key).sign();
        let proof = key.proof("POST", &url()).token(&token);
        let jwk = header(&proof.sign())?["jwk"].clone();
        let numbered = |n: usize| proof.clone().claim("jti", format!("proof-of-the-pile-{n:08}"));
        let pile = (0..PROOFS).map(|n| numbered(n).sign().into()).collect();
        Ok(Proofs { lab, key, token, proof, jwk, pile })
    }

    fn proof(&self) -> TestProof {
        self.key.proof("POST", &url()).token(&self.token)
    }

    /// One that each has to accept, and others that none should.
    pub fn good_and_wrong(&self) -> (String, Vec<(&'static str, String)>) {
        let good = self.proof().sign();
        let stranger = TestProofKey::new();
        let with_private_key = {
            let mut jwk = self.jwk.clone();
            jwk["d"] = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE".into();
            self.proof().header("jwk", jwk)
        };
        let long_ago = UtcDateTime::now() - 2 * MAX_AGE;
        let wrong = vec![
            ("a proof that was used", good.clone()),
            (BROKEN, broken(&self.proof().sign())),
            ("a proof of another key", stranger.proof("POST", &url()).token(&self.token).sign()),
            ("a proof signed by another key", self.proof().forged_by(&stranger).sign()),
            ("a proof for another method", self.key.proof("GET", &url()).token(&self.token).sign()),
            ("a proof for another path", self.key.proof("POST", BASE).token(&self.token).sign()),
            ("a proof for another token", self.proof().token("another").sign()),
            ("a proof for no token", self.proof().without_claim("ath").sign()),
            ("a proof of two hours ago", self.proof().issued_at(long_ago).sign()),
            ("a proof without jti", self.proof().without_claim("jti").sign()),
            ("a proof with typ JWT", self.proof().header("typ", "JWT").sign()),
            ("a proof with a private key", with_private_key.sign()),
            ("a proof with an unknown crit", self.proof().header("crit", ["b65"]).sign()),
        ];
        (good, wrong)
    }

    fn wire(&self, proof: Bytes) -> Wire {
        let dpop = HeaderName::from_static("dpop");
        Wire::with_credentials("DPoP", &self.token).with_field(dpop, proof)
    }

    /// The next proof of the pile with each request.
    fn calling(&self, mut router: Router) -> impl FnMut(u64) + 'static {
        let (mut wire, pile) = (self.wire(Bytes::new()), self.pile.clone());
        let (runtime, mut next) = (self.lab.foreground.clone(), 0);
        move |requests| {
            runtime.block_on(async {
                for _ in 0..requests {
                    wire.set_last(pile.get(next).expect("enough proofs").clone());
                    next += 1;
                    let response = router.call(wire.request::<Body>()).await;
                    assert!(black_box(response).is_ok_and(|answer| answer.status().is_success()));
                }
            });
        }
    }

    fn layered(&self, name: &'static str, backend: &'static str, router: Router) -> Contender {
        let run = self.calling(router.clone());
        let (mut asked, wire) =
            (asking::<Body, _, _>(name, router, &self.lab.foreground), self.wire(Bytes::new()));
        let accepts = move |proof: &str| {
            let mut wire = wire.clone();
            wire.set_last(Bytes::copy_from_slice(proof.as_bytes()));
            asked(&wire)
        };
        Contender::layer(name, BARE, backend, run).accepting(accepts).at_most(MOST)
    }

    fn guard(&self, backend: Backend) -> Fallible<Guard> {
        // It refuses what was made in the second of its own start.
        let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH).max_share_percent(100);
        Ok(Guard::new(ORDERS, issuer(&self.lab).backend(backend)).dpop(dpop(backend)?, store))
    }

    /// A guard keeps the first spelling of a JWK that it sees with a token, in each place where it caches the token.
    /// That of the pile is another one, so its key is prepared for each request, as the first one of a token.
    fn behind_unknown(&self, guard: &Guard) -> Router {
        let mut jwk = self.jwk.clone();
        jwk["use"] = "sig".into();
        let router = behind(guard);
        let mut asked = asking::<Body, _, _>("a proof", router.clone(), &self.lab.foreground);
        let mut allocations = |proof: TestProof| {
            let wire = self.wire(proof.sign().into());
            allocation_counter::measure(|| assert!(asked(&wire))).count_total
        };
        let known = (0..4).map(|_| allocations(self.proof().header("jwk", jwk.clone()))).last();
        let unknown = (0..4).map(|_| allocations(self.proof())).last();
        assert!(unknown > known, "the key is not prepared anew");
        router
    }
}

pub fn contenders(proofs: &Proofs) -> Fallible<(Vec<Contender>, Vec<(&'static str, String)>)> {
    let bare = Contender::bare(BARE, proofs.calling(bare())).at_most(MOST);
    let (mut all, mut not_run) = (vec![bare], Vec::new());
    let backends = [("OpenSSL", Backend::OpenSsl), ("AWS-LC", Backend::AwsLc)];
    for (n, (name, backend)) in backends.into_iter().enumerate() {
        let guard = || proofs.guard(backend);
        all.push(proofs.layered(KNOWN[n], name, behind(&guard()?)));
        all.push(proofs.layered(UNKNOWN[n], name, proofs.behind_unknown(&guard()?)));
        all.push(proofs.layered(NEW_TOKEN[n], name, behind(&cold(guard()?))));
    }
    match peers::huskarl_router(&proofs.lab, Some((MAX_AGE, Seen::default()))) {
        Ok(router) => all.push(proofs.layered("huskarl-resource-server", "RustCrypto", router)),
        Err(why) => not_run.push(("huskarl-resource-server", why.to_string())),
    }
    all.push(check(proofs, "unconfused, OpenSSL: check", "OpenSSL", Backend::OpenSsl)?);
    all.push(check(proofs, "unconfused, AWS-LC: check", "AWS-LC", Backend::AwsLc)?);
    all.push(verifier(proofs));
    let pile = proofs.pile.iter().filter_map(|proof| std::str::from_utf8(proof).ok());
    all.extend(raw::verifying("ES256", &proofs.jwk, pile)?);
    Ok((all, not_run))
}

/// The plain function, which knows no key, and no store.
fn check(
    proofs: &Proofs,
    name: &'static str,
    backend: &'static str,
    by: Backend,
) -> Fallible<Contender> {
    let (rules, token, jkt) = (dpop(by)?, proofs.token.clone(), proofs.key.thumbprint());
    let check = move |proof: &str| {
        let shown = Possession::dpop(proof, &Method::POST, PATH);
        rules.check(&shown, &token, &jkt, UtcDateTime::now()).is_ok()
    };
    Ok(function(proofs, name, backend, check))
}

/// It has no layer, and checks no token: what it is compared with is our function, not our layer. It does not compare
/// the key of the proof with that of the token either, so that is done here.
fn verifier(proofs: &Proofs) -> Contender {
    let verifier = DpopVerifier::new().with_max_age_seconds(MAX_AGE.as_secs() as i64);
    let (mut seen, url, token) = (Hashes::default(), url(), proofs.token.clone());
    let (jkt, runtime) = (proofs.key.thumbprint(), proofs.lab.foreground.clone());
    let check = move |proof: &str| {
        let verified = verifier.verify(&mut seen, proof, &url, "POST", Some(&token));
        runtime.block_on(verified).is_ok_and(|verified| verified.jkt == jkt)
    };
    function(proofs, "dpop-verifier: verify", "RustCrypto", check)
}

fn function(
    proofs: &Proofs,
    name: &'static str,
    backend: &'static str,
    check: impl FnMut(&str) -> bool + 'static,
) -> Contender {
    let check = Rc::new(std::cell::RefCell::new(check));
    let (asked, pile, mut next) = (check.clone(), proofs.pile.clone(), 0);
    let run = move |times| {
        let mut check = check.borrow_mut();
        for _ in 0..times {
            let proof = pile.get(next).and_then(|proof| std::str::from_utf8(proof).ok());
            next += 1;
            assert!(black_box((*check)(black_box(proof.expect("enough proofs")))));
        }
    };
    let accepts = move |proof: &str| (*asked.borrow_mut())(proof);
    Contender::plain(name, backend, run).accepting(accepts).at_most(MOST)
}

fn dpop(backend: Backend) -> Fallible<Dpop> {
    let dpop = Dpop::for_base_url(BASE)?.algorithms([Algorithm::Es256]).backend(backend);
    Ok(dpop.window(MAX_AGE, Duration::from_secs(10)))
}

fn url() -> String {
    format!("{BASE}{PATH}")
}

fn header(jws: &str) -> Fallible<Value> {
    use base64::Engine as _;
    let header = jws.split('.').next().unwrap_or_default();
    let header = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(header)?;
    Ok(serde_json::from_slice(&header)?)
}

/// The least that a store does: it forgets nothing, and no client has a share of its own.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashSet<String>>);

impl JtiUniquenessChecker for Seen {
    fn check_and_mark_seen(&self, jti: &str) -> MaybeSendBoxFuture<'_, Result<bool, HuskarlError>> {
        let jti = jti.to_owned();
        Box::pin(async move {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(!seen.insert(jti))
        })
    }
}

/// The proofs that `dpop-verifier` has seen. It hashes the identifier of a proof itself.
#[derive(Default)]
struct Hashes(HashSet<[u8; 32]>);

impl dpop_verifier::ReplayStore for Hashes {
    fn insert_once<'a, 'b, 'c>(
        &'a mut self,
        hash: [u8; 32],
        _: ReplayContext<'b>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<bool, DpopError>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
    {
        let is_new = self.0.insert(hash);
        Box::pin(async move { Ok(is_new) })
    }
}
