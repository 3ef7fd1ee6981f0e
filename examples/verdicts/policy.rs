//! The members of `policy`, as settings of the crate.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use unconfused::keys::Algorithm;
use unconfused::profile::{HeaderType, Profile, ScopeShape};
use unconfused::proof::{Dpop, Nonces};
use unconfused::token::{TokenLimits, Validation};
use unconfused::{Acr, Audience, Party, Reason, Require, Scope};

/// The members of `policy`. A method returns `None` if one of them makes no sense.
pub(crate) struct Policy(pub(crate) Map<String, Value>);

impl Policy {
    /// Tells whether the crate can check what the policy asks. An unknown member asks something unknown.
    pub(crate) fn is_offered(&self) -> bool {
        self.0.iter().all(|(name, value)| match &**name {
            "scope_shape" => value.is_null() || value == "string" || value == "array_or_string",
            "introspection" | "introspection_jwt" => value.is_null() || value == false,
            "delegation" => value.is_null() || value == "allow" || value == "forbid",
            "actor_check" => value.is_null() || value == "current" || value == "every_hop",
            "issuer" | "audience" | "audience_claim" | "typ" | "client_id_claims"
            | "scope_claims" | "algorithms" | "required_claims" | "leeway_s" | "max_lifetime_s"
            | "max_token_age_s" | "max_token_bytes" | "max_chain" | "scopes_all" | "scopes_any"
            | "claim_equals" | "acr_min" | "acr_order" | "acr_any" | "max_age_s"
            | "actor_allowed" | "actor_required" | "dpop_algs" | "dpop_max_age_s"
            | "dpop_nonce" | "dpop_required" | "mtls_required" => true,
            _ => value.is_null(),
        })
    }

