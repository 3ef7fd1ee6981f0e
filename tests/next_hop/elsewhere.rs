//! A token goes to its own resource and nowhere else.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::response::{IntoResponse as _, Redirect};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use unconfused::Require;
use unconfused::next_hop::{AttachError, HopServiceError, NextHop, NextHopLayer};

use crate::server::{CHARGE, Orders, REFUND, Server};

const ELSEWHERE: &[&str] = &[
    "https://evil.example/charges",
    "http://payments.example/charges",
    "https://payments.example:8443/charges",
    "https://payments.example.evil.example/charges",
    "https://api.payments.example/charges",
    "https://payments.example@evil.example/charges",
    "https://alice@payments.example/charges",
    "https://payments.example./charges",
    "/charges",
    "payments.example:443",
];

#[tokio::test]
async fn a_token_attaches_itself_to_its_own_origin_only() {
    let orders = Orders::new();
    let token = orders.token(&orders.server.hop()).await.unwrap();
    for url in ["https://payments.example/a", "https://PAYMENTS.example:443/b?c=d"] {
        let mut request = Request::post(url).body(()).unwrap();
        token.attach(&mut request).unwrap();
        assert!(request.headers()["authorization"].is_sensitive());
        assert_eq!(request.headers()["authorization"], "Bearer opaque");
    }
    for url in ELSEWHERE {
        // A token that was there is not for that origin either.
        let mut request =
            Request::post(*url).header("authorization", "Bearer opaque").body(()).unwrap();
        let expected = "https://payments.example:443".to_owned();
        assert_eq!(token.attach(&mut request), Err(AttachError::OtherOrigin { expected }), "{url}");
        assert!(request.headers().is_empty(), "{url}");
    }
}

/// What a proxy may have copied from the request that it answers.
const OTHER_HOSTS: &[&[&str]] = &[
    &["evil.example"],
    &["payments.example:8443"],
    &["payments.example."],
    &["alice@payments.example"],
    &["payments.example/evil"],
    &[""],
    &["payments.example", "evil.example"],
];

#[tokio::test]
async fn a_host_field_that_names_another_origin_makes_it_another_origin() {
    let orders = Orders::new();
    let token = orders.token(&orders.server.hop()).await.unwrap();
    let http = ServiceBuilder::new()
        .layer(NextHopLayer::new(&orders.server.hop()))
        .service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(())));
    let request = |hosts: &[&str]| {
        let mut request = Request::post("https://payments.example/charges");
        for host in hosts {
            request = request.header("host", *host);
        }
        request.body(()).unwrap()
    };
    for hosts in OTHER_HOSTS {
        let mut attached = request(hosts);
        assert!(token.attach(&mut attached).is_err(), "{hosts:?}");
        assert!(!attached.headers().contains_key("authorization"), "{hosts:?}");
        // And a layer sends no credential there.
        let mut copied = request(hosts);
        copied.headers_mut().insert("authorization", "Bearer opaque".parse().unwrap());
        assert!(http.clone().oneshot(copied).await.is_err(), "{hosts:?}");
        assert!(http.clone().oneshot(request(hosts)).await.is_ok(), "{hosts:?}");
    }
    for host in ["payments.example", "PAYMENTS.example:443"] {
        assert_eq!(token.attach(&mut request(&[host])), Ok(()), "{host}");
    }
}

#[tokio::test]
async fn a_resource_that_is_reached_elsewhere_gets_its_tokens_there() {
    let orders = Orders::new();
    let hop = orders.server.token_server().to("https://payments.example", [CHARGE]).unwrap();
    assert!(orders.server.token_server().to("http://payments.example", []).is_err());
    assert!(orders.server.token_server().to("payments", []).is_err());
    assert!(orders.server.token_server().to("https://payments.example/#x", []).is_err());
    let hop = hop.reached_at("https://payments.internal:8443/ignored").unwrap().needs(REFUND);
    let token = orders.token(&hop).await.unwrap();
    assert_eq!(orders.server.asked()[0].form["resource"], "https://payments.example");
    let attach = |url: &str| token.attach(&mut Request::get(url).body(()).unwrap());
    assert_eq!(attach("https://payments.internal:8443/charges"), Ok(()));
    assert!(attach("https://payments.example/charges").is_err());
}

