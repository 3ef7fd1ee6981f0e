//! Mistakes of set-up: a panic if a layer shows them, and 500 otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[track_caller]
pub(super) fn panics(expected: &str, make: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(make)).expect_err("it panics");
    let message = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap();
    assert!(message.contains(expected), "{message}");
}

fn plain() -> Guard {
    guard().detail_type(refund_type())
}

#[test]
fn a_layer_that_needs_approvals_panics_if_the_guard_cannot_ask_for_them() {
    let other = TestIssuer::new(OTHER);
    for (guard, expected) in [
        (plain(), "call `Guard::approvals`"),
        (plain().replay(store()), "call `Guard::approvals`"),
        (plain().approvals(approvals()), "call `Guard::replay`"),
        (
            plain().replay(store()).approvals(Approvals::new(
                SigningKey::generate(Algorithm::Es256, "k"),
                SECRET,
                "https://unknown.example",
            )),
            "does not trust the server `https://unknown.example`",
        ),
        (approving().trust(other.issuer()), "call `Approvals::requester`"),
    ] {
        panics(expected, || drop(guard.require(approved_refund())));
        panics(expected, || drop(guard.require(REFUND).approvable()));
        let either = Require::detail(refund().approved_or_granted());
        panics(expected, || drop(guard.require(either)));
        // A layer that needs none is made.
        drop(guard.require(REFUND));
    }
}

#[test]
fn a_handler_that_needs_approvals_is_answered_with_500() {
    for guard in [plain(), plain().replay(store()), plain().approvals(approvals())] {
        for detail in [refund().approved(), refund().approved_or_granted()] {
            let grant = send(&guard, &ordinary(), REFUND).unwrap();
            let denial = guard.narrow(&grant, Require::detail(detail)).now().unwrap().unwrap_err();
            assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::InternalError, 500));
            assert!(
                denial.for_operator().to_string().contains("must be approved"),
                "{}",
                denial.for_operator()
            );
        }
    }
    // A token of an issuer that the server cannot name is the owner's mistake too.
    let other = TestIssuer::new(OTHER);
    let guard = approving().trust(other.issuer());
    let foreign = other.token(&ORDERS).issued_at(now()).scope("orders:refund");
    let denial = send(&guard, &foreign, approved_refund()).unwrap_err();
    assert_eq!(denial.reason(), Reason::InternalError);
    assert!(
        denial.for_operator().to_string().contains("Approvals::requester"),
        "{}",
        denial.for_operator()
    );
}

#[test]
fn numbers_and_texts_out_of_range_panic() {
    let day = secs(24 * 60 * 60);
    let _ = approvals().time_to_approve(day);
    panics("at most 24 hours", || drop(approvals().time_to_approve(day + secs(1))));
    panics("one of its braces", || drop(approvals().reason("order_refund", "Refund {amount")));
    let rsa = SigningKey::generate(Algorithm::Es384, "k");
    panics("ES256 or Ed25519", || drop(Approvals::new(rsa, SECRET, LOGIN)));
}

#[test]
fn a_reason_that_names_a_member_that_is_not_there_is_500() {
    let guard = approving().approvals(approvals().reason("order_refund", "Pay {iban}?"));
    let denial = send(&guard, &ordinary(), approved_refund()).unwrap_err();
    assert_eq!(denial.reason(), Reason::InternalError);
    assert!(denial.for_operator().to_string().contains("`iban`"), "{}", denial.for_operator());
}
