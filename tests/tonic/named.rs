//! Guarded services in tonic's router, and what their methods find.

use super::*;
use tonic::server::NamedService;
use tonic::transport::Server;
use tower::Layer;

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

#[test]
fn a_guarded_service_has_the_name_of_the_inner_one() {
    let (guard, name) = (guard(), "orders.v1.Orders");
    assert_eq!(name_of(&guard.rules(rules()).layer(Shop::server(&guard))), name);
    assert_eq!(name_of(&guard.rules(rules()).until_expiry().layer(Shop::server(&guard))), name);
}

#[tokio::test]
async fn a_guarded_service_is_added_to_a_server() {
    let guard = guard();
    for ends_with_token in [false, true] {
        let client = connected(|connections| {
            let (layer, shop) = (guard.rules(rules()), Shop::server(&guard));
            let mut server = Server::builder();
            let server = match ends_with_token {
                false => server.add_service(layer.layer(shop)),
                true => server.add_service(layer.until_expiry().layer(shop)),
            };
            server.serve_with_incoming(connections)
        })
        .await;
        answers_as_guarded(&client).await;
    }
}

#[tokio::test]
async fn a_layer_stands_before_a_whole_server() {
    let guard = guard();
    let client = connected(|connections| {
        let mut server = Server::builder().layer(guard.rules(rules()));
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    answers_as_guarded(&client).await;
    let client = connected(|connections| {
        let mut server = Server::builder().layer(guard.rules(rules()).until_expiry());
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    answers_as_guarded(&client).await;
}

async fn answers_as_guarded(client: &OrdersClient) {
    let reads = token("orders:read").bearer();
    let answer = client.list(with(&reads, ListRequest {})).await.unwrap();
    assert_eq!(answer.into_inner().orders, [format!("7 of alice (POST {LIST})")]);
    let status = client.list(Request::new(ListRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let challenge = all(status.metadata(), "www-authenticate").join("");
    assert!(challenge.contains(r#"scope="orders:read""#), "{challenge}");
    let status = client.refund(with(&reads, RefundRequest { order: 7 })).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_method_without_a_guard_answers_internal_and_does_not_run() {
    let guard = guard();
    let client = connected(|connections| {
        Server::builder().add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    let bearer = token("orders:read").bearer();
    let list = client.list(with(&bearer, ListRequest {})).await.unwrap_err();
    let refund = client.refund(with(&bearer, RefundRequest { order: 7 })).await.unwrap_err();
    let watch = client.watch(with(&bearer, WatchRequest {})).await.unwrap_err();
    for status in [list, refund, watch] {
        assert_eq!(status.code(), Code::Internal);
        // The hint is for the operator.
        assert_eq!(status.message(), Reason::InternalError.description());
    }
}

#[tokio::test]
async fn a_method_that_is_open_and_asks_for_a_grant_answers_internal() {
    let guard = guard();
    let client = connected(|connections| {
        let rules = Rules::new().open(LIST).open(REFUND);
        let mut server = Server::builder().layer(guard.rules(rules));
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    let status = client.list(Request::new(ListRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let answer = client.refund(Request::new(RefundRequest { order: 7 })).await.unwrap();
    assert_eq!(answer.into_inner().text, "refunded without a grant");
}

#[tokio::test]
async fn a_credential_that_is_too_large_is_told_so_if_the_server_accepts_as_much_metadata() {
    let guard = guard();
    let large = format!("Bearer {}", "a".repeat(20_000));
    for (accepted, code, reached) in
        [(None, Code::Unknown, false), (Some(1 << 16), Code::ResourceExhausted, true)]
    {
        let client = connected(|connections| {
            let mut server =
                Server::builder().http2_max_header_list_size(accepted).layer(guard.rules(rules()));
            server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
        })
        .await;
        let status = client.list(with(&large, ListRequest {})).await.unwrap_err();
        println!("{status:?}");
        assert_eq!(status.code(), code);
        assert_eq!(status.metadata().contains_key("decision-id"), reached);
    }
}
