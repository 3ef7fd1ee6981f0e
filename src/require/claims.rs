//! Claims that a requirement asks for: roles, groups and the like.

use super::required_claim::{ClaimTest, RequiredClaim};
use super::requirement::Require;
use super::unmet::Unmet;
use crate::detail::MemberPath;
use crate::reason::Reason;
use crate::token::AccessToken;

impl Require {
    /// Requires that this issuer issued the token, and that a claim of it is exactly this string (`claim_not_met`).
    ///
    /// The path is a name, or an array of names that leads into nested objects. A string is one name, whatever it
    /// contains: `"https://shop.example/department"` is not a path. A claim that is absent or has another type does not
    /// meet it. The same name means something else in the token of another issuer, so the issuer belongs to the claim,
    /// and a token of any other issuer does not meet it.
    ///
    /// A claim is **evidence for coarse decisions**, as a scope is: what the issuer stated some time ago about the
    /// subject, no matter who acts for it now. The rule about one request belongs to a
    /// [policy](crate::guide::ask_a_policy_engine). The client is told what it is told of any rule of yours
    /// (`policy_denied`, 403, without a challenge), since no login brings another role. The record names the claim.
    ///
    /// ```
    /// use unconfused::{Require, Scope};
    ///
    /// const REFUND: Scope = Scope::from_static("orders:refund");
    /// const LOGIN: &str = "https://login.example";
    ///
    /// let refunds = Require::scope(REFUND)
    ///     .claim_is(LOGIN, "department", "returns")
    ///     .claim_contains(LOGIN, ["realm_access", "roles"], "refunds");
    /// assert_eq!(
    ///     refunds.to_string(),
    ///     r#"scope=orders:refund claim="department" is "returns" of "https://login.example" claim="realm_access"/"roles" contains "refunds" of "https://login.example""#
    /// );
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the claim is one that the guard judges itself, or is inside of one: `iss`, `sub`, `aud`, `exp`, `nbf`,
    /// `iat`, `jti`, `client_id`, `scope`, `cnf`, `act`, `may_act`, `acr`, `amr`, `auth_time`, `authorization_details`,
    /// `status` and `txn`. The other methods here ask for these.
    #[must_use]
    pub fn claim_is(
        self,
        issuer: impl Into<String>,
        path: impl Into<MemberPath>,
        value: impl Into<String>,
    ) -> Self {
        self.with_claim(issuer.into(), path.into(), ClaimTest::Is, value.into())
    }

    /// Requires that this issuer issued the token, and that a claim of it is an array of strings with this one among
    /// them (`claim_not_met`).
    ///
    /// Use it for roles and groups. An array that also has anything other than strings does not meet it. Everything
    /// else is as for [`claim_is`](Self::claim_is).
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use serde_json::json;
    /// use unconfused::{Audience, Guard, Reason, Require};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let ask = |guard: &Guard, token: unconfused::testing::TestToken, requirement: &Require| {
    /// #     let request = http::Request::get("/orders").header("authorization", token.bearer());
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, requirement).now().unwrap()
    /// # };
    ///
    /// let guard = Guard::new(ORDERS, login.issuer());
    /// let admins =
    ///     Require::valid_token().claim_contains("https://login.example", ["realm_access", "roles"], "orders-admin");
    ///
    /// let roles = |roles| login.token(&ORDERS).claim("realm_access", json!({ "roles": roles }));
    /// assert!(ask(&guard, roles(json!(["user", "orders-admin"])), &admins).is_ok());
    ///
    /// let denial = ask(&guard, roles(json!(["user"])), &admins).unwrap_err();
    /// assert_eq!(denial.reason(), Reason::ClaimNotMet);
    /// assert_eq!(denial.reason().for_client(), Reason::PolicyDenied);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics for the claims for which [`claim_is`](Self::claim_is) panics.
    #[must_use]
    pub fn claim_contains(
        self,
        issuer: impl Into<String>,
        path: impl Into<MemberPath>,
        value: impl Into<String>,
    ) -> Self {
        self.with_claim(issuer.into(), path.into(), ClaimTest::Contains, value.into())
    }

    #[expect(clippy::panic, reason = "a mistake of set-up")]
    fn with_claim(
        mut self,
        issuer: String,
        path: MemberPath,
        test: ClaimTest,
        value: String,
    ) -> Self {
        match RequiredClaim::new(issuer, path, test, value) {
            Ok(claim) => self.add_claim(claim),
            Err(problem) => panic!("{problem}"),
        }
        self
    }

    /// Adds a claim, unless it is asked for already.
    pub(super) fn add_claim(&mut self, claim: RequiredClaim) {
        if !self.claims.contains(&claim) {
            self.claims.push(claim);
        }
    }

    /// Returns true if no token states all claims that are asked for.
    pub(super) fn claims_exclude_each_other(&self) -> bool {
        self.claims.iter().any(|claim| {
            !self.admits_issuer(&claim.issuer)
                || self.claims.iter().any(|other| claim.excludes(other))
        })
    }

    /// Checks what the issuer states about the subject.
    pub(super) fn check_claims(&self, token: &AccessToken) -> Result<(), Unmet> {
        match self.claims.iter().find(|claim| !claim.is_met_by(token)) {
            None => Ok(()),
            Some(claim) => {
                let problem = format!("the requirement claim={claim}");
                Err(Unmet::new(Reason::ClaimNotMet).with_problem(problem))
            }
        }
    }
}
