//! Rules about paths: no spelling of a path avoids what is asked of it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::common::*;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, OriginalUri};
use axum::routing::get;
use http::{Method, Request, Response, StatusCode, Uri};
use proptest::prelude::*;
use proptest::sample::select;
use tower::{Layer, ServiceExt, service_fn};
use unconfused::layer::GuardLayer;
use unconfused::proof::{Nonces, Possession};
use unconfused::{Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");

fn secret_or_read(is_secret: bool) -> Require {
    Require::from(if is_secret { WRITE } else { READ })
}

/// The status of a request for this path, and the path that the inner service saw.
fn send(layer: &GuardLayer, path: &str) -> (StatusCode, Option<String>) {
    let seen = Arc::new(Mutex::new(None));
    let inner = seen.clone();
    let service = service_fn(move |request: Request<String>| {
        *inner.lock().unwrap() = Some(request.uri().to_string());
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let token = token().scope("orders:read").bearer();
    let request = Request::get(path).header("authorization", token).body(String::new()).unwrap();
    let response = at_once(layer.layer(service).oneshot(request));
    (response.status(), seen.lock().unwrap().take())
}

fn at_once(answer: impl Future<Output = Result<Response<String>, Infallible>>) -> Response<String> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(answer).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => panic!("the answer is not there at once"),
    }
}

/// Which paths the rule of `require_by` is asked about.
fn asked(path: &str) -> Vec<String> {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let list = paths.clone();
    let layer = guard().require_by(move |head| {
        list.lock().unwrap().push(head.uri.path().to_owned());
        Require::valid_token()
    });
    let service =
        service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    // Whatever the answer is: the rule is asked first.
    let request = Request::get(path).body(String::new()).unwrap();
    at_once(layer.layer(service).oneshot(request));
    std::mem::take(&mut *paths.lock().unwrap())
}

#[test]
fn a_rule_about_a_path_is_asked_for_every_spelling_of_it() {
    for path in [
        "/private/file",
        "/%70rivate/file",
        "/%70%72%69%76%61%74%65/file",
        "//private/file",
        "///private//file",
        "/./private/file",
        "/%2e/private/file",
        "/%2E/private/file",
        "/a/../private/file",
        "/a/%2e%2e/private/file",
        "/a/.%2E/private/file",
        "/../private/file",
        "/a//../private/file",
        "/a/..//private/file",
        "/%2fprivate/file",
        "/private%2Ffile",
        "/private%2ffile",
        "/a%2f..%2fprivate%2ffile",
        "/private\\file",
        "/private%5cfile",
        "/private%5Cfile",
        "/a\\..\\private/file",
        "/private/%zz",
        "/%70rivate/%",
        "/%70rivate/%ff",
        "/%70rivate/%e9%zz",
        "/./private/?x=1",
        "http://orders.example//private/file",
    ] {
        let layer =
            guard().require_by(|head| secret_or_read(head.uri.path().starts_with("/private/")));
        let (status, inside) = send(&layer, path);
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(inside, None, "{path}");
    }
    for path in [
        "/public/file",
        "/public/private/file",
        "//public//file",
        "/private",
        "/Private/file",
        "/%50rivate/file",
        "/private/../file",
        "/%2570rivate/file",
        "/%252e/private/file",
        "/private;x=1/file",
        "/private%3B/file",
        "/private%00/file",
        "*",
        "http://private/file",
    ] {
        let layer =
            guard().require_by(|head| secret_or_read(head.uri.path().starts_with("/private/")));
        // What is passed on is the path as it was sent.
        let uri = path.parse::<Uri>().unwrap().to_string();
        let expected = match path {
            // Also as it was sent, which is where a router looks.
            "/private/../file" => (StatusCode::FORBIDDEN, None),
            _ => (StatusCode::OK, Some(uri)),
        };
        assert_eq!(send(&layer, path), expected, "{path}");
    }
}

#[test]
fn a_rule_that_names_a_file_is_asked_for_every_spelling_of_it() {
    for (named, spellings) in [
        ("/a.txt", &["/a.txt", "/a.txt/", "/a.txt/.", "//a.txt//", "/b/../a.txt/", "/%61.txt"][..]),
        ("/priv%C3%A9", &["/priv%C3%A9", "/priv%c3%a9", "/privé", "/%70riv%C3%a9"]),
        ("/privé", &["/privé", "/priv%C3%A9", "/priv%c3%a9", "//privé"]),
        ("/a|b[1]", &["/a|b[1]", "/a%7Cb%5B1%5D", "/a%7cb[1]"]),
        ("/a%7Cb", &["/a%7Cb", "/a%7cb", "/a|b"]),
        ("/a%20b", &["/a%20b", "/%61%20b", "//a%20b"]),
        ("/a%3Fb", &["/a%3Fb", "/a%3fb"]),
        ("/50%25", &["/50%25", "/%350%25", "/50%"]),
        ("/a%2Fb", &["/a%2Fb", "/a%2fb", "/%61%2fb", "/./a%2fb"]),
        ("/a:b@c;d=e", &["/a:b@c;d=e", "/a%3ab%40c%3Bd%3De"]),
        ("/a%5Cb", &["/a%5Cb", "/a%5cb", "/a\\b"]),
        ("/%FF", &["/%FF", "/%ff", "//%ff"]),
        ("/", &["/", "//", "/.", "/..", "/a/..", "/%2f", "/%2e%2E"]),
    ] {
        for path in spellings {
            let layer = guard().require_by(move |head| secret_or_read(head.uri.path() == named));
            assert_eq!(send(&layer, path).0, StatusCode::FORBIDDEN, "{path} for {named}");
        }
    }
}

#[test]
fn for_a_plain_path_the_rule_is_asked_once() {
    for path in [
        "/",
        "/orders",
        "/orders/7",
        "/orders/7?x=//%2e/..",
        "/.well-known/x",
        "/a..b/.c/...",
        "/a;b=c/d:e@f,g~h!$&'()*+",
    ] {
        assert_eq!(asked(path).len(), 1, "{path}");
    }
    for path in ["*", "http://orders.example"] {
        assert_eq!(asked(path).len(), 1, "{path}");
    }
}

#[test]
fn the_rule_is_asked_once_for_each_spelling() {
    assert_eq!(asked("/orders/"), ["/orders/", "/orders"]);
    assert_eq!(asked("//orders"), ["//orders", "/orders"]);
    assert_eq!(asked("/%6Frders"), ["/%6Frders", "/orders"]);
    assert_eq!(asked("/a/./b"), ["/a/./b", "/a/b"]);
    assert_eq!(asked("/a/%2e%2e/b"), ["/a/%2e%2e/b", "/b"]);
    // RFC 3986 removes the empty segment, a file system `a`.
    assert_eq!(asked("/a//../b"), ["/a//../b", "/a/b", "/b"]);
    // One router sees one segment, one file server two.
    assert_eq!(asked("/a%2fb"), ["/a%2fb", "/a%2Fb", "/a/b"]);
    assert_eq!(asked("/a/%zz"), ["/a/%zz", "/a/%25zz"]);
}

#[test]
fn the_rest_of_the_head_stays_whatever_the_spelling() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let list = heads.clone();
    let layer = guard().require_by(move |head| {
        let fields = head.headers.get("authorization").is_some();
        list.lock().unwrap().push((head.uri.to_string(), head.method.clone(), fields));
        Require::valid_token()
    });
    let (status, inside) = send(&layer, "http://orders.example//orders?page=2");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(inside.unwrap(), "http://orders.example//orders?page=2");
    assert_eq!(
        *heads.lock().unwrap(),
        [
            ("http://orders.example//orders?page=2".to_owned(), Method::GET, true),
            ("http://orders.example/orders?page=2".to_owned(), Method::GET, true),
        ]
    );
}

