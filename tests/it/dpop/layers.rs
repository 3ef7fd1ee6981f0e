//! Several guards and layers before one request.

use super::*;

#[test]
fn a_second_guard_validates_the_proof_again_and_does_not_use_it_up() {
    let (store, entries) = counted();
    let first = guard().dpop(dpop(), store.clone());
    let second = guard().dpop(dpop(), store.clone()).sender_constrained();
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[&proof(&raw).sign()]);
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(!head.headers.contains_key("dpop"));
    let grant = second.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(grant.made_by(&second) && grant.is_sender_constrained() && grant.proof().is_some());
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    let narrowed = first.narrow(&grant, READ).now().unwrap().unwrap();
    assert!(narrowed.proof().is_some());
    assert_eq!(entries.lock().unwrap().len(), 1);

    // A guard of another base is not convinced.
    let elsewhere =
        guard().dpop(Dpop::for_base_url("https://other.example").unwrap(), store.clone());
    let refused = elsewhere.narrow(&grant, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::DpopUriMismatch));
    // Nor is one that accepts no proofs.
    let refused = guard().narrow(&grant, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::ConfirmationUnsupported));
    let refused = guard().authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::UnsupportedAuthScheme));
    // Nor is one that requires a nonce.
    let strict = guard().dpop(dpop().nonces(nonces()), store);
    let refused = strict.authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::DpopNonceRequired));
    assert_eq!(entries.lock().unwrap().len(), 1);
}

#[test]
fn another_guard_narrows_for_as_long_as_the_proof_is_fresh() {
    let seconds = Arc::new(Mutex::new(0));
    let hands = seconds.clone();
    let first = proof_guard().clock(move || at(*hands.lock().unwrap()));
    let second = first.clone().sender_constrained();
    let raw = bound().sign();
    let grant = ask_with_proof(&first, &raw, &proof(&raw), READ).unwrap();
    for (after, expected) in [(60, None), (61, Some(Reason::DpopProofStale))] {
        *seconds.lock().unwrap() = after;
        assert_eq!(reason(first.narrow(&grant, READ).now().unwrap()), None, "after {after}");
        let narrowed = second.narrow(&grant, READ).now().unwrap();
        assert_eq!(reason(narrowed), expected, "after {after}");
    }
}

#[test]
fn a_grant_of_another_request_does_not_stand_in_for_a_proof() {
    let guard = proof_guard();
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let mut first = dpop_head("/orders", &raw, &[&proof]);
    let grant = guard.authorize(&mut first, READ).now().unwrap().unwrap();
    for (proofs, expected) in
        [(&[][..], Reason::DpopProofMissing), (&[&*proof], Reason::DpopProofReplayed)]
    {
        let mut second = dpop_head("/orders", &raw, proofs);
        second.extensions.insert(grant.clone());
        assert_eq!(reason(guard.authorize(&mut second, READ).now().unwrap()), Some(expected));
        assert!(second.extensions.get::<Grant>().is_none());
    }
    // A proof beside a grant is not a credential.
    first.headers.insert("dpop", proof.parse().unwrap());
    assert!(guard.authorize(&mut first, READ).now().unwrap().is_ok());
    assert!(!first.headers.contains_key("dpop"));
}

