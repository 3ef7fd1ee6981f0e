//! The other crates, set up as their documentation recommends, for the same issuer, audience and algorithm.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, StatusCode, Uri};
use huskarl_resource_server::core::Error as HuskarlError;
use huskarl_resource_server::core::http::{HttpClient, HttpResponse, Idempotency};
use huskarl_resource_server::core::jwt::JtiUniquenessChecker;
use huskarl_resource_server::core::platform::MaybeSendBoxFuture;
use huskarl_resource_server::validator::rfc9068::Rfc9068Validator;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use jwt_authorizer::{Authorizer, IntoLayer, JwtAuthorizer};
use oauth_resource_server::axum::AuthLayer;
use oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator};
use serde::Deserialize;
use tower::{Layer, Service};
use tower_oauth2_resource_server::server::OAuth2ResourceServer;
use tower_oauth2_resource_server::tenant::TenantConfiguration;
use tower_oauth2_resource_server::validation::ClaimsValidationSpec;

use crate::bound::Seen;
use crate::lab::{AUDIENCE, BASE, Fallible, ISSUER, Lab, PATH, SCOPE, bare};
use crate::measure::Contender;

const BARE_07: &str = "bare axum 0.7 router";

type Setup = fn(&Lab) -> Fallible<Vec<Contender>>;

/// What can be run for this algorithm, and what cannot, and why.
pub fn contenders(lab: &Lab) -> (Vec<Contender>, Vec<(&'static str, String)>) {
    let setups: [(&str, Setup); 5] = [
        ("tower-oauth2-resource-server", tower_oauth2),
        ("jwt-authorizer", jwt_authorizer),
        ("huskarl-resource-server", huskarl),
        ("oauth-resource-server", oauth_resource_server),
        ("jsonwebtoken", plain),
    ];
    let (mut running, mut not_run) = (Vec::new(), Vec::new());
    for (name, setup) in setups {
        match setup(lab) {
            Ok(contenders) => running.extend(contenders),
            Err(why) => not_run.push((name, why.to_string())),
        }
    }
    (running, not_run)
}

/// With `jwks_url` it checks no issuer unless it is told to. (`nbf(true)` would refuse every token without one.)
fn tower_oauth2(lab: &Lab) -> Fallible<Vec<Contender>> {
    let claims = ClaimsValidationSpec::new().exp(true).iss(ISSUER).aud(&vec![AUDIENCE.to_owned()]);
    let layer = lab.background.block_on(async {
        let tenant = TenantConfiguration::builder(ISSUER)
            .jwks_url(&lab.jwks_url)
            .audiences(&[AUDIENCE])
            .claims_validation(claims)
            .build()
            .await?;
        let server = <OAuth2ResourceServer>::builder().add_tenant(tenant).build().await?;
        // It fetches in a task, and says nothing once it has.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        Fallible::Ok(server.into_layer())
    })?;
    let router = bare().route_layer(layer);
    Ok(vec![lab.layered("tower-oauth2-resource-server", "AWS-LC", router)])
}

/// For axum 0.7, and so with a baseline of its own.
fn jwt_authorizer(lab: &Lab) -> Fallible<Vec<Contender>> {
    let bare = || axum_07::Router::new().route(PATH, axum_07::routing::post(|| async {}));
    let validation = jwt_authorizer::Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).nbf(true);
    let builder: JwtAuthorizer = JwtAuthorizer::from_jwks_url(&lab.jwks_url).validation(validation);
    let authorizer: Authorizer = lab.background.block_on(builder.build())?;
    let router = bare().route_layer(authorizer.into_layer());
    Ok(vec![
        lab.bare::<axum_07::body::Body, _, _>(BARE_07, bare()),
        lab.layered_over::<axum_07::body::Body, _, _>("jwt-authorizer", BARE_07, "ring", router),
    ])
}

fn oauth_resource_server(lab: &Lab) -> Fallible<Vec<Contender>> {
    let config = OAuthConfig {
        enabled: true,
        issuer: ISSUER.into(),
        jwks_uri: Some(lab.jwks_url.clone()),
        audience: AUDIENCE.into(),
        resource: AUDIENCE.into(),
        required_scope: Some(SCOPE.into()),
        algorithms: vec![lab.alg.into()],
        require_at_jwt: true,
        ..OAuthConfig::default()
    };
    let resolved = config.resolve(KeyNaming::Dotted("oauth"))?.ok_or("not enabled")?;
    let validator = Arc::new(OAuthValidator::new(&resolved)?);
    lab.background.block_on(async {
        validator.spawn_background_refresh();
        validator.refresh_now().await
    })?;
    let router = bare().route_layer(AuthLayer::builder().oauth(validator).build()?);
    Ok(vec![lab.layered("oauth-resource-server", "ring", router)])
}

