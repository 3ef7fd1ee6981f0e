//! The claims of one token, each with its type
//! (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8693 section 4, RFC 9396 section 9.1).

use std::borrow::Cow;

use time::UtcDateTime;

use super::act;
use crate::jose::{Document, Object, Text, array, numeric_date, string, strings};
use crate::profile::{Profile, ScopeShape, SubjectKind};
use crate::proof::Confirmation;
use crate::reason::Reason;

/// The most scopes that are read.
const MAX_SCOPES: usize = 1024;

/// A pair of `iss` and `sub` as it stands in `act` or `may_act`.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) iss: Option<Text>,
    pub(super) sub: Text,
}

/// Scopes as they stand in a claim.
#[derive(Debug, Clone)]
pub(super) enum Scopes {
    /// With spaces between.
    List(Text),
    /// An element of an array: one, whatever it is.
    One(Text),
}

/// The claims of a token, read as its issuer's profile says. Nothing here says that they are true: that is the
/// token's type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    document: Document,
    pub(super) iss: Option<Text>,
    pub(super) subject: Option<Text>,
    pub(super) client: Option<Text>,
    pub(super) token_id: Option<Text>,
    pub(super) tenant: Option<Text>,
    pub(super) aud: Vec<Text>,
    pub(super) exp: Option<UtcDateTime>,
    pub(super) nbf: Option<UtcDateTime>,
    pub(super) iat: Option<UtcDateTime>,
    pub(super) auth_time: Option<UtcDateTime>,
    scopes: Vec<Scopes>,
    pub(super) acr: Option<Text>,
    pub(super) amr: Vec<Text>,
    /// The links of `act`, the current actor first.
    pub(super) act: Vec<Link>,
    /// `act` names somebody who took the subject's place.
    pub(super) impersonated: bool,
    pub(super) may_act: Option<Link>,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) subject_kind: SubjectKind,
    /// The profile finds that the client is an agent.
    pub(super) client_is_agent: bool,
    /// What is wrong with them, in the order of the steps: 22, 23 with 70, 24, 60.
    pub(super) flaw: Option<Flaw>,
}

/// A reason of phase D.
#[derive(Debug, Clone)]
pub(super) struct Flaw {
    pub(super) reason: Reason,
    pub(super) claim: Cow<'static, str>,
}

impl Claims {
    /// The largest payload that is read, in bytes.
    pub(super) const MAX_BYTES: usize = 32 * 1024;

    /// Reads the claims of a payload.
    pub(super) fn read(document: Document, profile: &Profile) -> Self {
        let mut reader = Reader { document: &document, profile, flaw: None };
        let claims = reader.claims();
        let mut claims = Claims { document, ..claims };
        let (subject, client) = (claims.subject(), claims.client());
        let kind = profile.subject_kind(&claims.document, subject, client);
        let is_agent = profile.client_is_agent(&claims.document, client);
        (claims.subject_kind, claims.client_is_agent) = (kind, is_agent);
        claims
    }

    pub(super) fn text<'a>(&'a self, text: &'a Text) -> &'a str {
        self.document.text(text)
    }

    pub(super) fn optional<'a>(&'a self, text: &'a Option<Text>) -> Option<&'a str> {
        text.as_ref().map(|text| self.text(text))
    }

    /// A claim by its name, as it was written.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.document.get(name)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        let words = self.scopes.iter().flat_map(|scopes| {
            let (list, one) = match scopes {
                Scopes::List(list) => (Some(self.text(list).split(' ')), None),
                Scopes::One(one) => (None, Some(self.text(one))),
            };
            list.into_iter().flatten().chain(one)
        });
        words.filter(|scope| !scope.is_empty())
    }
}

/// `iss` of a payload; none where it is no string, or stands twice: then it names nobody.
pub(super) fn issuer_of(document: &Document) -> Option<Text> {
    let iss = string(document.get("iss")?)?;
    (document.count("iss") == 1).then(|| document.keep(iss))
}

/// Takes claims out of a payload and remembers the first flaw.
struct Reader<'a> {
    document: &'a Document,
    profile: &'a Profile,
    flaw: Option<Flaw>,
}

impl<'a> Reader<'a> {
    fn claims(&mut self) -> Claims {
        if !self.document.is_sound() {
            self.note(Reason::ClaimsMalformed, "");
        }
        let profile = self.profile;
        self.text("iss");
        // What RFC 9068 names has its type also where the profile looks elsewhere.
        for name in ["sub", "client_id", "jti"] {
            if !profile.names(name) {
                self.text(name);
            }
        }
        // The first that is there; the others have their type.
        let mut client = None;
        for name in &profile.clients {
            let named = self.text(name);
            client = client.or(named);
        }
        let subject = self.text(&profile.subject);
        let subject = match subject {
            None if profile.subject_or_client => client.clone(),
            subject => subject,
        };
        let mut claims = Claims {
            iss: issuer_of(self.document),
            token_id: self.text(&profile.token_id),
            tenant: profile.tenant.as_ref().and_then(|name| self.text(name)),
            aud: self.audience(),
            exp: self.date("exp"),
            nbf: self.date("nbf"),
            iat: self.date("iat"),
            auth_time: self.date("auth_time"),
            scopes: self.scopes(),
            acr: self.text("acr"),
            amr: self.typed("amr", strings).into_iter().flatten().map(|t| self.keep(t)).collect(),
            confirmation: self.typed("cnf", Confirmation::read),
            may_act: self.may_act(),
            impersonated: profile.impersonators,
            subject,
            client,
            ..Claims::default()
        };
        for name in profile.tested() {
            self.text(name);
        }
        self.details();
        let client = claims.client.as_ref().map(|client| self.document.text(client));
        if let Some(claim) = profile.other_kind(self.document, client) {
            self.note(Reason::TokenKindRejected, claim);
        }
        // Last: step 60 comes after 24.
        claims.act = self.act();
        claims.flaw = self.flaw.take();
        claims
    }