#[tokio::test]
async fn inside_nested_routers_the_path_is_the_requests_own() {
    let (store, entries) = counted();
    let guard = guard().dpop(dpop(), store);
    let items = Router::new().route("/{id}", get(inside).route_layer(guard.require(READ)));
    let orders = Router::new().nest("/items", items).layer(guard.require(READ));
    let app = Router::new().nest("/v1/orders", orders).layer(guard.require(Require::valid_token()));

    let raw = bound().sign();
    let proof = |path: &str| {
        proof_key().proof("GET", &format!("{BASE}{path}")).issued_at(now()).token(&raw)
    };
    let path = "/v1/orders/items/7?x=1";
    let response = send(&app, path, &raw, &proof("/v1/orders/items/7")).await;
    assert_eq!(denial(&response), None);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, r#"true ["cache-control"]"#);
    assert_eq!(entries.lock().unwrap().len(), 1);
    for inner in ["/7", "/items/7", "/v1/orders", "/v1/orders/items/8"] {
        let response = send(&app, path, &raw, &proof(inner)).await;
        assert_eq!(denial(&response), Some(Reason::DpopUriMismatch), "{inner}");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    let again = proof("/v1/orders/items/7");
    assert_eq!(denial(&send(&app, path, &raw, &again).await), None);
    let replayed = send(&app, path, &raw, &again).await;
    assert_eq!(denial(&replayed), Some(Reason::DpopProofReplayed));
}

#[tokio::test]
async fn a_guard_only_inside_a_nested_router_sees_the_whole_path_too() {
    let guard = proof_guard();
    let inner = Router::new().route("/items", any(inside)).layer(guard.require(READ));
    let app = Router::new().nest("/v1", Router::new().nest("/shop", inner));
    let raw = bound().sign();
    let proof = |url: &str| proof_key().proof("GET", url).issued_at(now()).token(&raw);
    let whole = proof("https://orders.example/v1/shop/items");
    assert_eq!(denial(&send(&app, "/v1/shop/items", &raw, &whole).await), None);
    let part = proof("https://orders.example/items");
    let response = send(&app, "/v1/shop/items", &raw, &part).await;
    assert_eq!(denial(&response), Some(Reason::DpopUriMismatch));
}

#[tokio::test]
async fn both_schemes_and_a_nonce_are_fields_of_the_answer() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let app = Router::new().route("/orders", get(inside).route_layer(guard.require(READ)));
    let request = Request::get("/orders").body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let fields: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(
        fields,
        [
            &*format!(r#"Bearer scope="orders:read", {METADATA}"#),
            &*format!(r#"DPoP {ALGS}, scope="orders:read", {METADATA}"#),
        ]
    );
    assert_eq!(response.headers().get_all("dpop-nonce").iter().count(), 1);

    let raw = bound().sign();
    let response = send(&app, "/orders", &raw, &proof(&raw)).await;
    assert_eq!(denial(&response), Some(Reason::DpopNonceRequired));
    assert_eq!(response.headers()["cache-control"], "no-store");
    let nonce = response.headers()["dpop-nonce"].to_str().unwrap();
    let response = send(&app, "/orders", &raw, &proof(&raw).nonce(nonce)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("dpop-nonce"));
}

#[tokio::test]
async fn a_nonce_that_is_ending_is_followed_by_a_fresh_one_on_the_answer() {
    for slow_store in [false, true] {
        let (hand, clock) = hand();
        let guard = guard().clock(clock);
        let dpop = dpop().nonces(nonces());
        let guard = match slow_store {
            true => guard.dpop(dpop, slow()),
            false => guard.dpop(dpop, store()),
        };
        let app = Router::new()
            .route("/orders", get(inside).route_layer(guard.require(READ)))
            .layer(guard.require(Require::valid_token()));
        let raw = bound().sign();
        let first = send(&app, "/orders", &raw, &proof(&raw)).await;
        let nonce = first.headers()["dpop-nonce"].to_str().unwrap().to_owned();
        let send = async |nonce: &str| {
            let response = send(&app, "/orders", &raw, &proof(&raw).nonce(nonce)).await;
            assert_eq!(response.status(), StatusCode::OK);
            let told: Vec<_> = response.headers().get_all("dpop-nonce").iter().cloned().collect();
            told
        };
        hand.store(150, Ordering::SeqCst);
        assert!(send(&nonce).await.is_empty());
        hand.store(151, Ordering::SeqCst);
        let told = send(&nonce).await;
        assert_eq!(told.len(), 1);
        assert_ne!(told[0], nonce);
        assert!(send(told[0].to_str().unwrap()).await.is_empty());
    }
}

#[tokio::test]
async fn a_route_that_needs_no_nonce_sends_one_to_a_client_without_one() {
    let guard = guard().dpop(dpop().nonces(nonces()), store()).require_nonce_if(|_, _| false);
    let app = Router::new().route("/orders", get(inside).route_layer(guard.require(READ)));
    let raw = bound().sign();
    let response = send(&app, "/orders", &raw, &proof(&raw)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let nonce = response.headers()["dpop-nonce"].to_str().unwrap();
    let response = send(&app, "/orders", &raw, &proof(&raw).nonce(nonce)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("dpop-nonce"));
}

#[tokio::test]
async fn an_optional_layer_judges_a_bound_token_in_full() {
    let guard = proof_guard();
    let app = Router::new()
        .route("/orders", get(async |grant: Option<Grant>| grant.is_some().to_string()))
        .layer(guard.optional(READ));
    let raw = bound().sign();
    assert_eq!(denial(&send(&app, "/orders", &raw, &proof(&raw)).await), None);
    let wrong = send(&app, "/orders", &raw, &proof("another")).await;
    assert_eq!(denial(&wrong), Some(Reason::DpopTokenHashMismatch));
    // A proof alone is not a credential.
    let request = Request::get("/orders").header("dpop", proof(&raw).sign());
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "false");
}

#[tokio::test]
async fn of_many_requests_with_one_proof_at_once_one_passes() {
    for slow_store in [false, true] {
        let guard = match slow_store {
            true => guard().dpop(dpop(), slow()),
            false => proof_guard(),
        };
        let app = Router::new().route("/orders", get(inside).route_layer(guard.require(READ)));
        let raw = bound().sign();
        let proof = proof(&raw);
        let mut tasks = Vec::new();
        for _ in 0..32 {
            let (app, raw, proof) = (app.clone(), raw.clone(), proof.clone());
            tasks.push(tokio::spawn(
                async move { send(&app, "/orders", &raw, &proof).await.status() },
            ));
        }
        let mut passed = 0;
        for task in tasks {
            passed += usize::from(task.await.unwrap() == StatusCode::OK);
        }
        assert_eq!(passed, 1);
    }
}
