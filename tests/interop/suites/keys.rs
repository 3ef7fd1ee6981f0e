//! Keys of a real server: found, used, rotated, withdrawn, out of reach, and asked for by those who make them up.
//!
//! Hours pass by [`pass`], which moves the clock of the keys; requests and fetches are real.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::sleep;
use unconfused::keys::{Algorithm, KeyState};
use unconfused::{Guard, Issuer};

use crate::peer::{Peer, http, kid, with_kid};
use crate::service::{Answer, Fetches, ORDERS, PASSED, Service, minutes, pass, secs};

/// A server, and a service that trusts it and has its keys.
async fn set_up() -> (Peer, Fetches, Service) {
    let peer = Peer::start();
    let fetches = Fetches::default();
    let service = Service::of(Guard::new(ORDERS, fetches.issuer(peer.issuer()))).await;
    assert!(service.guard.ready().await.is_ready());
    (peer, fetches, service)
}

async fn reader(peer: &Peer) -> String {
    peer.client_token(ORDERS.as_str(), "orders:read").await
}

#[tokio::test]
async fn discovery_finds_the_keys_and_says_how_it_stands() {
    let peer = Peer::start();
    let metadata = peer.document("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["issuer"], peer.issuer());
    assert_eq!(metadata["jwks_uri"], format!("{}/jwks", peer.issuer()));

    let issuer = Issuer::discover_without_tls_on_loopback(peer.issuer(), http()).unwrap();
    let guard = Guard::new(ORDERS, issuer);
    assert_eq!(peer.requests("/jwks").await, 0);
    let before = guard.readiness();
    assert!(!before.is_ready());
    assert_eq!(before.issuers().next().unwrap().1.state, KeyState::Missing);

    let ready = guard.ready().await;
    assert!(ready.is_ready());
    let (name, status) = ready.issuers().next().unwrap();
    assert_eq!((name, status.state), (peer.issuer(), KeyState::Fresh));
    assert_eq!((status.keys, status.skipped, status.fetches), (3, 0, 1));
    assert_eq!((status.age < Some(secs(10)), &status.last_error), (true, &None));
    assert_eq!(peer.requests("/.well-known/oauth-authorization-server").await, 2);
    assert_eq!(peer.requests("/.well-known/openid-configuration").await, 0);
    assert_eq!(peer.requests("/jwks").await, 1);
    assert!(guard.ready().await.is_ready());
    assert_eq!(peer.requests("/jwks").await, 1);

    // Other names of the same server: its metadata says another one.
    let port = metadata["issuer"].as_str().unwrap().rsplit(':').next().unwrap();
    for name in [format!("{}/", peer.issuer()), format!("http://localhost:{port}")] {
        let issuer = Issuer::discover_without_tls_on_loopback(&name, http()).unwrap();
        let ready = Guard::new(ORDERS, issuer).ready().await;
        assert!(!ready.is_ready(), "{ready}");
        assert!(ready.issuers().next().unwrap().1.last_error.is_some());
    }
    assert_eq!(peer.requests("/jwks").await, 1);
}

#[tokio::test]
async fn real_tokens_pass_in_every_algorithm() {
    let peer = Peer::start();
    let issuer = Issuer::discover_without_tls_on_loopback(peer.issuer(), http()).unwrap();
    for (path, algorithm) in [
        ("", Algorithm::Es256),
        ("/rs256", Algorithm::Rs256),
        ("/ps256", Algorithm::Ps256),
        ("/ed25519", Algorithm::Ed25519),
        ("/eddsa", Algorithm::EdDsa),
    ] {
        let resource = format!("{ORDERS}{path}");
        let audience = unconfused::Audience::new(resource.clone()).unwrap();
        let guard = Guard::new(audience.clone(), issuer.clone().algorithms([algorithm]));
        let service = Service::of(guard).await;

        // A client for itself: the first of all requests fetches the keys.
        let client = peer.client_token(&resource, "orders:read").await;
        let answer = service.get(&client).await;
        assert_eq!(answer.verdict(), PASSED, "{algorithm}");
        let who = json!({
            "issuer": peer.issuer(),
            "subject": "service",
            "client": "service",
            "audience": resource,
            "scopes": ["orders:read"],
            "person": false,
            "actor": null,
            "before": [],
        });
        assert_eq!(answer.who, who);
        let answer = service.post(&client).await;
        assert_eq!(answer.verdict(), (403, "insufficient_scope"));
        assert!(answer.challenge.unwrap().contains(r#"scope="orders:write""#));

        // A user, at a client.
        let alice = peer.login("alice", &resource, "orders:read orders:write").await.access_token;
        let answer = service.get(&alice).await;
        assert_eq!(answer.verdict(), PASSED, "{algorithm}");
        let who = json!({
            "issuer": peer.issuer(),
            "subject": "alice",
            "client": "web",
            "audience": resource,
            "scopes": ["orders:read", "orders:write"],
            "person": true,
            "actor": null,
            "before": [],
        });
        assert_eq!(answer.who, who);
        assert_eq!(service.post(&alice).await.verdict(), PASSED);

        // A good signature, and an algorithm that is not this resource's.
        let others = Algorithm::DEFAULT.into_iter().filter(|other| *other != algorithm);
        let strict = Service::of(Guard::new(audience, issuer.clone().algorithms(others))).await;
        assert_eq!(strict.get(&client).await.verdict(), (401, "algorithm_not_allowed"));
    }
    // All guards had the keys of one fetch.
    assert_eq!(peer.requests("/jwks").await, 1);
}

#[tokio::test]
async fn what_is_not_meant_for_here_is_refused() {
    let (peer, _, service) = set_up().await;
    let refused = async |token: &str, reason: &str| {
        let answer = service.get(token).await;
        assert_eq!(answer.verdict(), (401, reason));
        assert!(answer.challenge.unwrap().contains(r#"error="invalid_token""#));
    };

    // Of another resource.
    let billing = peer.client_token("https://billing.example", "orders:read").await;
    refused(&billing, "audience_mismatch").await;
    let slash = peer.client_token("https://orders.example/", "orders:read").await;
    refused(&slash, "audience_mismatch").await;

    // The ID token of the client, instead of an access token.
    let login = peer.login("alice", ORDERS.as_str(), "orders:read").await;
    assert_eq!(service.get(&login.access_token).await.verdict(), PASSED);
    refused(&login.id_token, "token_type_mismatch").await;

    // Truly signed, with everything else right: it is the audience and the type that count.
    let claims = json!({"aud": ORDERS.as_str(), "scope": "orders:read"});
    let minted = peer.mint(&json!({"claims": claims})).await;
    assert_eq!(service.get(&minted).await.verdict(), PASSED);
    let typed = peer.mint(&json!({"claims": claims, "header": {"typ": "JWT"}})).await;
    refused(&typed, "token_type_mismatch").await;
    let for_client = json!({"aud": "web", "scope": "orders:read"});
    refused(&peer.mint(&json!({"claims": for_client})).await, "audience_mismatch").await;

    // Of another server, under its own name and under a stolen one; its key ids are the same.
    let stranger = Peer::start();
    refused(&reader(&stranger).await, "issuer_untrusted").await;
    let stolen = json!({"iss": peer.issuer(), "aud": ORDERS.as_str(), "scope": "orders:read"});
    refused(&stranger.mint(&json!({"claims": stolen})).await, "signature_invalid").await;
    assert_eq!(stranger.requests("/jwks").await, 0);
}

/// Clients that never stop: each gets a token, uses it, and gets the next one.
struct Load {
    peer: Peer,
    service: Service,
    /// For each client, how often it used a token of which key.
    used: Mutex<Vec<BTreeMap<String, u64>>>,
    failed: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
    over: AtomicBool,
    /// Time is moved between requests: no client is in the middle of one.
    still: RwLock<()>,
}

impl Load {
    async fn client(self: Arc<Self>, number: usize) {
        while !self.over.load(Ordering::Relaxed) {
            let _still = self.still.read().await;
            let token = reader(&self.peer).await;
            let began = Instant::now();
            let answer = self.service.get(&token).await;
            let mut slowest = self.slowest.lock().unwrap();
            *slowest = began.elapsed().max(*slowest);
            drop(slowest);
            let kid = kid(&token);
            if answer.verdict() != PASSED {
                self.failed.lock().unwrap().push(format!("{kid}: {answer:?}"));
            }
            *self.used.lock().unwrap()[number].entry(kid).or_default() += 1;
        }
    }

    /// Waits until every client has used some tokens of this generation, so that none has an older one.
    async fn until_all_use(&self, generation: u64) {
        let (kid, began) = (format!("ec-{generation}"), Instant::now());
        while !self.used.lock().unwrap().iter().all(|used| used.get(&kid).is_some_and(|n| *n >= 5))
        {
            assert!(began.elapsed() < secs(60), "not all clients get tokens of {kid}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn pass(&self, time: Duration) {
        let _still = self.still.write().await;
        pass(time).await;
    }
}

#[tokio::test]
async fn keys_rotate_under_load_and_no_request_fails() {
    const CLIENTS: usize = 16;
    let (peer, fetches, service) = set_up().await;
    let load = Arc::new(Load {
        peer,
        service,
        used: Mutex::new(vec![BTreeMap::new(); CLIENTS]),
        failed: Mutex::default(),
        slowest: Mutex::default(),
        over: AtomicBool::new(false),
        still: RwLock::default(),
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(load.clone().client(number));
    }
    load.until_all_use(1).await;
    let began = tokio::time::Instant::now();

    // Published early enough: the keys are renewed before the new one signs, and no request waits for it.
    for _ in 0..3 {
        let generation = load.peer.publish().await;
        load.pass(minutes(10)).await;
        load.service.until("renewed", |keys| keys.age < Some(minutes(1))).await;
        let before = fetches.count();
        load.peer.sign().await;
        load.until_all_use(generation).await;
        load.peer.withdraw().await;
        assert_eq!(fetches.count(), before);
    }

    // Published, and at once it signs: the first request that has its id fetches it, and the others wait with it.
    // Two rounds within 30 seconds are as fast as that can go, since two fetches are all there are.
    for _ in 0..3 {
        load.pass(secs(30)).await;
        for _ in 0..2 {
            let before = fetches.count();
            let generation = load.peer.publish().await;
            load.peer.sign().await;
            load.until_all_use(generation).await;
            load.peer.withdraw().await;
            assert_eq!(fetches.count(), before + 1);
        }
    }

    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let failed = std::mem::take(&mut *load.failed.lock().unwrap());
    let used = std::mem::take(&mut *load.used.lock().unwrap());
    let sent: u64 = used.iter().flat_map(BTreeMap::values).sum();
    assert!(failed.is_empty(), "{} of {sent} requests failed: {failed:#?}", failed.len());
    assert!(used.iter().all(|used| used.len() == 10), "every client used every key: {used:?}");
    fetches.assert_within_budget();
    assert_eq!(load.peer.requests("/jwks").await, fetches.count());
    println!(
        "rotation: {sent} requests of {CLIENTS} clients with the tokens of 10 keys, 0 failed, the slowest {:?}; \
         {} fetches in {} s of the keys' time",
        load.slowest.lock().unwrap(),
        fetches.count(),
        began.elapsed().as_secs(),
    );
}

#[tokio::test]
async fn a_withdrawn_key_serves_until_the_keys_are_renewed() {
    let (peer, fetches, service) = set_up().await;
    let old = reader(&peer).await;
    assert_eq!(service.get(&old).await.verdict(), PASSED);
    peer.publish().await;
    peer.sign().await;
    peer.withdraw().await;
    // The key can still sign.
    let claims = json!({"aud": ORDERS.as_str(), "scope": "orders:read"});
    let stolen = peer.mint(&json!({"claims": claims, "generation": 1})).await;

    // The server says nothing of how long they are fresh, so it is 10 minutes, and they are renewed after 7.5 to 9.
    pass(minutes(7)).await;
    assert_eq!(service.get(&old).await.verdict(), PASSED);
    assert_eq!(service.get(&stolen).await.verdict(), PASSED);
    assert_eq!(fetches.count(), 1);
    pass(minutes(2)).await;
    service.until("renewed", |keys| keys.age < Some(minutes(1))).await;
    assert_eq!(fetches.count(), 2);
    for token in [&old, &stolen] {
        let answer = service.get(token).await;
        assert_eq!(answer.verdict(), (401, "key_not_found"));
        assert!(answer.challenge.unwrap().contains(r#"error="invalid_token""#));
    }
    assert_eq!(service.get(&reader(&peer).await).await.verdict(), PASSED);
}

#[tokio::test]
async fn a_token_of_the_new_key_removes_the_withdrawn_one() {
    let (peer, fetches, service) = set_up().await;
    let old = reader(&peer).await;
    peer.publish().await;
    peer.sign().await;
    peer.withdraw().await;
    let new = reader(&peer).await;
    assert_eq!(service.get(&old).await.verdict(), PASSED);
    assert_eq!(service.get(&new).await.verdict(), PASSED);
    assert_eq!(fetches.count(), 2);
    assert_eq!(service.get(&old).await.verdict(), (401, "key_not_found"));
    assert_eq!(service.get(&new).await.verdict(), PASSED);
}

/// Clients come back as often as they are told to, until the service lets one pass; how long that takes by the clock
/// of the keys.
async fn until_it_passes(service: &Service, token: &str) -> u64 {
    let mut waited = 0;
    loop {
        let answer = service.get(token).await;
        if answer.verdict() == PASSED {
            return waited;
        }
        let after = unavailable(&answer);
        assert!(waited < 120, "{}", service.keys());
        pass(secs(after)).await;
        waited += after;
    }
}

/// No keys; when to come back.
fn unavailable(answer: &Answer) -> u64 {
    assert_eq!(answer.verdict(), (503, "keys_unavailable"));
    assert_eq!(answer.challenge, None);
    answer.retry_after.expect("Retry-After")
}

/// Something is wrong with all that the server answers, for longer than the stale bound, which is one hour; then
/// nothing is. Where it does not answer at all, a fetch hangs until its time is over.
async fn down_and_back(kind: &str, fault: Value, answers: bool) {
    let (peer, fetches, service) = set_up().await;
    let later = async |time: Duration| {
        pass(time).await;
        if answers {
            fetches.settled().await;
        }
    };
    let token = reader(&peer).await;
    let unknown = with_kid(&token, "unknown");
    peer.faults(&json!([fault])).await;

    for _ in 0..11 {
        later(minutes(5)).await;
        assert_eq!(service.get(&token).await.verdict(), PASSED, "{}", service.keys());
    }
    service.until("known to fail", |keys| keys.last_error.is_some()).await;
    assert_eq!(service.keys().state, KeyState::Stale);
    assert!(service.guard.ready().await.is_ready());
    // Whether there is such a key is not known.
    unavailable(&service.get(&unknown).await);
    assert_eq!(service.get(&token).await.verdict(), PASSED);

    later(minutes(5)).await;
    unavailable(&service.get(&token).await);
    assert_eq!(service.keys().state, KeyState::Expired);
    assert!(!service.guard.readiness().is_ready());
    later(minutes(30)).await;
    for _ in 0..3 {
        unavailable(&service.get(&token).await);
    }

    peer.faults(&json!([])).await;
    let waited = until_it_passes(&service, &token).await;
    assert!(waited <= 35, "{waited} s");
    assert_eq!(service.keys().state, KeyState::Fresh);
    assert!(service.guard.ready().await.is_ready());
    assert_eq!(service.get(&unknown).await.verdict(), (401, "key_not_found"));
    fetches.assert_within_budget();
    if answers {
        assert_eq!(peer.requests("/jwks").await, fetches.count());
    }
    println!("{kind}: requests pass {waited} s after the return; {}", service.keys());
}

#[tokio::test]
async fn a_server_that_fails_is_noticed_after_the_stale_bound() {
    down_and_back("503", json!({"path": "*", "status": 503}), true).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_noticed_after_the_stale_bound() {
    down_and_back("hanging up", json!({"path": "*", "drop": true}), true).await;
}

#[tokio::test]
async fn a_server_that_is_silent_is_noticed_after_the_stale_bound() {
    down_and_back("silent", json!({"path": "*", "silent": true}), false).await;
}

#[tokio::test]
async fn a_server_that_was_killed_comes_back_with_other_keys() {
    let (peer, fetches, service) = set_up().await;
    let old = reader(&peer).await;
    let port = peer.stop();
    pass(minutes(59)).await;
    fetches.settled().await;
    assert_eq!(service.get(&old).await.verdict(), PASSED);
    pass(minutes(2)).await;
    unavailable(&service.get(&old).await);

    let peer = Peer::start_on(port);
    // Its first key has another id than that of the server before.
    peer.publish().await;
    peer.sign().await;
    peer.withdraw().await;
    let new = reader(&peer).await;
    let waited = until_it_passes(&service, &new).await;
    assert!(waited <= 35, "{waited} s");
    assert_eq!(service.get(&old).await.verdict(), (401, "key_not_found"));
    fetches.assert_within_budget();
    println!("killed: requests pass {waited} s after the return; {}", service.keys());
}

#[tokio::test]
async fn keys_that_are_stale_are_fresh_again_soon_after_the_return() {
    let (peer, fetches, service) = set_up().await;
    let token = reader(&peer).await;
    peer.faults(&json!([{"path": "/jwks", "status": 500}])).await;
    pass(minutes(15)).await;
    service.until("known to fail", |keys| keys.last_error.is_some()).await;
    assert_eq!(service.get(&token).await.verdict(), PASSED);
    assert_eq!(service.keys().state, KeyState::Stale);
    peer.faults(&json!([])).await;
    pass(minutes(5)).await;
    service.until("fresh", |keys| keys.state == KeyState::Fresh).await;
    assert_eq!(service.get(&token).await.verdict(), PASSED);
    fetches.assert_within_budget();
}

#[tokio::test]
async fn made_up_key_ids_cost_two_fetches_in_30_seconds_and_valid_tokens_pass() {
    const WINDOWS: usize = 4;
    const CLIENTS: usize = 32;
    const EACH: usize = 25;
    let (peer, fetches, service) = set_up().await;
    let (service, valid) = (Arc::new(service), reader(&peer).await);
    let mut most = 0;
    for window in 0..WINDOWS {
        pass(secs(30)).await;
        let before = peer.requests("/jwks").await;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (service, valid) = (service.clone(), valid.clone());
            clients.spawn(async move {
                for number in 0..EACH {
                    let unknown = with_kid(&valid, &format!("unknown-{window}-{client}-{number}"));
                    let answer = service.get(&unknown).await;
                    // Looked for, or not: there are two fetches.
                    let refused = [(401, "key_not_found"), (503, "keys_unavailable")];
                    assert!(refused.contains(&answer.verdict()));
                    assert_eq!(service.get(&valid).await.verdict(), PASSED);
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        let fetched = peer.requests("/jwks").await - before;
        assert!(fetched <= 2, "{fetched} fetches");
        most = most.max(fetched);
    }

    // A key that is new while there are no fetches left is not known for as long, and then it is.
    peer.publish().await;
    peer.sign().await;
    let new = reader(&peer).await;
    assert_ne!(service.get(&new).await.verdict(), PASSED);
    assert_eq!(service.get(&valid).await.verdict(), PASSED);
    pass(secs(30)).await;
    assert_eq!(service.get(&with_kid(&valid, "unknown")).await.verdict(), (401, "key_not_found"));
    assert_eq!(service.get(&new).await.verdict(), PASSED);
    fetches.assert_within_budget();
    assert_eq!(peer.requests("/jwks").await, fetches.count());
    let flood = WINDOWS * CLIENTS * EACH;
    println!(
        "flood: {flood} made-up key ids and as many valid tokens, at most {most} fetches in 30 s"
    );
}
