//! Other grants, and other ways to authenticate at the server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use unconfused::approvals::SigningKey;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::next_hop::{ClientAuth, DomainGrant, HopError, NextHop, OutboundToken};
use unconfused::testing::TestToken;
use unconfused::{Audience, Denial, Reason};

use crate::server::{ACCESS_TOKEN, CHARGE, ISSUER, Orders, PAYMENTS, REFUND, Server, attached, ok};

fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_authenticates_in_the_way_that_it_is_set_up_with() {
    let orders = Orders::new();
    let ask = async |auth: ClientAuth| {
        let server = NextHop::discover(ISSUER, auth, orders.server.client()).unwrap();
        let hop = server.to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
        orders.token(&hop).await.unwrap();
        orders.server.asked().pop().unwrap()
    };
    // The name and the secret are encoded before they are joined.
    let asked = ask(ClientAuth::secret_basic("or:ders", "s3:cret é")).await;
    // or%3Aders:s3%3Acret+%C3%A9
    assert_eq!(asked.headers["authorization"], "Basic b3IlM0FkZXJzOnMzJTNBY3JldCslQzMlQTk=");
    assert!(asked.headers["authorization"].is_sensitive());
    assert!(!asked.form.contains_key("client_id"));

    let asked = ask(ClientAuth::secret_post("orders", "s3cret&x=y")).await;
    assert_eq!(
        (&*asked.form["client_id"], &*asked.form["client_secret"]),
        ("orders", "s3cret&x=y")
    );
    assert!(!asked.headers.contains_key("authorization"));

    let asked = ask(ClientAuth::tls("orders")).await;
    assert_eq!(asked.form["client_id"], "orders");
    assert!(!asked.form.contains_key("client_secret"));

    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let key = SigningKey::generate(algorithm, "k-1");
        let keys = KeySet::from_jwk(&key.public_jwk()).unwrap();
        let asked = ask(ClientAuth::private_key_jwt("orders", key)).await;
        assert_eq!(
            asked.form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let assertion = &asked.form["client_assertion"];
        keys.verify_signature_only(assertion, [algorithm]).unwrap();
        let (header, claims) = (part(assertion, 0), part(assertion, 1));
        assert_eq!((&header["kid"], &header["alg"]), (&json!("k-1"), &json!(algorithm.as_str())));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("orders"), &json!("orders")));
        // The issuer alone, as one string: an endpoint that metadata names may be that of another server.
        assert_eq!(claims["aud"], ISSUER);
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(life, 60);
        let again =
            ask(ClientAuth::private_key_jwt("orders", SigningKey::generate(algorithm, "k-1")))
                .await;
        assert_ne!(part(&again.form["client_assertion"], 1)["jti"], claims["jti"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_token_names_this_service_and_without_it_nothing_is_exchanged() {
    let orders = Orders::new();
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let server = orders.server.token_server().actor_token(jwt, || Some("workload".to_owned()));
    let hop = server.to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
    orders.token(&hop).await.unwrap();
    let form = orders.server.asked().pop().unwrap().form;
    assert_eq!((&*form["actor_token"], &*form["actor_token_type"]), ("workload", jwt));

    let server = orders.server.token_server().actor_token(jwt, || None);
    let hop = server.to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
    assert_eq!(orders.token(&hop).await.unwrap_err().reason(), Reason::NextHopUnavailable);
    assert_eq!(orders.server.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_on_the_services_own_behalf_needs_no_credential_and_is_kept_for_all() {
    let orders = Orders::new();
    let mut answer = ok("own");
    answer.as_object_mut().unwrap().remove("issued_token_type");
    orders.server.respond_json(200, &answer);
    let hop = orders.server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap();
    let hop = hop.on_own_behalf().needs(REFUND);
    let token = orders.token(&hop).await.unwrap();
    assert_eq!(attached(&token)["authorization"], "Bearer own");
    let asked = orders.server.asked();
    let form: Vec<_> = asked[0].form.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("resource", "https://payments.example"),
        ("scope", "payments:charge"),
    ];
    assert_eq!(form, expected);

    // Another subject, and work that no request caused.
    let bob = orders.server.token().subject("bob").granted_by(&orders.guard, REFUND);
    hop.token(&orders.guard, &bob).await.unwrap();
    hop.own_token().await.unwrap();
    assert_eq!(orders.server.asked().len(), 1);
    // What the hop needs is asked of a request all the same.
    let read = orders.server.login.token(&crate::server::ORDERS).scope("orders:read");
    let read = read.granted_by(&orders.guard, crate::server::READ);
    let denial = hop.token(&orders.guard, &read).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::InsufficientScope);
    // Without a request there is no credential to exchange.
    let error = orders.server.hop().own_token().await.unwrap_err();
    assert!(matches!(error, HopError::Misconfigured(_)));
}

const PARTNER: &str = "https://login.partner.example";
const AT_PARTNER: Audience = Audience::from_static(PARTNER);

/// Goes through the server of another domain, with this grant for it.
async fn through(
    kind: DomainGrant,
    issued_type: &str,
    assertion: impl Fn(TestToken) -> TestToken,
) -> (Result<OutboundToken, Denial>, Server, Server) {
    let orders = Orders::new();
    let partner = Server::named(PARTNER);
    let grant = orders.server.login.token(&AT_PARTNER).lifetime(std::time::Duration::from_secs(60));
    let body = json!({
        "access_token": assertion(grant).sign(),
        "issued_token_type": issued_type,
        "token_type": "N_A",
        "expires_in": 60,
    });
    orders.server.respond_json(200, &body);
    let hop = orders.server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap();
    let hop = hop.through(partner.token_server(), kind).needs(REFUND);
    (orders.token(&hop).await, orders.server, partner)
}

#[tokio::test(start_paused = true)]
async fn the_server_of_another_domain_gets_a_grant_that_was_issued_for_it() {
    for (kind, urn, typ) in [
        (DomainGrant::Jwt, "urn:ietf:params:oauth:token-type:jwt", "JWT"),
        (DomainGrant::IdJag, "urn:ietf:params:oauth:token-type:id-jag", "oauth-id-jag+jwt"),
    ] {
        let (token, server, partner) = through(kind, urn, |grant| grant.header("typ", typ)).await;
        assert_eq!(attached(&token.unwrap())["authorization"], "Bearer opaque");
        let asked = server.asked().pop().unwrap().form;
        assert_eq!((&*asked["audience"], &*asked["requested_token_type"]), (PARTNER, urn));
        assert_eq!(asked["resource"], PAYMENTS.as_str());
        let asked = partner.asked().pop().unwrap().form;
        assert_eq!(asked["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(part(&asked["assertion"], 1)["aud"], PARTNER);
        assert_eq!(asked["scope"], "payments:charge");
        // The credential itself stays with the first server.
        assert!(!asked.contains_key("subject_token"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_grant_for_the_other_server_is_not_sent_to_it() {
    let id_jag = "urn:ietf:params:oauth:token-type:id-jag";
    let refused = async |urn: &str, change: fn(TestToken) -> TestToken| {
        let (token, _, partner) = through(DomainGrant::IdJag, urn, change).await;
        assert_eq!(token.unwrap_err().reason(), Reason::NextHopUnavailable);
        assert_eq!(partner.asked().len(), 0);
    };
    refused(id_jag, |grant| grant).await; // an access token
    refused(ACCESS_TOKEN, |grant| grant.header("typ", "oauth-id-jag+jwt")).await;
    refused(id_jag, |grant| {
        grant.header("typ", "oauth-id-jag+jwt").claim("aud", "https://evil.example")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_token_is_of_its_trust_domain_and_goes_into_a_field_of_its_own() {
    const DOMAIN: Audience = Audience::from_static("trust.example");
    let urn = "urn:ietf:params:oauth:token-type:txn_token";
    let orders = Orders::new();
    let hop = || {
        let hop = orders.server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap();
        hop.transaction_token("trust.example").needs(REFUND)
    };
    let issued = |token: TestToken| {
        let token = token.scope("payments:charge").lifetime(std::time::Duration::from_secs(60));
        let mut answer = ok(&token.sign());
        answer["token_type"] = "N_A".into();
        answer["issued_token_type"] = urn.into();
        answer
    };
    let right = orders.server.login.token(&DOMAIN).header("typ", "txntoken+jwt");
    orders.server.respond_json(200, &issued(right.clone()));
    let token = orders.token(&hop()).await.unwrap();
    let headers = attached(&token);
    assert!(headers.contains_key("txn-token") && !headers.contains_key("authorization"));
    let form = orders.server.asked().pop().unwrap().form;
    assert_eq!((&*form["audience"], &*form["requested_token_type"]), ("trust.example", urn));

    let opaque = {
        let mut answer = issued(right.clone());
        answer["access_token"] = "opaque".into();
        answer
    };
    let other_domain = issued(right.clone().claim("aud", "other.example"));
    let access_token = issued(right.header("typ", "at+jwt"));
    for body in [opaque, other_domain, access_token] {
        orders.server.respond_json(200, &body);
        let denial = orders.token(&hop()).await.unwrap_err();
        assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    }
}