#[test]
fn what_is_required_is_what_the_rule_says_of_all_spellings() {
    let layer = guard().require_by(|head| match head.uri.path() {
        "//a/./b" => Require::from(Scope::from_static("sent")),
        "/a/b" => Require::from(Scope::from_static("resolved")),
        _ => Require::valid_token(),
    });
    let service =
        service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let request = Request::get("//a/./b").body(String::new()).unwrap();
    let response = at_once(layer.layer(service).oneshot(request));
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains(r#"scope="sent resolved""#), "{challenge}");
}

#[test]
fn a_path_that_is_too_long_to_be_spelled_in_other_ways_is_refused_for_good() {
    let layer = guard().require_by(|_| Require::valid_token());
    let refused = (StatusCode::FORBIDDEN, None);
    let long = |start: &str, length: usize| format!("{start}{}", "a".repeat(length - start.len()));
    assert_eq!(send(&layer, &long("//", 8192)).0, StatusCode::OK);
    assert_eq!(send(&layer, &long("//", 8193)), refused);
    // A plain one has no other spelling.
    assert_eq!(send(&layer, &long("/", 60_000)).0, StatusCode::OK);
    // The spelling is longer than what was sent, and together with the query longer than a URI.
    let spelled = format!("/{}?{}", "|".repeat(8_000), "q".repeat(50_000));
    assert_eq!(send(&layer, &spelled), refused);
}

// Inside axum.

async fn status(app: &Router, path: &str) -> StatusCode {
    let token = token().scope("orders:read").bearer();
    let request = Request::get(path).header("authorization", token).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn the_matched_path_stays_whatever_the_spelling() {
    let by_route = guard().require_by(|head| {
        let path = head.extensions.get().map_or("", MatchedPath::as_str);
        secret_or_read(path != "/orders/{id}")
    });
    let app = Router::new().route("/orders/{id}", get(async || "")).route_layer(by_route);
    for path in ["/orders/7", "/orders/a%2F..%2f%62", "/orders/%2e%2e", "/orders/.."] {
        assert_eq!(status(&app, path).await, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn inside_nested_routers_no_spelling_avoids_a_rule_about_either_path() {
    let by_rest = |guard: &Guard| {
        guard.require_by(|head| secret_or_read(head.uri.path().starts_with("/private/")))
    };
    let by_own = |guard: &Guard| {
        guard.require_by(|head| {
            let OriginalUri(uri) = head.extensions.get().unwrap();
            secret_or_read(uri.path().starts_with("/files/private/"))
        })
    };
    let by_both = |guard: &Guard| {
        guard.require_by(|head| {
            let OriginalUri(uri) = head.extensions.get().unwrap();
            let (own, rest) = (uri.path(), head.uri.path());
            secret_or_read(own == "/files/private/a" && rest == "/private/a")
        })
    };
    let files = service_fn(async |request: Request<Body>| {
        let OriginalUri(own) = request.extensions().get().unwrap();
        let both = format!("{own} {}", request.uri());
        Ok::<_, Infallible>(Response::new(Body::from(both)))
    });
    let guard = guard();
    for layer in [by_rest(&guard), by_own(&guard), by_both(&guard)] {
        let app = Router::new().nest_service("/files", layer.layer(files));
        for path in [
            "/files/private/a",
            "/files//private/a",
            "/files/%70rivate/a",
            "/files/./private/a",
            "/files/x%2f%2e%2E/private/a",
        ] {
            assert_eq!(status(&app, path).await, StatusCode::FORBIDDEN, "{path}");
        }
        for path in ["/files/public/a", "/files//public/a"] {
            assert_eq!(status(&app, path).await, StatusCode::OK, "{path}");
        }
    }
    // The service gets both as they were.
    let app = Router::new().nest_service("/files", by_own(&guard).layer(files));
    let token = token().scope("orders:read").bearer();
    let request = Request::get("/files/./%61?b").header("authorization", token);
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, "/files/./%61?b /./%61?b");
}

#[tokio::test]
async fn a_rule_about_a_captured_prefix_is_asked_for_its_spellings() {
    let layer = guard().require_by(|head| {
        let OriginalUri(uri) = head.extensions.get().unwrap();
        secret_or_read(uri.path().starts_with("/acme/"))
    });
    let orders = Router::new().route("/orders", get(async || "").route_layer(layer));
    let app = Router::new().nest("/{tenant}", orders);
    assert_eq!(status(&app, "/%61cme/orders").await, StatusCode::FORBIDDEN);
    assert_eq!(status(&app, "/other/orders").await, StatusCode::OK);
}

// File servers.

/// What a simple file server does: it decodes the path once and goes from directory to directory.
fn resolved(path: &str, is_separator: fn(u8) -> bool) -> Vec<Vec<u8>> {
    let path = path.split(['?', '#']).next().unwrap().as_bytes();
    let hex = |at: usize| {
        let digits = path.get(at..at + 2).filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
        u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).ok()
    };
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        match (path[at], hex(at + 1)) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    let mut directories: Vec<Vec<u8>> = Vec::new();
    for name in decoded.split(|byte| is_separator(*byte)) {
        match name {
            b"" | b"." => {}
            b".." => drop(directories.pop()),
            name => directories.push(name.to_vec()),
        }
    }
    directories
}

/// How a rule names the file: as a URI does, with nothing encoded that can stand in a path.
fn named(directories: &[Vec<u8>]) -> String {
    let mut name = String::new();
    for directory in directories {
        name.push('/');
        for byte in directory {
            match char::from(*byte) {
                plain if plain.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(plain) => {
                    name.push(plain);
                }
                _ => name.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    if name.is_empty() { "/".to_owned() } else { name }
}

fn path() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "/",
        "/",
        "/",
        "/",
        "//",
        "%2f",
        "%2F",
        "\\",
        "%5c",
        "%5C",
        ".",
        "..",
        "%2e",
        "%2E.",
        "a",
        "private",
        "%70rivate",
        "PRIVATE",
        ";p=1",
        "%3b",
        "%",
        "%zz",
        "%25",
        "%252e",
        "%ff",
        "é",
        "%c3%A9",
        "\"",
        "{",
        "%7C",
        "[",
        "%00",
        "%3f",
        "+",
        "%20",
    ];
    let pieces = prop::collection::vec(select(PIECES), 0..12);
    pieces.prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(4_000)
    })]

    #[test]
    fn whatever_a_file_server_resolves_a_path_to_the_rule_that_names_it_is_asked(path in path()) {
        let asked = asked(&path);
        let on_unix = named(&resolved(&path, |byte| byte == b'/'));
        let on_windows = named(&resolved(&path, |byte| matches!(byte, b'/' | b'\\')));
        prop_assert!(asked.contains(&on_unix), "{on_unix} in {asked:?}");
        prop_assert!(asked.contains(&on_windows), "{on_windows} in {asked:?}");
        // A rule about a directory, with a slash behind its name.
        if path.ends_with('/') {
            let directory = format!("{}/", on_unix.trim_end_matches('/'));
            prop_assert!(asked.contains(&directory), "{directory} in {asked:?}");
        }
        // First as it was sent, and no path twice.
        prop_assert_eq!(&asked[0], &path);
        for (at, path) in asked.iter().enumerate() {
            prop_assert!(!asked[..at].contains(path), "{path} again");
        }
    }
}

// Proofs.

#[test]
fn a_nonce_is_asked_for_if_any_spelling_of_the_path_asks() {
    let nonces = Nonces::new([7; 32]);
    let dpop = dpop().nonces(nonces);
    let guard =
        guard().dpop(dpop, store()).require_nonce_if(|_, path| path.starts_with("/payments/"));
    let raw = token().bound_to(proof_key()).scope("orders:read").sign();
    let ask = |path: &str| {
        let proof = proof(&raw).claim("htu", format!("{BASE}{path}")).sign();
        let mut head = dpop_head(path, &raw, &[&proof]);
        guard.authorize(&mut head, READ).now().unwrap().err().map(|denial| denial.reason())
    };
    assert_eq!(ask("/orders/7"), None);
    assert_eq!(ask("//orders/7"), None);
    for path in [
        "/payments/7",
        "//payments/7",
        "/payments//7",
        "/%70ayments/7",
        "/payments%2f7",
        "/payments%2F7",
        "/payments\\7",
        "/payments%5c7",
    ] {
        let reason = ask(path);
        // A proof names a URI, and a backslash cannot stand in one.
        let expected = match path.contains('\\') {
            true => Reason::DpopProofMalformed,
            false => Reason::DpopNonceRequired,
        };
        assert_eq!(reason, Some(expected), "{path}");
    }
}

#[test]
fn a_request_path_with_dot_segments_matches_no_proof() {
    let raw = token().bound_to(proof_key()).scope("orders:read").sign();
    let guard = guard().dpop(dpop(), store());
    for (sent, path) in [
        ("/./orders", "/orders"),
        ("/orders/.", "/orders/"),
        ("/a/../orders", "/orders"),
        ("/../orders", "/orders"),
        ("/..", "/"),
        ("/%2e/orders", "/orders"),
        ("/a/%2E%2e/orders", "/orders"),
        ("/a/.%2e/orders", "/orders"),
        ("/a%2f..%2forders", "/a%2F..%2Forders"),
        ("/a%2F%2e%2E", "/a%2F.."),
        ("/a%5c..%5Corders", "/a%5C..%5Corders"),
    ] {
        for htu in [sent, path] {
            let proof = proof(&raw).claim("htu", format!("{BASE}{htu}"));
            let possession_proof = proof.sign();
            let possession = Possession::dpop(&possession_proof, &Method::GET, sent);
            let plain = dpop().check(&possession, &raw, &proof_key().thumbprint(), now());
            assert_eq!(plain.unwrap_err(), Reason::DpopUriMismatch, "{sent} {htu}");
            let mut head =
                dpop_head(sent, &raw, &[&proof.claim("jti", format!("{sent}{htu}")).sign()]);
            let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
            assert_eq!(denial.reason(), Reason::DpopUriMismatch, "{sent} {htu}");
        }
    }
    // A proof may name its URI with dot segments (RFC 9449 section 4.3).
    let proof = |htu: &str| proof(&raw).claim("htu", format!("{BASE}{htu}")).sign();
    for (sent, htu) in [
        ("/orders", "/./orders"),
        ("/orders", "/a/../orders"),
        ("/.orders/..a/...", "/.orders/..a/..."),
        ("/%252e%252e/orders", "/%252e%252e/orders"),
    ] {
        let mut head = dpop_head(sent, &raw, &[&proof(htu)]);
        assert!(guard.authorize(&mut head, READ).now().unwrap().is_ok(), "{sent} {htu}");
    }
}
