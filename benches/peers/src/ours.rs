//! The guard of this crate, and its plain function.

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use time::UtcDateTime;
use tower::util::MapRequestLayer;
use unconfused::keys::{Backend, KeySet};
use unconfused::token::{UnverifiedToken, Validation};
use unconfused::{Audience, Guard, Issuer, Require, Scope};

use crate::lab::{AUDIENCE, ISSUER, Lab, SCOPE, bare};
use crate::measure::Contender;

pub const BARE: &str = "bare axum router";
/// What the others are compared with.
pub const COLD: &str = "unconfused, OpenSSL, cold";
pub const WARM: &str = "unconfused, warm";
pub const ARC: &str = "a layer that inserts an Arc";

pub const ORDERS: Audience = Audience::from_static(AUDIENCE);
const REFUND: Scope = Scope::from_static(SCOPE);

pub fn contenders(lab: &Lab) -> Vec<Contender> {
    let layer = |name, backend, guard: Guard| lab.layered(name, backend, behind(&guard));
    let aws_lc = issuer(lab).backend(Backend::AwsLc);
    vec![
        lab.bare::<Body, _, _>(BARE, bare()),
        lab.bare::<Body, _, _>(ARC, bare().route_layer(extension_layer())),
        layer(COLD, "OpenSSL", cold(Guard::new(ORDERS, issuer(lab)))),
        layer("unconfused, AWS-LC, cold", "AWS-LC", cold(Guard::new(ORDERS, aws_lc))),
        layer(WARM, "OpenSSL", Guard::new(ORDERS, issuer(lab))),
        plain("unconfused, OpenSSL: validate", "OpenSSL", lab, validation(lab)),
        plain(
            "unconfused, AWS-LC: validate",
            "AWS-LC",
            lab,
            validation(lab).backend(Backend::AwsLc),
        ),
    ]
}

/// Guards that several threads share: each token is validated, and cached if there is a cache.
pub fn shared(lab: &Lab) -> Vec<(&'static str, Router)> {
    vec![
        (BARE, bare()),
        (COLD, behind(&cold(Guard::new(ORDERS, issuer(lab))))),
        (WARM, behind(&Guard::new(ORDERS, issuer(lab)))),
    ]
}

pub fn behind(guard: &Guard) -> Router {
    bare().route_layer(guard.require(Require::scope(REFUND)))
}

pub fn issuer(lab: &Lab) -> Issuer {
    Issuer::new(ISSUER, lab.issuer.keys()).algorithms([lab.algorithm])
}

/// Every token is validated anew.
pub fn cold(guard: Guard) -> Guard {
    guard.token_cache_capacity(0)
}

pub fn validation(lab: &Lab) -> Validation {
    Validation::new(ORDERS, ISSUER).algorithms([lab.algorithm])
}

fn plain(
    name: &'static str,
    backend: &'static str,
    lab: &Lab,
    validation: Validation,
) -> Contender {
    let valid = move |token: &str, keys: &KeySet| {
        let token = UnverifiedToken::parse(token)?;
        token.validate(&validation, keys, UtcDateTime::now())
    };
    let (keys, token, asked) = (lab.issuer.keys(), lab.token.clone(), valid.clone());
    let run = move |times| {
        (0..times).for_each(|_| assert!(black_box(valid(black_box(&token), &keys)).is_ok()));
    };
    let keys = lab.issuer.keys();
    let accepts = move |token: &str| asked(token, &keys).is_ok();
    Contender::plain(name, backend, run).accepting(accepts)
}

/// What any guard does at least: it leaves something for the handler.
pub fn extension_layer() -> MapRequestLayer<impl Fn(Request) -> Request + Clone> {
    let value = Arc::new(String::from("alice"));
    MapRequestLayer::new(move |mut request: Request| {
        request.extensions_mut().insert(value.clone());
        request
    })
}
