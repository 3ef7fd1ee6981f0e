//! DPoP by a client library that is none of ours, at an authorization server that is none of ours.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;
use unconfused::proof::{Dpop, Nonces};
use unconfused::replay::MemoryReplayStore;
use unconfused::{Guard, Issuer};

use crate::client::{Client, Wire, send};
use crate::peer::{Peer, http};
use crate::service::{ORDERS, Service};

/// Server, service, the wire before it, and the URL that clients know it by.
struct Scene {
    peer: Peer,
    service: Service,
    wire: Wire,
    url: String,
}

/// Takes bound tokens alone, and wants nonces that are good for so long.
async fn set_up(life: Duration) -> Scene {
    let peer = Peer::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let issuer = Issuer::discover_without_tls_on_loopback(peer.issuer(), http()).unwrap();
    let dpop = Dpop::for_base_url(&base).unwrap().nonces(Nonces::new([7; 32]).lifetime(life));
    let guard =
        Guard::new(ORDERS, issuer).dpop(dpop, MemoryReplayStore::new()).sender_constrained();
    assert!(guard.ready().await.is_ready());
    let service = Service::of(guard).await;
    let wire = Wire::between(listener, service.address);
    // Nonces that a clock two seconds ahead may have made before the store began are refused.
    sleep(Duration::from_millis(3100)).await;
    Scene { peer, service, wire, url: format!("{base}/orders") }
}

impl Scene {
    fn client(&self, algorithm: &str) -> Client {
        Client::start(self.peer.issuer(), ORDERS.as_str(), algorithm)
    }

    fn call(&self, client: &mut Client, method: &str, how: &str) -> Value {
        client.tell(&json!({ "do": "call", "method": method, "url": self.url, "how": how }))
    }

    /// What the client would send there, sent here instead.
    async fn misdirected(
        &self,
        client: &mut Client,
        (method, url): (&str, &str),
        here: &str,
    ) -> (String, String) {
        let unsent =
            json!({ "do": "call", "method": method, "url": url, "how": "bound", "unsent": true });
        let headers = client.tell(&unsent)["headers"].clone();
        let mut request = format!("{here} HTTP/1.1\r\nhost: {}\r\n", self.service.address);
        for header in headers.as_array().unwrap() {
            let text = |place: usize| header[place].as_str().unwrap();
            request.push_str(&format!("{}: {}\r\n", text(0), text(1)));
        }
        send(self.service.address, &(request + "\r\n")).await
    }
}