#[tokio::test]
async fn nothing_of_a_secret_is_in_debug() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let token = orders.token(&hop).await.unwrap();
    let shown = format!(
        "{token:?} {hop:?} {:?} {:?} {:#?}",
        orders.server.token_server(),
        orders.server.token_server().to("https://payments.example", []).unwrap(),
        NextHopLayer::new(&hop),
    );
    for secret in ["opaque", "s3cret", "eyJ"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains(r#"OutboundToken(for "https://payments.example")"#), "{shown}");
}

#[tokio::test]
async fn a_layer_checks_every_request_of_a_client() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let token = orders.token(&hop).await.unwrap();
    let sent: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let record = sent.clone();
    let http = service_fn(move |request: Request<()>| {
        assert!(request.extensions().is_empty(), "the token went on");
        record.lock().unwrap().push(request.headers().clone());
        std::future::ready(Ok::<_, std::io::Error>(Response::new(())))
    });
    let http = ServiceBuilder::new().layer(NextHopLayer::new(&hop)).service(http);
    let send = |url: &str, header: Option<&str>, with_token: bool| {
        let mut request = Request::post(url);
        if let Some(header) = header {
            request = request.header(header, "opaque");
        }
        let mut request = request.body(()).unwrap();
        if with_token {
            request.extensions_mut().insert(token.clone());
        }
        let http = http.clone();
        async move {
            match http.oneshot(request).await {
                Ok(_) => true,
                Err(HopServiceError::Refused(_)) => false,
                Err(error) => panic!("{error}"),
            }
        }
    };
    assert!(send("https://payments.example/charges", None, true).await);
    assert_eq!(sent.lock().unwrap().pop().unwrap()["authorization"], "Bearer opaque");
    assert!(send("https://payments.example/charges", Some("authorization"), false).await);
    assert!(send("https://evil.example/", None, false).await);
    sent.lock().unwrap().clear();
    for url in ELSEWHERE {
        assert!(!send(url, None, true).await, "{url}");
        // What a client that follows redirects would copy.
        for field in ["authorization", "dpop", "txn-token"] {
            assert!(!send(url, Some(field), false).await, "{field} {url}");
        }
    }
    assert!(sent.lock().unwrap().is_empty());

    // The token of another hop is not for this client, even if both go to one resource.
    let other = NextHopLayer::new(&orders.server.hop());
    let http = ServiceBuilder::new()
        .layer(other)
        .service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(())));
    let mut request = Request::get("https://payments.example/").body(()).unwrap();
    request.extensions_mut().insert(token.clone());
    assert!(http.oneshot(request).await.is_err());
}

/// Listens on a port of its own, redirects `/away` to this URL, and remembers what comes.
async fn listen(away: String) -> (String, Arc<Mutex<Vec<(String, HeaderMap)>>>) {
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    let record = seen.clone();
    let app = Router::new().fallback(move |request: AxumRequest| {
        let path = request.uri().path().to_owned();
        record.lock().unwrap().push((path.clone(), request.headers().clone()));
        let away = away.clone();
        async move {
            match path.as_str() {
                "/away" => Redirect::temporary(&away).into_response(),
                "/near" => Redirect::temporary("/here").into_response(),
                _ => "".into_response(),
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    (url, seen)
}

#[tokio::test]
async fn a_client_that_follows_redirects_drops_the_token_across_origins() {
    let (evil, seen_by_evil) = listen(String::new()).await;
    let (payments, seen) = listen(format!("{evil}/stolen")).await;
    let orders = Orders::new();
    let auth = unconfused::next_hop::ClientAuth::secret_basic("orders", "s3cret");
    let server = Server::new();
    let server_of =
        NextHop::discover_without_tls_on_loopback(crate::server::ISSUER, auth, server.client());
    let hop = server_of.unwrap().to(&payments, [CHARGE]).unwrap().needs(Require::valid_token());
    let token = orders.token(&hop).await.unwrap();

    // It follows redirects, as it does by default.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, ends_at_evil) in [("/near", false), ("/away", true)] {
        let mut request = Request::get(format!("{payments}{path}")).body(Vec::new()).unwrap();
        token.attach(&mut request).unwrap();
        let answer = client.execute(request.try_into().unwrap()).await.unwrap();
        assert!(answer.status().is_success());
        assert_eq!(answer.url().as_str().starts_with(&evil), ends_at_evil);
    }
    let seen = seen.lock().unwrap();
    let paths: Vec<_> = seen.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/near", "/here", "/away"]);
    assert!(seen.iter().all(|(_, headers)| headers["authorization"] == "Bearer opaque"));
    let seen_by_evil = seen_by_evil.lock().unwrap();
    assert_eq!(seen_by_evil.len(), 1);
    assert!(!seen_by_evil[0].1.contains_key("authorization"));
}