    /// The flaw of the earliest step is kept.
    fn note(&mut self, reason: Reason, claim: impl Into<Cow<'static, str>>) {
        if self.flaw.is_none() {
            self.flaw = Some(Flaw { reason, claim: claim.into() });
        }
    }

    /// A claim of a known type: absent is fine, another type is a flaw and never "absent".
    fn typed<T>(&mut self, name: &str, read: impl Fn(&'a str) -> Option<T>) -> Option<T> {
        let raw = self.document.get(name)?;
        let value = read(raw);
        if value.is_none() {
            self.note(Reason::ClaimTypeInvalid, name.to_owned());
        }
        value
    }

    fn keep(&self, text: Cow<'_, str>) -> Text {
        self.document.keep(text)
    }

    fn text(&mut self, name: &str) -> Option<Text> {
        self.typed(name, string).map(|text| self.keep(text))
    }

    fn date(&mut self, name: &str) -> Option<UtcDateTime> {
        self.typed(name, numeric_date)
    }

    /// RFC 7519 section 4.1.3: one string, or an array of them.
    fn audience(&mut self) -> Vec<Text> {
        let audiences =
            self.typed("aud", |raw| string(raw).map(|one| vec![one]).or_else(|| strings(raw)));
        audiences.into_iter().flatten().map(|audience| self.keep(audience)).collect()
    }

    /// Where the profile says; and `scope` has the type of RFC 8693 section 4.2 also where it looks elsewhere.
    fn scopes(&mut self) -> Vec<Scopes> {
        let profile = self.profile;
        if !profile.scopes.iter().any(|(name, _)| name == "scope") {
            self.text("scope");
        }
        let mut all = Vec::new();
        for (name, shape) in &profile.scopes {
            let list = |raw| match shape {
                ScopeShape::Array => None,
                ScopeShape::Text | ScopeShape::Either => string(raw).map(Ok),
            };
            let array = |raw| match shape {
                ScopeShape::Text => None,
                ScopeShape::Array | ScopeShape::Either => strings(raw).map(Err),
            };
            match self.typed(name, |raw| list(raw).or_else(|| array(raw))) {
                None => {}
                Some(Ok(list)) => all.push(Scopes::List(self.keep(list))),
                Some(Err(array)) => {
                    all.extend(array.into_iter().map(|one| Scopes::One(self.keep(one))));
                }
            }
        }
        let count = |scopes: &Scopes| match scopes {
            Scopes::List(list) => {
                self.document.text(list).split(' ').filter(|scope| !scope.is_empty()).count()
            }
            Scopes::One(_) => 1,
        };
        if all.iter().map(count).fold(0, usize::saturating_add) > MAX_SCOPES {
            self.flaw = Some(Flaw { reason: Reason::ClaimsMalformed, claim: "scope".into() });
            all.clear();
        }
        all
    }

    /// RFC 8693 section 4.4.
    fn may_act(&mut self) -> Option<Link> {
        let raw = self.document.get("may_act")?;
        let object = Object::read(raw);
        let read = |name| match object.as_ref().and_then(|object| object.get(name)) {
            None => Ok(None),
            Some(raw) => string(raw).map(Some).ok_or(()),
        };
        let (Some(_), Ok(iss), Ok(sub)) = (&object, read("iss"), read("sub")) else {
            self.note(Reason::ClaimTypeInvalid, "may_act");
            return None;
        };
        // Without `sub` it names nobody.
        Some(Link { iss: iss.map(|iss| self.keep(iss)), sub: self.keep(sub?) })
    }

    /// RFC 9396 sections 2 and 9.1: an array of objects, each with a string `type`.
    fn details(&mut self) {
        let Some(raw) = self.document.get("authorization_details") else {
            return;
        };
        let typed = |detail: &str| {
            Object::read(detail).and_then(|detail| detail.get("type").and_then(string).map(|_| ()))
        };
        let sound = array(raw)
            .is_some_and(|details| details.into_iter().all(|one| typed(one.get()).is_some()));
        if !sound {
            self.note(Reason::AuthorizationDetailsInvalid, "authorization_details");
        }
    }

    /// RFC 8693 section 4.1: every actor has a name. A payload that is too deep has its flaw already.
    fn act(&mut self) -> Vec<Link> {
        let raw = self.document.get("act").filter(|_| self.document.is_sound());
        let Some(raw) = raw else { return Vec::new() };
        let links = act::read(raw).and_then(|links| {
            let named = |text: &Cow<'_, str>| !text.is_empty();
            links
                .into_iter()
                .map(|link| {
                    let sub = string(link.sub?).filter(named)?;
                    let iss = match link.iss {
                        None => None,
                        Some(iss) => Some(self.keep(string(iss).filter(named)?)),
                    };
                    Some(Link { iss, sub: self.keep(sub) })
                })
                .collect::<Option<Vec<_>>>()
        });
        if links.is_none() {
            self.note(Reason::ActorMalformed, "act");
        }
        links.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(json: &str, profile: &Profile) -> Claims {
        Claims::read(Document::read(json.to_owned()).unwrap(), profile)
    }

    fn read(json: &str) -> Claims {
        read_as(json, &Profile::rfc9068())
    }

    fn flaw(json: &str) -> Option<(Reason, String)> {
        read(json).flaw.map(|flaw| (flaw.reason, flaw.claim.into_owned()))
    }

    #[test]
    fn a_known_claim_of_another_type_is_a_flaw_and_never_absent() {
        for (name, wrong) in [
            ("iss", "1"),
            ("sub", "null"),
            ("client_id", "[]"),
            ("jti", "{}"),
            ("aud", "{}"),
            ("aud", r#"["a",1]"#),
            ("aud", "null"),
            ("exp", r#""1""#),
            ("exp", "null"),
            ("exp", "-1"),
            ("exp", "1e19"),
            ("exp", "18446744073709551615"),
            ("exp", "1e999"),
            ("nbf", "true"),
            ("iat", "[1]"),
            ("auth_time", r#""now""#),
            ("scope", r#"["a"]"#),
            ("acr", "2"),
            ("amr", r#""pwd""#),
            ("cnf", r#""x""#),
            ("may_act", "[]"),
            ("may_act", r#"{"sub":1}"#),
        ] {
            let json = format!("{{\"{name}\":{wrong}}}");
            let (reason, claim) = flaw(&json).expect(&json);
            assert_eq!((reason, &*claim), (Reason::ClaimTypeInvalid, name), "{json}");
        }
    }

    #[test]
    fn details_without_a_type_are_a_flaw_of_their_own() {
        for wrong in ["{}", r#""x""#, "[1]", "[{}]", r#"[{"type":1}]"#, "null"] {
            let json = format!("{{\"authorization_details\":{wrong}}}");
            assert_eq!(flaw(&json).unwrap().0, Reason::AuthorizationDetailsInvalid, "{json}");
        }
        assert!(flaw(r#"{"authorization_details":[{"type":"t","x":1}]}"#).is_none());
        assert!(flaw(r#"{"authorization_details":[]}"#).is_none());
    }

    #[test]
    fn every_link_of_act_needs_a_subject() {
        for wrong in [
            "null",
            "[]",
            r#""agent""#,
            "{}",
            r#"{"sub":1}"#,
            r#"{"sub":""}"#,
            r#"{"sub":"a","iss":1}"#,
            r#"{"sub":"a","iss":""}"#,
            r#"{"sub":"a","act":{}}"#,
            r#"{"sub":"a","act":null}"#,
        ] {
            let json = format!("{{\"act\":{wrong}}}");
            assert_eq!(flaw(&json).unwrap().0, Reason::ActorMalformed, "{json}");
        }
        let chain = r#"{"act":{"sub":"a","x":1,"act":{"sub":"b","iss":"https://i"}}}"#;
        assert!(flaw(chain).is_none());
        assert_eq!(read(chain).act.len(), 2);
    }

    #[test]
    fn the_flaw_of_the_earlier_step_is_kept() {
        assert_eq!(flaw(r#"{"act":1,"exp":"1"}"#).unwrap().0, Reason::ClaimTypeInvalid);
        assert_eq!(flaw(r#"{"exp":"1","x":1,"x":2}"#).unwrap().0, Reason::ClaimsMalformed);
    }

    #[test]
    fn an_issuer_that_stands_twice_names_nobody() {
        assert!(read(r#"{"iss":"a","iss":"a"}"#).iss.is_none());
        assert!(read(r#"{"iss":"a","\u0069ss":"b"}"#).iss.is_none());
    }

    #[test]
    fn texts_are_read_with_and_without_escapes() {
        let claims = read(r#"{"iss":"https://i","sub":"a\u0062c","scope":"x  y "}"#);
        assert_eq!(claims.optional(&claims.iss), Some("https://i"));
        assert_eq!(claims.optional(&claims.subject), Some("abc"));
        assert_eq!(claims.scopes().collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn more_scopes_than_are_read_is_a_flaw() {
        let json = format!("{{\"scope\":\"{}\"}}", "s ".repeat(2000));
        assert_eq!(flaw(&json), Some((Reason::ClaimsMalformed, "scope".to_owned())));
    }
}