/// A refusal: 401, for this reason, with this `error` for the scheme DPoP.
fn assert_refused((head, body): &(String, String), reason: &str, error: &str) {
    assert!(head.starts_with("http/1.1 401 "), "{head}");
    assert_eq!(body, reason, "{head}");
    let dpop = head.lines().find(|line| line.starts_with("www-authenticate: dpop ")).expect(head);
    assert!(dpop.contains(&format!(r#"error="{error}""#)), "{dpop}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_client_gets_a_bound_token_and_passes_and_what_it_sent_does_not_pass_again() {
    for algorithm in ["ES256", "Ed25519"] {
        let scene = set_up(Duration::from_secs(300)).await;
        let mut client = scene.client(algorithm);

        // The authorization server wants a nonce too.
        let token = client.tell(&json!({ "do": "token" }));
        assert_eq!((&token["type"], &token["nonces"]), (&json!("dpop"), &json!(1)), "{token}");

        let claims = token["token"].as_str().unwrap().split('.').nth(1).unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["cnf"], json!({ "jkt": token["jkt"] }));

        // Refused once, with a nonce; then passed, by the library's own means.
        let answer = scene.call(&mut client, "GET", "bound");
        assert_eq!((&answer["status"], &answer["nonces"]), (&json!(200), &json!(1)), "{answer}");
        let who: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&who["client"], &who["issuer"]),
            (&json!("service"), &json!(scene.peer.issuer()))
        );
        let requests = scene.wire.requests();
        assert_eq!(requests.len(), 2);
        let (first, passed) = (&requests[0], &requests[1]);

        // It keeps the nonce: the next requests pass at once, each with a proof of its own.
        for method in ["GET", "POST", "GET"] {
            let answer = scene.call(&mut client, method, "bound");
            assert_eq!(
                (&answer["status"], &answer["nonces"]),
                (&json!(200), &json!(0)),
                "{answer}"
            );
        }

        // Byte by byte.
        for _ in 0..2 {
            let again = send(scene.service.address, passed).await;
            assert_refused(&again, "dpop_proof_replayed", "invalid_dpop_proof");
            assert!(again.0.contains("\r\ndpop-nonce: "), "{}", again.0);
        }
        for request in &scene.wire.requests()[2..] {
            let again = send(scene.service.address, request).await;
            assert_refused(&again, "dpop_proof_replayed", "invalid_dpop_proof");
        }
        let again = send(scene.service.address, first).await;
        assert_refused(&again, "dpop_nonce_required", "use_dpop_nonce");

        // For another method, for another URL.
        let elsewhere = scene.url.replace("/orders", "/customers");
        let host = scene.url.replace("127.0.0.1", "localhost");
        let (get, post) = ("GET /orders", "POST /orders");
        for (made_for, here, reason) in [
            (("GET", &scene.url), post, "dpop_method_mismatch"),
            (("POST", &scene.url), get, "dpop_method_mismatch"),
            (("GET", &elsewhere), get, "dpop_uri_mismatch"),
            (("GET", &host), get, "dpop_uri_mismatch"),
        ] {
            let made_for = (made_for.0, &**made_for.1);
            let refused = scene.misdirected(&mut client, made_for, here).await;
            assert_refused(&refused, reason, "invalid_dpop_proof");
        }
        // And for this one: a query is not part of it.
        let made_for = ("GET", &*scene.url);
        let (head, _) = scene.misdirected(&mut client, made_for, "GET /orders?page=2").await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");

        // A stolen token: as it is, and with a proof of the thief's.
        let answer = scene.call(&mut client, "GET", "bearer");
        assert_eq!(
            (&answer["status"], &answer["body"]),
            (&json!(401), &json!("bound_token_as_bearer"))
        );
        let told = answer["challenges"].as_array().unwrap();
        assert!(told.iter().any(|told| told["scheme"] == "dpop"), "{answer}");
        // Also with the proof left on.
        assert!(passed.contains("DPoP ey"), "{passed}");
        let downgraded = passed.replace("DPoP ey", "Bearer ey");
        let (head, body) = send(scene.service.address, &downgraded).await;
        assert_eq!((&head[..13], &*body), ("http/1.1 401 ", "bound_token_as_bearer"));
        let answer = scene.call(&mut client, "GET", "stranger");
        assert_eq!(
            (&answer["status"], &answer["body"]),
            (&json!(401), &json!("dpop_key_mismatch"))
        );

        // And a token of the same client that is bound to nothing.
        let unbound = scene.peer.client_token(ORDERS.as_str(), "orders:read").await;
        let answer = scene.service.get(&unbound).await;
        assert_eq!(answer.verdict(), (401, "sender_constraint_required"));

        let answer = scene.call(&mut client, "GET", "bound");
        assert_eq!((&answer["status"], &answer["nonces"]), (&json!(200), &json!(0)), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_use_is_given_the_next_nonce_before_its_own_expires() {
    let scene = set_up(Duration::from_secs(4)).await;
    let mut client = scene.client("ES256");
    client.tell(&json!({ "do": "token" }));
    let (mut requests, mut told) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        let answer = scene.call(&mut client, "GET", "bound");
        let refused = u64::from(requests == 0);
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(answer["nonces"], refused, "after {:?}: {answer}", began.elapsed());
        requests += 1;
        told += u64::from(answer["nonce"].is_string());
        sleep(Duration::from_millis(100)).await;
    }
    eprintln!(
        "{requests} requests in 10 s with nonces of 4 s: one was refused, {told} brought the next nonce"
    );
    assert!((3..=6).contains(&told), "{told}");

    // Idle for longer than a nonce lives: refused once more, and passed.
    sleep(Duration::from_secs(5)).await;
    let answer = scene.call(&mut client, "GET", "bound");
    assert_eq!((&answer["status"], &answer["nonces"]), (&json!(200), &json!(1)), "{answer}");
}