fn huskarl(lab: &Lab) -> Fallible<Vec<Contender>> {
    let router = huskarl_router(lab, None)?;
    Ok(vec![lab.layered("huskarl-resource-server", "RustCrypto", router)])
}

/// With what it needs to check proofs: how old they may be, and which it has seen.
pub fn huskarl_router(lab: &Lab, dpop: Option<(Duration, Seen)>) -> Fallible<Router> {
    let is_dpop = dpop.is_some();
    let (max_age, seen) = dpop.unwrap_or_else(|| (Duration::from_mins(1), Seen::default()));
    let building = Rfc9068Validator::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .allowed_signing_algorithms(vec![lab.alg.to_owned()])
        .max_dpop_proof_age(max_age)
        .maybe_dpop_jti_checker(is_dpop.then(|| Arc::new(seen) as Arc<dyn JtiUniquenessChecker>))
        .jwks_uri(lab.jwks_url.parse()?)
        .jwks_source(Keys(lab.issuer.jwks().into()))
        .build();
    let validator = Arc::new(lab.background.block_on(building)?);
    // A proof is for an absolute URL, and the request has the path alone.
    let base = if is_dpop { Some(BASE.parse::<Uri>()?.into_parts()) } else { None };
    let base = base.and_then(|base| base.scheme.zip(base.authority));
    Ok(bare().route_layer(Huskarl { validator, base, inner: () }))
}

/// It leaves the HTTP client to its user, and asks for the keys alone.
struct Keys(Bytes);

impl HttpClient for Keys {
    fn execute(
        &self,
        _: http::Request<Bytes>,
        _: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, HuskarlError>> {
        let body = self.0.clone();
        let headers = HeaderMap::new();
        Box::pin(async move { Ok(HttpResponse { status: StatusCode::OK, headers, body }) })
    }
}

/// It has no layer of its own for axum that is released, so this is the least that one does.
#[derive(Clone)]
struct Huskarl<S> {
    validator: Arc<Rfc9068Validator>,
    base: Option<(Scheme, Authority)>,
    inner: S,
}

impl<S> Layer<S> for Huskarl<()> {
    type Service = Huskarl<S>;

    fn layer(&self, inner: S) -> Huskarl<S> {
        Huskarl { validator: self.validator.clone(), base: self.base.clone(), inner }
    }
}

impl<S> Service<Request> for Huskarl<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let (validator, base) = (self.validator.clone(), self.base.clone());
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let (headers, method) = (request.headers(), request.method());
            let url = base.map(|(scheme, authority)| {
                let mut url = request.uri().clone().into_parts();
                (url.scheme, url.authority) = (Some(scheme), Some(authority));
                Uri::from_parts(url).expect("a URL")
            });
            let uri = url.as_ref().unwrap_or(request.uri());
            let result = validator.validate_request(headers, method, uri, None).await;
            if !matches!(result.outcome, Ok(Some(_))) {
                let rejection = result.rejection(&validator.validator_metadata(None), None);
                let status = rejection.map_or(StatusCode::UNAUTHORIZED, |no| no.status);
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = status;
                return Ok(answer);
            }
            request.extensions_mut().insert(Arc::new(result.outcome));
            inner.call(request).await
        })
    }
}

/// What most handlers ask for; the rest of the token is skipped.
#[derive(Clone, Deserialize)]
#[expect(dead_code, reason = "read for what it costs")]
struct Claims {
    sub: String,
    client_id: String,
    scope: String,
    exp: u64,
}

/// `jsonwebtoken` has no layer. It is the function that the others call too.
fn plain(lab: &Lab) -> Fallible<Vec<Contender>> {
    let keys: JwkSet = serde_json::from_str(&lab.issuer.jwks())?;
    let key = DecodingKey::from_jwk(keys.keys.first().ok_or("no key")?)?;
    let mut validation = Validation::new(lab.alg.parse::<Algorithm>()?);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let decode = move |token: &str| {
        jsonwebtoken::decode::<Claims>(black_box(token), &key, &validation).is_ok()
    };
    let (token, asked) = (lab.token.clone(), decode.clone());
    let run = move |times| (0..times).for_each(|_| assert!(black_box(decode(&token))));
    let contender = Contender::plain("jsonwebtoken: decode", "AWS-LC", run);
    Ok(vec![contender.accepting(move |token| asked(token))])
}
