//! gRPC: what rules let pass, and what clients are told.

mod answers;
mod details;
mod guide;
mod rules;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use crate::common::*;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use unconfused::layer::{Rules, RulesLayer};
use unconfused::testing::TestToken;
use unconfused::{Denial, Grant, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const REFUND: Scope = Scope::from_static("orders:refund");
const LIST: &str = "/orders.v1.Orders/List";
const REFUND_PATH: &str = "/orders.v1.Orders/Refund";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

fn rules() -> Rules {
    Rules::new().on(LIST, READ).on(REFUND_PATH, REFUND).open(HEALTH)
}

fn reader() -> TestToken {
    token().scope("orders:read")
}

/// A call as gRPC clients make it, with these `authorization` entries.
fn call(path: &str, authorization: &[&str]) -> Request<String> {
    let mut request = Request::post(path).header("content-type", "application/grpc");
    for value in authorization {
        request = request.header("authorization", *value);
    }
    request.body(String::new()).unwrap()
}

/// The answer to a call, and the head that reached the service, if it did.
async fn through(
    layer: &RulesLayer,
    request: Request<String>,
) -> (Response<String>, Option<Parts>) {
    let seen = Arc::new(Mutex::new(None));
    let inner = seen.clone();
    let service = service_fn(move |request: Request<String>| {
        *inner.lock().unwrap() = Some(request.into_parts().0);
        std::future::ready(Ok::<_, Infallible>(Response::new("inside".to_owned())))
    });
    let Ok(response) = layer.layer(service).oneshot(request).await;
    let seen = seen.lock().unwrap().take();
    (response, seen)
}

/// The reason of an answer that is refused, after checking that it is one of gRPC.
#[track_caller]
fn refused((response, seen): &(Response<String>, Option<Parts>)) -> Reason {
    assert!(seen.is_none(), "it reached the service");
    let denial = response.extensions().get::<Denial>().expect("a denial");
    assert_is_trailers_only(response, denial.grpc_code());
    denial.reason()
}

/// A response without a body, whose headers are the trailers.
#[track_caller]
fn assert_is_trailers_only(response: &Response<String>, code: i32) {
    assert_eq!(response.status(), 200);
    assert_eq!(all(response.headers(), "content-type"), ["application/grpc"]);
    assert_eq!(all(response.headers(), "grpc-status"), [code.to_string()]);
    assert!(response.body().is_empty());
}

fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}
