//! A policy, ready to be asked about tokens: what the crate checks, and what is left for the owner's code.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use time::UtcDateTime;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::proof::{Dpop, Possession};
use unconfused::token::{TokenLimits, UnverifiedToken, Validation};
use unconfused::{AccessToken, Actor, Party, Reason, Require};

use crate::policy::Policy;
use crate::signature::payload_value;

/// A policy, in the terms of this crate.
pub(crate) struct Expected {
    pub(crate) validation: Validation,
    /// No name in the policy can be an audience.
    pub(crate) without_audience: bool,
    /// Claims that must be there.
    pub(crate) claims: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) require: Require,
    /// Why every token is refused: the policy asks for a name that no token can have.
    pub(crate) lack: Option<Reason>,
    pub(crate) any_actor: bool,
    pub(crate) every_hop: Option<Vec<Party<'static>>>,
    pub(crate) no_act: bool,
    pub(crate) claim_equals: Map<String, Value>,
    /// Members of `cnf` that must be there.
    pub(crate) bound_by: Vec<&'static str>,
}

impl Expected {
    pub(crate) fn from_policy(policy: &Policy) -> Option<Self> {
        let audiences = policy.audiences()?;
        let (require, lack) = policy.require()?;
        Some(Expected {
            validation: policy.validation(&audiences)?,
            without_audience: audiences.is_empty(),
            claims: policy.claims()?.into_iter().map(str::to_owned).collect(),
            algorithms: policy.algorithms()?,
            require,
            lack,
            any_actor: policy.actors()?.is_none(),
            every_hop: policy.every_hop()?,
            no_act: policy.no_act()?,
            claim_equals: policy.claim_equals()?,
            bound_by: policy.bound_by()?,
        })
    }

    pub(crate) fn validate(
        &self,
        token: &str,
        (dpop, possession): (&Dpop, Possession<'_>),
        max_bytes: usize,
        keys: &KeySet,
        now: UtcDateTime,
    ) -> Result<AccessToken, Reason> {
        let mut validation = self.validation.clone().dpop(dpop.clone());
        if !self.bound_by.is_empty() {
            validation = validation.sender_constrained();
        }
        let limits = TokenLimits::default().max_bytes(max_bytes);
        let token = UnverifiedToken::parse_with(token, &limits)
            .and_then(|token| token.with_possession(possession).validate(&validation, keys, now))
            .map_err(|invalid| invalid.reason())?;
        let cnf = token.claim::<Value>("cnf").ok().flatten().unwrap_or_default();
        if !self.bound_by.iter().all(|member| cnf.get(member).is_some()) {
            return Err(Reason::SenderConstraintRequired);
        }
        if !self.claims.iter().all(|name| has_value(&token, name)) {
            return Err(Reason::RequiredClaimMissing);
        }
        match self.without_audience {
            true => Err(Reason::AudienceMismatch),
            false => Ok(token),
        }
    }

    /// Tells whether the token lacks only claims that this crate requires and the policy does not.
    pub(crate) fn requires_less(&self, reason: Reason, token: &str, keys: &KeySet) -> bool {
        if reason != Reason::RequiredClaimMissing {
            return false;
        }
        let Ok(payload) = keys.verify_signature_only(token, self.algorithms.iter().copied()) else {
            return false;
        };
        let lacks = |name: &str| payload_value(&payload, name).is_null();
        let required = |name: &str| self.claims.iter().any(|claim| claim == name);
        ["sub", "exp"].into_iter().any(|name| lacks(name) && !required(name))
            && !self.claims.iter().any(|claim| lacks(claim))
    }

    /// Returns the reason of the first check that fails.
    pub(crate) fn check(&self, token: &AccessToken, now: UtcDateTime) -> Result<(), Reason> {
        // The crate refuses an actor of another namespace unless it is listed. A policy without a
        // list lets anyone act.
        let require = match token.actor() {
            Some(actor) if self.any_actor => {
                self.require.clone().actor_if_any([(actor.issuer(), actor.name())])
            }
            _ => self.require.clone(),
        };
        let unmet = require.check(token, now).err();
        // The owner's own rules.
        let listed = |actor: Actor<'_>| match &self.every_hop {
            Some(parties) => parties.iter().any(|party| actor == *party),
            None => true,
        };
        let forbidden_actor =
            (self.no_act && has_member(token, "act")) || !chain(token).all(listed);
        let equal = |(name, value): (&String, &Value)| {
            token.claim::<Value>(name).ok().flatten().as_ref() == Some(value)
        };
        let differs = !self.claim_equals.iter().all(equal);
        let failed = [
            unmet.map(|unmet| unmet.reason()),
            forbidden_actor.then_some(Reason::ActorUnauthorized),
            self.lack,
            differs.then_some(Reason::PolicyDenied),
        ];
        failed.into_iter().flatten().min().map_or(Ok(()), Err)
    }
}

/// Returns the actors of a token, the current one first.
pub(crate) fn chain(token: &AccessToken) -> impl Iterator<Item = Actor<'_>> {
    token.actor().into_iter().chain(token.prior_actors())
}

/// Tells whether the claim is there, whatever it holds.
pub(crate) fn has_member(token: &AccessToken, name: &str) -> bool {
    !matches!(token.claim::<&RawValue>(name), Ok(None))
}

/// Tells whether the claim is there and is not null.
pub(crate) fn has_value(token: &AccessToken, name: &str) -> bool {
    matches!(token.claim::<&RawValue>(name), Ok(Some(raw)) if raw.get() != "null")
}
