//! What the access tokens of each vendor look like: the files in `tests/vectors/profiles`, one for each profile that
//! is named after a vendor. The fuzz target `profiles` reads them with this file too.

use serde::Deserialize;
use serde_json::{Map, Value};
use unconfused::profile::Profile;

/// The issuer of a vendor, how it writes tokens, and what is read from them.
///
/// In claims, `iss`, `aud`, `iat` and `exp` are left out if they are those of any good token. A claim that is null is
/// not in the token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vendor {
    /// The name of the profile, and of the file.
    #[serde(skip)]
    pub(crate) name: &'static str,
    #[serde(skip)]
    pub(crate) profile: Profile,
    pub(crate) issuer: &'static str,
    /// The `typ` of its access tokens, `None` for a header without one. The claims below are those of the first.
    #[serde(borrow)]
    pub(crate) types: Vec<Option<&'static str>>,
    /// The claims that name the subject, the client and the token.
    pub(crate) subject: Name,
    pub(crate) client: Name,
    pub(crate) token_id: Name,
    /// The claim that names the tenant.
    #[serde(borrow)]
    pub(crate) tenant: Option<&'static str>,
    /// The claims that the profile reads and refuses if they have another JSON type. RFC 9068's own are not listed.
    #[serde(borrow)]
    pub(crate) typed_claims: Vec<&'static str>,
    /// A token with which a client acts for a user.
    pub(crate) user: Value,
    pub(crate) user_reading: Reading,
    /// Why the user's token is refused if its issuer has no profile. `None`: it is accepted.
    #[serde(borrow)]
    pub(crate) without_profile: Option<&'static str>,
    /// A token that a service has for itself. `None` if the vendor has none of this shape.
    pub(crate) machine: Option<Value>,
    pub(crate) machine_reading: Option<Reading>,
    /// ID tokens, and whatever else the issuer signs, that are not access tokens for this resource.
    pub(crate) others: Vec<Other>,
}

/// A claim that names something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Name {
    #[serde(rename = "name")]
    pub(crate) claim: &'static str,
    #[serde(default)]
    pub(crate) optional: bool,
}

/// What is read from a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reading {
    pub(crate) subject: &'static str,
    #[serde(borrow)]
    pub(crate) client: Option<&'static str>,
    #[serde(borrow)]
    pub(crate) tenant: Option<&'static str>,
    #[serde(borrow)]
    pub(crate) token_id: Option<&'static str>,
    #[serde(borrow, default)]
    pub(crate) scopes: Vec<&'static str>,
    pub(crate) actor: Option<Acting>,
    pub(crate) is_person: bool,
}

/// The actor in the issuer's namespace, and the name of its `ActorSource`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acting {
    pub(crate) subject: &'static str,
    pub(crate) source: &'static str,
}

/// A token that is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Other {
    pub(crate) what: &'static str,
    #[serde(borrow)]
    pub(crate) typ: Option<&'static str>,
    claims: Option<Value>,
    /// Instead of `claims`: those of the user's token, with these changes.
    user_with: Option<Map<String, Value>>,
    /// The name of the `Reason`.
    pub(crate) reason: &'static str,
}

impl Vendor {
    fn from_json(name: &'static str, profile: Profile, json: &'static str) -> Self {
        let shape: Vendor =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}.json: {error}"));
        Vendor { name, profile, ..shape }
    }

    /// The `typ` of the tokens whose claims are here.
    pub(crate) fn typ(&self) -> Option<&'static str> {
        *self.types.first().expect("a type")
    }

    pub(crate) fn claims_of(&self, other: &Other) -> Value {
        match (&other.claims, &other.user_with) {
            (Some(claims), None) => claims.clone(),
            (None, Some(changes)) => {
                let mut claims = self.user.clone();
                claims.as_object_mut().expect("claims").extend(changes.clone());
                claims
            }
            _ => panic!("{}, {}: either `claims` or `user_with`", self.name, other.what),
        }
    }
}

macro_rules! vendors {
    ($($name:ident)+) => {{
        vec![$(Vendor::from_json(
            stringify!($name),
            Profile::$name(),
            include_str!(concat!("../../vectors/profiles/", stringify!($name), ".json")),
        )),+]
    }};
}

/// All of them, by their names.
pub(crate) fn vendors() -> Vec<Vendor> {
    vendors!(
        auth0 auth0_rfc9068 clerk cloudflare_access cognito duende entra_v1 entra_v2 google_iap
        keycloak logto okta ory_hydra pingone workos wso2 zitadel
    )
}

/// The one whose profile has this name.
pub(crate) fn vendor(name: &str) -> Vendor {
    let found = vendors().into_iter().find(|vendor| vendor.name == name);
    found.unwrap_or_else(|| panic!("there is no vendor {name}"))
}
