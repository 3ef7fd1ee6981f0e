//! Whom an approval is for: the key of the first token, and requesters that another server names.

use unconfused::Party;
use unconfused::approvals::{Requester, TransactionServer};
use unconfused::proof::ClientCertificate;
use unconfused::testing::TestProofKey;

use super::*;

const UNKNOWN: Option<Reason> = Some(Reason::TransactionUnknown);

/// A guard that accepts proofs and certificates.
fn possession_guard() -> Guard {
    let guard = approving().dpop(dpop(), store());
    guard.client_certificate(ClientCertificate::from_connection)
}

/// Sends a token with a proof of this key, over a connection with the certificate of the client.
fn send_with(
    guard: &Guard,
    token: &TestToken,
    key: Option<&TestProofKey>,
) -> Result<Grant, Denial> {
    send_over(guard, token, key, "ours")
}

fn send_over(
    guard: &Guard,
    token: &TestToken,
    key: Option<&TestProofKey>,
    certificate: &str,
) -> Result<Grant, Denial> {
    let mut head = request(token);
    if let Some(key) = key {
        let raw = token.sign();
        let url = "https://orders.example/orders/7/refund";
        let proof = key.proof("GET", url).issued_at(now()).token(&raw).sign();
        head.headers.insert("authorization", format!("DPoP {raw}").parse().unwrap());
        head.headers.insert("dpop", proof.parse().unwrap());
    }
    head.extensions.insert(ClientCertificate::from_der(certificate));
    guard.authorize(&mut head, approved_refund()).now().unwrap()
}

#[test]
fn a_token_that_was_bound_comes_back_bound_to_the_same_key() {
    let guard = possession_guard();
    let (ours, theirs) = (proof_key(), other_key());
    let denial = send_with(&guard, &ordinary().bound_to(ours), Some(ours)).unwrap_err();
    // The scheme of the challenge is the one that the client used.
    assert!(challenge(&denial).starts_with("DPoP error=\"transaction_authorization_required\""));
    let token = issued(login(), &part(&signed(&denial), 1), now());
    let reason = |answer: Result<Grant, Denial>| answer.err().map(|denial| denial.reason());
    assert_eq!(reason(send_with(&guard, &token, None)), UNKNOWN);
    assert_eq!(reason(send_with(&guard, &token.clone().bound_to(theirs), Some(theirs))), UNKNOWN);
    let certificate = ClientCertificate::from_der("ours");
    assert_eq!(
        reason(send_with(&guard, &token.clone().bound_to_certificate(certificate), None)),
        UNKNOWN
    );
    assert_eq!(reason(send_with(&guard, &token.bound_to(ours), Some(ours))), None);
}

#[test]
fn a_token_that_was_bound_to_a_certificate_comes_back_bound_to_the_same_one() {
    let guard = possession_guard();
    let certificate = ClientCertificate::from_der("ours");
    let first = ordinary().bound_to_certificate(certificate);
    let denial = send_with(&guard, &first, None).unwrap_err();
    let token = issued(login(), &part(&signed(&denial), 1), now());
    let reason = |answer: Result<Grant, Denial>| answer.err().map(|denial| denial.reason());
    assert_eq!(reason(send_with(&guard, &token, None)), UNKNOWN);
    let theirs = token.clone().bound_to_certificate(ClientCertificate::from_der("theirs"));
    assert_eq!(reason(send_over(&guard, &theirs, None, "theirs")), UNKNOWN);
    assert_eq!(reason(send_with(&guard, &token.bound_to_certificate(certificate), None)), None);
}

#[test]
fn a_token_that_was_not_bound_may_come_back_bound() {
    let guard = possession_guard();
    let denial = send_with(&guard, &ordinary(), None).unwrap_err();
    let token = issued(login(), &part(&signed(&denial), 1), now()).bound_to(proof_key());
    assert!(send_with(&guard, &token, Some(proof_key())).is_ok());
}

/// A guard that trusts the issuer of ordinary tokens and another server, and how that one names agents.
fn two_servers(account: bool) -> (Guard, TestIssuer) {
    let server = TestIssuer::new(OTHER);
    let own = Approvals::new(SigningKey::generate(Algorithm::Es256, "c2"), SECRET, OTHER);
    let own = own.requester(move |token, server| {
        assert_eq!(server, OTHER);
        let actor =
            token.actor().map(|actor| Party::new(OTHER, format!("foreign-{}", actor.name())));
        let requester = Requester::new(actor);
        match account {
            true => Some(
                requester.subject_and_client(format!("{}@login", token.subject().name()), "broker"),
            ),
            false if token.subject().name() == "nobody" => None,
            false => Some(requester),
        }
    });
    let guard = guard().trust(server.issuer()).detail_type(refund_type());
    (guard.approvals(own).replay(store()), server)
}

