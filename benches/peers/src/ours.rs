//! The guard of this crate, and its plain function.

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use time::UtcDateTime;
use tower::util::MapRequestLayer;
use unconfused::keys::{Backend, KeySet};
use unconfused::token::{UnverifiedToken, Validation};
use unconfused::{Audience, Guard, Issuer, Require, Scope};

use crate::lab::{AUDIENCE, ISSUER, Lab, SCOPE, bare};
use crate::measure::{Contender, Kind};

pub const BARE: &str = "bare axum router";
/// What the others are compared with.
pub const COLD: &str = "unconfused, OpenSSL, cold";

const ORDERS: Audience = Audience::from_static(AUDIENCE);
const REFUND: Scope = Scope::from_static(SCOPE);

pub fn contenders(lab: &Lab) -> Vec<Contender> {
    let layer = |name, guard: Guard| lab.layered(name, Kind::Layer, behind(&guard));
    let extension = bare().route_layer(extension_layer());
    vec![
        lab.layered(BARE, Kind::Bare, bare()),
        lab.layered("a layer that inserts an Arc", Kind::Bare, extension),
        layer(COLD, cold(Guard::new(ORDERS, issuer(lab)))),
        layer("unconfused, AWS-LC, cold", cold(Guard::new(ORDERS, aws_lc(issuer(lab))))),
        layer("unconfused, warm", Guard::new(ORDERS, issuer(lab))),
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
        ("unconfused, warm", behind(&Guard::new(ORDERS, issuer(lab)))),
    ]
}

fn behind(guard: &Guard) -> Router {
    bare().route_layer(guard.require(Require::scope(REFUND)))
}

fn issuer(lab: &Lab) -> Issuer {
    Issuer::new(ISSUER, lab.issuer.keys()).algorithms([lab.algorithm])
}

fn aws_lc(issuer: Issuer) -> Issuer {
    issuer.backend(Backend::AwsLc)
}

/// Every token is validated anew.
fn cold(guard: Guard) -> Guard {
    guard.token_cache_capacity(0)
}

fn validation(lab: &Lab) -> Validation {
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
    Contender::new(name, Kind::Plain, backend, run).accepting(accepts)
}

/// What any guard does at least: it leaves something for the handler.
fn extension_layer() -> MapRequestLayer<impl Fn(Request) -> Request + Clone> {
    let value = Arc::new(String::from("alice"));
    MapRequestLayer::new(move |mut request: Request| {
        request.extensions_mut().insert(value.clone());
        request
    })
}
