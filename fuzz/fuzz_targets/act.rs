#![no_main]
//! Any `act` in claims that are right otherwise: at most 8 actors, the outermost acts.

use std::iter::successors;

use libfuzzer_sys::fuzz_target;
use unconfused_fuzz::{ISSUER, read_again, signed};

fuzz_target!(|act: &str| {
    let payload = format!(
        r#"{{"iss":"{ISSUER}","sub":"alice","aud":"https://orders.example","client_id":"c",
            "jti":"1","iat":1800000000,"exp":1800000300,"act":{act}}}"#
    );
    let Ok(token) = signed(&payload) else { return };
    let Some(claims) = read_again(&payload) else {
        return;
    };
    let mut chain: Vec<(&str, &str)> = successors(claims.get("act"), |link| link.get("act"))
        .map(|link| {
            let issuer = link.get("iss").map_or(ISSUER, |iss| iss.as_str().expect("a string"));
            (issuer, link["sub"].as_str().expect("a string"))
        })
        .collect();
    assert!((1..=8).contains(&chain.len()));
    assert!(chain.iter().all(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty()));
    // The subject alone is not a delegation.
    if chain == [(ISSUER, "alice")] {
        chain.clear();
    }
    let found = token.actor().into_iter().chain(token.prior_actors());
    assert!(found.map(|actor| (actor.issuer(), actor.name())).eq(chain));
});