#[test]
fn another_server_names_the_requester_as_the_owner_says() {
    let (guard, server) = two_servers(false);
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    assert_eq!(challenge["aud"], OTHER);
    // The challenge names the actor that was verified.
    assert_eq!(challenge["act"], json!({"iss": LOGIN, "sub": "agent-7"}));
    let named = |name: &str| issued(&server, &challenge, now()).claim("act", json!({"sub": name}));
    assert_eq!(reason(&guard, &named("agent-7"), approved_refund()), UNKNOWN);
    // Its subject and client are not compared, since only the owner could say what they are.
    let token = named("foreign-agent-7").subject("anyone").client("any");
    assert!(send(&guard, &token, approved_refund()).is_ok());
    // The issuer of the first token is not the server.
    let own = issued(login(), &challenge, now());
    assert_eq!(reason(&guard, &own, approved_refund()), UNKNOWN);
}

#[test]
fn an_approval_by_one_server_is_not_one_by_another() {
    let (guard, server) = two_servers(false);
    // No actor, no key, and subjects that are not compared: the tokens differ in nothing but the server.
    let challenge = challenged(&guard, &token().scope("orders:refund"), approved_refund());
    let own = issued(login(), &challenge, now());
    assert_eq!(reason(&guard, &own, approved_refund()), UNKNOWN);
    assert!(send(&guard, &issued(&server, &challenge, now()), approved_refund()).is_ok());
}

#[test]
fn the_owner_may_name_subject_and_client_at_another_server_too() {
    let (guard, server) = two_servers(true);
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let token = |subject: &str, client: &str| {
        let token =
            issued(&server, &challenge, now()).claim("act", json!({"sub": "foreign-agent-7"}));
        token.subject(subject).client(client)
    };
    assert_eq!(reason(&guard, &token("alice", "broker"), approved_refund()), UNKNOWN);
    assert_eq!(reason(&guard, &token("alice@login", "app"), approved_refund()), UNKNOWN);
    assert!(send(&guard, &token("alice@login", "broker"), approved_refund()).is_ok());
}

#[test]
fn a_requester_whom_the_server_cannot_name_is_refused_for_good() {
    let (guard, _) = two_servers(false);
    let denial = send(&guard, &ordinary().subject("nobody"), approved_refund()).unwrap_err();
    assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
    assert_eq!(denial.status(), 403);
    assert!(denial.challenge().is_none());
}

#[test]
fn the_owner_chooses_the_server() {
    let other = TestIssuer::new(OTHER);
    let with = |server: TransactionServer| {
        let key = SigningKey::generate(Algorithm::Es256, "c3");
        let own =
            Approvals::new(key, SECRET, server).requester(|token, _| Some(Requester::of(token)));
        guard().trust(other.issuer()).detail_type(refund_type()).approvals(own).replay(store())
    };
    // Each issuer for its own tokens.
    let guard = with(TransactionServer::issuer_of_token());
    assert_eq!(challenged(&guard, &ordinary(), approved_refund())["aud"], LOGIN);
    let foreign = other.token(&ORDERS).issued_at(now()).scope("orders:refund");
    assert_eq!(challenged(&guard, &foreign, approved_refund())["aud"], OTHER);
    // By a rule, which sees the details.
    let guard = with(TransactionServer::choose(|_, details| {
        assert_eq!(details[0].type_name(), "order_refund");
        OTHER.to_owned()
    }));
    assert_eq!(challenged(&guard, &ordinary(), approved_refund())["aud"], OTHER);
    // A server whose tokens would not be accepted is a mistake.
    let guard = with(TransactionServer::choose(|_, _| "https://unknown.example".to_owned()));
    let denial = send(&guard, &ordinary(), approved_refund()).unwrap_err();
    assert_eq!(denial.reason(), Reason::InternalError);
    assert!(
        denial.for_operator().to_string().contains("does not trust the server"),
        "{}",
        denial.for_operator()
    );
}