    /// Returns a member; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Option<Option<&str>> {
        self.get(name).map_or(Some(None), |v| v.as_str().map(Some))
    }

    pub(crate) fn texts(&self, name: &str) -> Option<Option<Vec<&str>>> {
        self.get(name).map_or(Some(None), |v| texts(v).map(Some))
    }

    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.get(name).map_or(Some(false), Value::as_bool)
    }

    pub(crate) fn size(&self, name: &str) -> Option<Option<usize>> {
        let size = |value: &Value| usize::try_from(value.as_u64()?).ok();
        self.get(name).map_or(Some(None), |v| size(v).map(Some))
    }

    /// Returns a number of seconds that is not negative.
    pub(crate) fn seconds(&self, name: &str) -> Option<Option<Duration>> {
        let seconds = |value: &Value| match value.as_u64() {
            Some(whole) => Some(Duration::from_secs(whole)),
            None => Duration::try_from_secs_f64(value.as_f64()?).ok(),
        };
        self.get(name).map_or(Some(None), |v| seconds(v).map(Some))
    }

    /// Returns the algorithms that the crate offers.
    pub(crate) fn algorithms(&self) -> Option<Vec<Algorithm>> {
        let names = texts(self.get("algorithms")?)?;
        Some(names.into_iter().filter_map(Algorithm::from_name).collect())
    }

    pub(crate) fn audience_names(&self) -> Option<Vec<&str>> {
        match self.get("audience")? {
            Value::String(one) => Some(vec![&**one]),
            list => texts(list),
        }
    }

    /// Returns the names that a resource can have.
    pub(crate) fn audiences(&self) -> Option<Vec<Audience>> {
        Some(valid(self.audience_names()?, Audience::new))
    }

    pub(crate) fn client_claims(&self) -> Option<Vec<&str>> {
        Some(self.texts("client_id_claims")?.unwrap_or_else(|| vec!["client_id"]))
    }

    /// Returns how, according to the policy, tokens are written.
    pub(crate) fn profile(&self) -> Option<Profile> {
        let (clients, claims) = (self.client_claims()?, self.claims()?);
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let array = self.text("scope_shape")? == Some("array_or_string");
        let shape = |claim: &str| match claim {
            "scope" if !array => ScopeShape::Text,
            _ => ScopeShape::Either,
        };
        let scopes = self.texts("scope_claims")?.unwrap_or_else(|| vec!["scope"]);
        let mut profile = Profile::rfc9068()
            .types(self.types()?)
            .client_claims(owned(&clients))
            .scope_claims(scopes.into_iter().map(|claim| (claim.to_owned(), shape(claim))));
        if !clients.iter().any(|claim| claims.contains(claim)) {
            profile = profile.client_optional();
        }
        if !claims.contains(&"jti") {
            profile = profile.token_id_optional();
        }
        if !claims.contains(&"iat") {
            profile = profile.issued_at_optional();
        }
        match self.text("audience_claim")? {
            None | Some("aud") => Some(profile),
            // The first claim that is there names the client, so it must be this one.
            Some(claim)
                if clients.first() == Some(&claim)
                    && (clients.len() == 1 || claims.contains(&claim)) =>
            {
                Some(profile.client_list_instead_of_audience(owned(&self.audience_names()?)))
            }
            Some(_) => None,
        }
    }

    /// Returns the settings by which this proof is checked.
    pub(crate) fn dpop(&self, base: &str, proof: Option<&str>) -> Option<Dpop> {
        let names = self.texts("dpop_algs")?.unwrap_or_else(|| vec!["ES256"]);
        let window = self.seconds("dpop_max_age_s")?.unwrap_or(Duration::from_secs(300));
        let dpop = Dpop::for_base_url(base)
            .ok()?
            .algorithms(names.into_iter().filter_map(Algorithm::from_name))
            .window(window, window);
        Some(match self.text("dpop_nonce")? {
            Some(nonce) if proof.and_then(nonce_of).as_deref() != Some(nonce) => {
                dpop.nonces(Nonces::new([0; 32]))
            }
            _ => dpop,
        })
    }

    pub(crate) fn bound_by(&self) -> Option<Vec<&'static str>> {
        let required = [("dpop_required", "jkt"), ("mtls_required", "x5t#S256")];
        let mut members = Vec::new();
        for (name, member) in required {
            members.extend(self.switch(name)?.then_some(member));
        }
        Some(members)
    }

    pub(crate) fn types(&self) -> Option<Vec<HeaderType>> {
        match self.0.get("typ") {
            None => Some(vec![HeaderType::AccessToken]),
            Some(Value::Null) => {
                Some(vec![HeaderType::AccessToken, HeaderType::Jwt, HeaderType::Absent])
            }
            Some(typ) => {
                // A media type: case does not matter, and `application/` may be left out.
                let typ = typ.as_str()?.to_ascii_lowercase();
                match typ.strip_prefix("application/").unwrap_or(&typ) {
                    "at+jwt" => Some(vec![HeaderType::AccessToken]),
                    "jwt" => Some(vec![HeaderType::Jwt]),
                    _ => None,
                }
            }
        }
    }

    pub(crate) fn validation(&self, audiences: &[Audience]) -> Option<Validation> {
        const UNUSED: Audience = Audience::from_static("unused");
        let (first, others) = match audiences {
            [first, others @ ..] => (first, others),
            [] => (&UNUSED, &[][..]),
        };
        let leeway = self.seconds("leeway_s")?.unwrap_or_default();
        let lifetime = self.seconds("max_lifetime_s")?.unwrap_or(Duration::MAX);
        let mut limits = TokenLimits::default()
            .leeway(leeway.min(TokenLimits::MAX_LEEWAY))
            .max_lifetime(lifetime)
            .max_delegated_lifetime(lifetime);
        if let Some(age) = self.seconds("max_token_age_s")? {
            limits = limits.max_token_age(age);
        }
        if let Some(actors) = self.size("max_chain")? {
            limits = limits.max_actors(actors);
        }
        let validation = Validation::new(first, self.text("issuer")??)
            .profile(self.profile()?)
            .algorithms(self.algorithms()?)
            .limits(limits);
        Some(others.iter().fold(validation, Validation::also_accept))
    }

    /// Returns the claims that must be there.
    pub(crate) fn claims(&self) -> Option<Vec<&str>> {
        const SEVEN: [&str; 7] = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        Some(self.texts("required_claims")?.unwrap_or_else(|| SEVEN.to_vec()))
    }

    pub(crate) fn claim_equals(&self) -> Option<Map<String, Value>> {
        match self.get("claim_equals") {
            None => Some(Map::new()),
            Some(value) => value.as_object().cloned(),
        }
    }

    /// Returns the requirement, and the reason to refuse every token if it asks for a name that cannot exist.
    pub(crate) fn require(&self) -> Option<(Require, Option<Reason>)> {
        let mut require = Require::valid_token();
        let mut lack = None;
        if let Some(classes) = self.classes()? {
            let classes = valid(classes, Acr::new);
            if classes.is_empty() {
                lack = Some(Reason::AuthenticationLevelInsufficient);
            } else {
                require = require.acr(classes);
            }
        }
        if let Some(age) = self.seconds("max_age_s")? {
            require = require.max_age(age);
        }
        let all = self.texts("scopes_all")?.unwrap_or_default();
        let groups = all.into_iter().map(|scope| vec![scope]);
        for group in groups.chain(self.texts("scopes_any")?) {
            let scopes = valid(group, Scope::new);
            if scopes.is_empty() {
                lack = lack.or(Some(Reason::InsufficientScope));
            } else {
                require = require.and(Require::any_scope(scopes));
            }
        }
        if self.switch("actor_required")? {
            require = require.delegated();
        }
        if let Some(actors) = self.actors()? {
            require = require.actor_if_any(actors);
        }
        if self.no_act()? {
            require = require.undelegated();
        }
        Some((require, lack))
    }

    /// Returns the classes that are enough: those of `acr_any` that are not below `acr_min`.
    pub(crate) fn classes(&self) -> Option<Option<Vec<&str>>> {
        let any = self.texts("acr_any")?;
        let Some(least) = self.text("acr_min")? else {
            return Some(any);
        };
        let order = self.texts("acr_order")?.unwrap_or_else(|| vec![least]);
        let mut enough: Vec<_> = order.into_iter().skip_while(|c| *c != least).collect();
        enough.retain(|class| any.as_ref().is_none_or(|any| any.contains(class)));
        Some(Some(enough))
    }

    pub(crate) fn actors(&self) -> Option<Option<Vec<Party<'static>>>> {
        let Some(actors) = self.get("actor_allowed") else {
            return Some(None);
        };
        let issuer = self.text("issuer")??;
        let party = |actor: &Value| match actor {
            Value::String(sub) => Some(Party::new(issuer, sub.as_str()).into_owned()),
            _ => {
                let iss = actor.get("iss").map_or(Some(issuer), Value::as_str)?;
                Some(Party::new(iss, actor.get("sub")?.as_str()?).into_owned())
            }
        };
        let actors: Option<Vec<_>> = actors.as_array()?.iter().map(party).collect();
        actors.map(Some)
    }

    pub(crate) fn every_hop(&self) -> Option<Option<Vec<Party<'static>>>> {
        match self.text("actor_check")? {
            Some("every_hop") => self.actors(),
            _ => Some(None),
        }
    }

    pub(crate) fn no_act(&self) -> Option<bool> {
        self.text("delegation").map(|said| said == Some("forbid"))
    }
}

/// Returns the nonce in a proof that has not been verified.
fn nonce_of(proof: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("nonce")?.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// Returns the names that are valid.
fn valid<T, E>(names: Vec<&str>, new: impl Fn(String) -> Result<T, E>) -> Vec<T> {
    let names = names.into_iter().map(str::to_owned);
    names.filter_map(|name| new(name).ok()).collect()
}
