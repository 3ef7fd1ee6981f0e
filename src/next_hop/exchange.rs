//! The requests that get a token: one, or two if the resource is of another domain.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{ACCESS_TOKEN, Asked, Issued, TokenType};
use super::error::HopError;
use super::form::Form;
use super::kind::HopKind;
use super::outbound_token::{Kind, Target};
use super::server::TokenServer;
use crate::names::Scope;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TXN_TOKEN: &str = "urn:ietf:params:oauth:token-type:txn_token";
/// The types of access tokens. Some servers leave `typ` out, or write `JWT`.
const ACCESS_TOKEN_TYPES: &[&str] = &["at+jwt", "JWT", ""];

/// What is asked for, of whom, and by which grant.
pub(super) struct Exchange {
    pub(super) server: TokenServer,
    pub(super) target: Arc<Target>,
    pub(super) scopes: Vec<Scope>,
    pub(super) audience: Option<String>,
    pub(super) max_lifetime: Duration,
    pub(super) kind: HopKind,
}

impl Exchange {
    /// Asks for a token for this subject token, which is of no concern for one of the service's own.
    pub(super) async fn ask(&self, subject: &str) -> Result<(Issued, Kind), HopError> {
        let Exchange { server, target, audience, .. } = self;
        let name = audience.as_deref().unwrap_or(&target.resource);
        match &self.kind {
            HopKind::Exchange => {
                let form = self.exchange_form(subject, ACCESS_TOKEN)?;
                let asked = self.asked_access_token(server, name, Some(&[ACCESS_TOKEN]));
                let issued = server.request(&self.with_resource(form), &asked).await?;
                Ok((issued, kind_of(server)))
            }
            HopKind::OnOwnBehalf => {
                let form = Form::default().with("grant_type", "client_credentials");
                let asked = self.asked_access_token(server, name, None);
                let issued = server.request(&self.with_resource(form), &asked).await?;
                Ok((issued, kind_of(server)))
            }
            HopKind::Through { server: second, grant } => {
                let form = self.exchange_form(subject, grant.token_type())?;
                // The grant is for the other server, which is to issue a token for the resource.
                let form = form.with("audience", &second.issuer);
                let form = self.with_scope(form.with("resource", &target.resource));
                let asked = Asked {
                    token_type: TokenType::NotApplicable,
                    issued_token_type: Some(&[grant.token_type()]),
                    audience: &second.issuer,
                    jwt_types: grant.jwt_types(),
                    jwt_only: true,
                    jkt: None,
                    ..self.asked_access_token(server, name, None)
                };
                let assertion = server.request(&form, &asked).await?;
                let form = Form::default()
                    .with("grant_type", JWT_BEARER)
                    .with("assertion", &assertion.token);
                let asked = self.asked_access_token(second, name, None);
                let issued = second.request(&self.with_resource(form), &asked).await?;
                Ok((issued, kind_of(second)))
            }
            HopKind::Transaction { trust_domain } => {
                let form = self.exchange_form(subject, TXN_TOKEN)?.with("audience", trust_domain);
                let asked = Asked {
                    token_type: TokenType::NotApplicable,
                    issued_token_type: Some(&[TXN_TOKEN]),
                    audience: trust_domain,
                    jwt_types: &["txntoken+jwt"],
                    jwt_only: true,
                    jkt: None,
                    ..self.asked_access_token(server, name, None)
                };
                let issued = server.request(&self.with_scope(form), &asked).await?;
                Ok((issued, Kind::Transaction))
            }
        }
    }

    fn exchange_form(&self, subject: &str, requested: &str) -> Result<Form, HopError> {
        let form = Form::default()
            .with("grant_type", TOKEN_EXCHANGE)
            .with("subject_token", subject)
            .with("subject_token_type", ACCESS_TOKEN)
            .with("requested_token_type", requested);
        self.server.add_actor(form)
    }

    /// Adds the resource, by the name that the server knows it by, and the scopes.
    fn with_resource(&self, form: Form) -> Form {
        self.with_scope(match &self.audience {
            Some(audience) => form.with("audience", audience),
            None => form.with("resource", &self.target.resource),
        })
    }

    fn with_scope(&self, form: Form) -> Form {
        let scopes: Vec<_> = self.scopes.iter().map(Scope::as_str).collect();
        if scopes.is_empty() { form } else { form.with("scope", &scopes.join(" ")) }
    }

    /// What an access token of this server must be.
    fn asked_access_token<'a>(
        &'a self,
        server: &'a TokenServer,
        audience: &'a str,
        issued_token_type: Option<&'a [&'a str]>,
    ) -> Asked<'a> {
        let key = server.proof_key.as_ref();
        Asked {
            token_type: if key.is_some() { TokenType::Dpop } else { TokenType::Bearer },
            issued_token_type,
            scopes: &self.scopes,
            audience,
            jwt_types: ACCESS_TOKEN_TYPES,
            jwt_only: false,
            jkt: key.map(|key| key.thumbprint()),
            max_lifetime: self.max_lifetime,
        }
    }
}

/// How an access token of this server is sent.
fn kind_of(server: &TokenServer) -> Kind {
    server.proof_key.clone().map_or(Kind::Bearer, Kind::Dpop)
}
