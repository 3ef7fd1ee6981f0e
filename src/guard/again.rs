//! A token that comes again: what is asked of it once more. What is remembered is decided by the memory.

use std::sync::Arc;

use time::UtcDateTime;

use super::Guard;
use super::steps::Refused;
use crate::answer::Answer;
use crate::credential::Credential;
use crate::proof::Possession;
use crate::token::AccessToken;
use crate::verified::Verified;

impl Guard {
    /// The token as it is remembered, where all that it was verified by is as it was: the keys are asked for, and a tenant
    /// approved, as for any other.
    pub(super) fn known(&self, credential: &Credential, at: UtcDateTime) -> Option<Arc<Verified>> {
        let memory = &self.inner.verified;
        let known = memory.get(credential.expose().as_bytes(), at)?;
        let issuer = &known.issuer;
        let trusted = !issuer.is_of_template()
            || self.issuer(issuer.name()).is_some_and(|now| Arc::ptr_eq(&now, issuer));
        let same_keys = || match issuer.keys(known.key_hint()) {
            Answer::Now(Ok(keys)) => known.is_by(&keys),
            Answer::Now(Err(_)) | Answer::Later(_) => false,
        };
        if trusted && same_keys() {
            return Some(known);
        }
        memory.forget(&known);
        None
    }

    /// Steps 22 to 51, and 58, of a token that is remembered.
    pub(super) fn validate_again(
        &self,
        known: &Verified,
        credential: &Credential,
        possession: &Possession<'_>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let (claims, issuer) = (known.claims.clone(), &known.issuer);
        let shown = (credential.expose(), possession);
        let token = self.inner.terms.validate(claims, &issuer.terms, shown, at)?;
        issuer.verified();
        Ok(token)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use http::Request;

    use super::*;
    use crate::names::{Audience, Scope};
    use crate::testing::TestIssuer;

    const ORDERS: Audience = Audience::from_static("https://orders.example");
    const READ: Scope = Scope::from_static("orders:read");

    /// Is the token of this request remembered, once it was judged?
    fn is_known(guard: &Guard, token: &str) -> bool {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let credential = Credential::from_headers(&head.headers, 16_384).unwrap();
        let _ = guard.authorize(&mut head, READ).now().unwrap();
        guard.known(&credential, UtcDateTime::now()).is_some()
    }

    #[test]
    fn a_token_is_remembered_once_it_was_validated_whatever_was_decided() {
        let login = TestIssuer::new("https://login.example");
        let guard = Guard::new(ORDERS, login.issuer());
        let scoped = |scope| login.token(&ORDERS).scope(scope).sign();
        assert!(is_known(&guard, &scoped("orders:read")));
        assert!(is_known(&guard, &scoped("nothing")));
        assert!(!is_known(&guard.clone().remember_tokens(0), &scoped("orders:read")));
    }

    #[test]
    fn a_token_that_is_not_valid_is_not_remembered() {
        let login = TestIssuer::new("https://login.example");
        let guard = Guard::new(ORDERS, login.issuer());
        let elsewhere = Audience::from_static("https://billing.example");
        assert!(!is_known(&guard, &login.token(&elsewhere).scope("orders:read").sign()));
        let stranger = TestIssuer::new("https://login.example");
        assert!(!is_known(&guard, &stranger.token(&ORDERS).scope("orders:read").sign()));
    }

    #[test]
    fn a_change_of_the_settings_forgets_and_clones_share() {
        let login = TestIssuer::new("https://login.example");
        let guard = Guard::new(ORDERS, login.issuer());
        let token = login.token(&ORDERS).scope("orders:read").sign();
        assert!(is_known(&guard, &token));
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        let credential = Credential::from_headers(&head.headers, 16_384).unwrap();
        let now = UtcDateTime::now();
        assert!(guard.clone().known(&credential, now).is_some());
        assert!(guard.clone().single_audience().known(&credential, now).is_none());
        login.rotate();
        assert!(guard.known(&credential, now).is_none());
    }
}
