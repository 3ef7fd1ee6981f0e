//! A denial as a status.

use std::collections::HashMap;
use std::error::Error;

use super::*;
use tonic_types::StatusExt;
use unconfused::proof::{Dpop, Nonces};
use unconfused::{Acr, Denial};

/// A denial of this reason with as much in it as its class allows.
fn full(reason: Reason) -> Denial {
    let dpop = Dpop::for_base_url("https://orders.example").unwrap().nonces(Nonces::new([7; 32]));
    let denial = Denial::from(reason).with_scope_hint(&Require::scope(READ));
    denial.with_dpop(&dpop, None, now())
}

#[test]
fn a_status_tells_what_the_answer_of_the_layer_tells() {
    for reason in Reason::ALL {
        let denial = full(*reason);
        let answer = denial.clone().respond_grpc::<()>();
        let told = Status::from_header_map(answer.headers()).expect("a status");
        let mut metadata = told.metadata().clone();
        assert_eq!(metadata.remove("content-type").unwrap(), "application/grpc");

        let status = Status::from(denial.clone());
        assert_eq!(status.code(), told.code(), "{reason}");
        assert_eq!(status.code() as i32, denial.grpc_code(), "{reason}");
        assert_eq!(status.message(), told.message(), "{reason}");
        assert!(!status.details().is_empty());
        assert_eq!(status.details(), told.details(), "{reason}");
        let headers = |metadata: MetadataMap| metadata.into_headers();
        assert_eq!(headers(status.metadata().clone()), headers(metadata), "{reason}");
        // What tonic sends of it, and a client reads.
        let sent = status.clone().into_http::<()>();
        let read = Status::from_header_map(sent.headers()).unwrap();
        assert_eq!((read.code(), read.message()), (status.code(), status.message()));
        assert_eq!(
            all(read.metadata(), "www-authenticate"),
            all(status.metadata(), "www-authenticate")
        );
        assert_eq!(read.details(), status.details());
    }
}

#[test]
fn the_details_are_what_another_implementation_reads() {
    for reason in Reason::ALL {
        let denial = full(*reason);
        let scope = denial.challenge().is_some_and(|challenge| !challenge.scope().is_empty());
        let details = Status::from(denial).check_error_details().expect("google.rpc.Status");
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!(info.reason, reason.for_client().as_str().to_uppercase());
        assert_eq!(info.domain, "unconfused");
        let error = reason.oauth_error().map(|error| ("error".to_owned(), error.to_owned()));
        let scope = scope.then(|| ("scope".to_owned(), "orders:read".to_owned()));
        let expected: HashMap<_, _> = error.into_iter().chain(scope).collect();
        assert_eq!(info.metadata, expected, "{reason}");
    }
}

#[test]
fn the_denial_of_a_step_up_keeps_everything_that_its_challenge_asks_for() {
    let phr = Acr::from_static("phr");
    let refund = Require::scope(REFUNDS).acr([phr]).max_age(secs(300));
    let grant = token("orders:read").granted_by(&guard(), READ);
    let denial = guard().narrow(&grant, refund).now().unwrap().unwrap_err();
    let status = Status::from(denial.clone());
    assert_eq!(status.code(), Code::Unauthenticated);
    let challenge = all(status.metadata(), "www-authenticate").join("");
    assert!(challenge.contains(r#"acr_values="phr""#), "{challenge}");
    assert_eq!(all(status.metadata(), "decision-id"), [denial.decision().unwrap().to_string()]);
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!((&*info.metadata["acr_values"], &*info.metadata["max_age"]), ("phr", "300"));
}

#[test]
fn the_reason_for_the_operator_stays_in_the_process() {
    let status = Status::from(Denial::from(Reason::KeyNotFound));
    let source = status.source().and_then(|source| source.downcast_ref::<Denial>());
    assert_eq!(source.expect("the denial").reason(), Reason::KeyNotFound);
    let sent = status.clone().into_http::<()>();
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.reason, "SIGNATURE_INVALID");
    let told = format!("{:?} {info:?} {}", sent.headers(), status.message()).to_lowercase();
    assert!(!told.contains("key_not_found"), "{told}");
}

#[test]
fn a_status_that_is_printed_shows_no_nonce() {
    let denial = full(Reason::DpopNonceRequired);
    let nonce = denial.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let status = Status::from(denial);
    assert_eq!(all(status.metadata(), "dpop-nonce"), [&*nonce]);
    assert!(format!("{status:?}").contains("dpop-nonce"), "{status:?}");
    for printed in [format!("{status:?}"), format!("{status:#?}"), status.to_string()] {
        assert!(!printed.contains(&nonce), "{printed}");
    }
}
