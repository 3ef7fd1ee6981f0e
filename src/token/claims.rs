//! The claims of one token, read once from its payload, each with its type
//! (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8693 section 4, RFC 9396 section 9.1).

use std::borrow::Cow;

use time::UtcDateTime;

use super::act;
use crate::jose::{Object, array, string, strings};
use crate::reason::Reason;

/// The most scope tokens that are read.
const MAX_SCOPES: usize = 1024;
/// The last second of the year 9999: the latest time a claim may name.
const MAX_SECONDS: u64 = 253_402_300_799;

/// A string of the payload: where it stands there, or its text where it was escaped.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Span(usize, usize),
    Owned(Box<str>),
}

/// A pair of `iss` and `sub` as it stands in `act` or `may_act`.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) iss: Option<Text>,
    pub(super) sub: Text,
}

/// The claims of a token. Nothing here says that they are true: that is the token's type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    payload: String,
    pub(super) iss: Option<Text>,
    pub(super) sub: Option<Text>,
    pub(super) client_id: Option<Text>,
    pub(super) jti: Option<Text>,
    pub(super) aud: Vec<Text>,
    pub(super) exp: Option<UtcDateTime>,
    pub(super) nbf: Option<UtcDateTime>,
    pub(super) iat: Option<UtcDateTime>,
    pub(super) auth_time: Option<UtcDateTime>,
    pub(super) scope: Option<Text>,
    pub(super) acr: Option<Text>,
    pub(super) amr: Vec<Text>,
    /// The links of `act`, the current actor first.
    pub(super) act: Vec<Link>,
    pub(super) may_act: Option<Link>,
    /// `cnf` is there.
    pub(super) confirmation: bool,
    /// What is wrong with them, in the order of the steps: 22, 23 with 70, 60.
    pub(super) flaw: Option<Flaw>,
}

/// A reason of phase D, kept until the signature stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flaw {
    pub(super) reason: Reason,
    pub(super) claim: &'static str,
}

impl Claims {
    /// The largest payload that is read, in bytes.
    pub(super) const MAX_BYTES: usize = 32 * 1024;

    /// Reads a payload; `None` where it is no JSON object at all.
    pub(super) fn read(payload: String) -> Option<Self> {
        let object = Object::read(&payload)?;
        let mut reader = Reader { payload: &payload, object: &object, flaw: None };
        let claims = reader.claims();
        Some(Claims { payload, ..claims })
    }

    pub(super) fn text<'a>(&'a self, text: &'a Text) -> &'a str {
        match text {
            Text::Span(start, end) => self.payload.get(*start..*end).unwrap_or_default(),
            Text::Owned(text) => text,
        }
    }

    pub(super) fn optional<'a>(&'a self, text: &'a Option<Text>) -> Option<&'a str> {
        text.as_ref().map(|text| self.text(text))
    }

    /// A claim by its name, as it was written.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        Object::read(&self.payload)?.get(name)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.optional(&self.scope).unwrap_or_default().split(' ').filter(|scope| !scope.is_empty())
    }
}

/// Takes claims out of an object and remembers the first flaw.
struct Reader<'a> {
    payload: &'a str,
    object: &'a Object<'a>,
    flaw: Option<Flaw>,
}

impl<'a> Reader<'a> {
    fn claims(&mut self) -> Claims {
        let scopes = self
            .object
            .get("scope")
            .and_then(string)
            .map_or(0, |scopes| scopes.split(' ').filter(|scope| !scope.is_empty()).count());
        if !self.object.is_sound() {
            self.note(Reason::ClaimsMalformed, "");
        } else if scopes > MAX_SCOPES {
            self.note(Reason::ClaimsMalformed, "scope");
        }
        let mut claims = Claims {
            iss: self.text("iss"),
            sub: self.text("sub"),
            client_id: self.text("client_id"),
            jti: self.text("jti"),
            aud: self.audience(),
            exp: self.date("exp"),
            nbf: self.date("nbf"),
            iat: self.date("iat"),
            auth_time: self.date("auth_time"),
            scope: self.text("scope"),
            acr: self.text("acr"),
            amr: self.typed("amr", strings).into_iter().flatten().map(|t| self.span(t)).collect(),
            confirmation: self.typed("cnf", |raw| raw.starts_with('{').then_some(())).is_some(),
            may_act: self.may_act(),
            ..Claims::default()
        };
        // An `iss` that stands twice names nobody.
        if self.object.iter().filter(|(name, _)| *name == "iss").count() > 1 {
            claims.iss = None;
        }
        self.details();
        // Last: step 60 comes after 23.
        claims.act = self.act();
        claims.flaw = self.flaw;
        claims
    }

    /// The flaw of the earliest step is kept.
    fn note(&mut self, reason: Reason, claim: &'static str) {
        self.flaw.get_or_insert(Flaw { reason, claim });
    }

    /// A claim of a known type: absent is fine, another type is a flaw and never "absent".
    fn typed<T>(&mut self, name: &'static str, read: impl Fn(&'a str) -> Option<T>) -> Option<T> {
        let raw = self.object.get(name)?;
        let value = read(raw);
        if value.is_none() {
            self.note(Reason::ClaimTypeInvalid, name);
        }
        value
    }

    fn span(&self, text: Cow<'a, str>) -> Text {
        match text {
            Cow::Owned(text) => Text::Owned(text.into()),
            Cow::Borrowed(text) => {
                // `text` was borrowed from `payload`: the distance is where it stands.
                let start = text.as_ptr().addr().saturating_sub(self.payload.as_ptr().addr());
                Text::Span(start, start.saturating_add(text.len()))
            }
        }
    }

    fn text(&mut self, name: &'static str) -> Option<Text> {
        self.typed(name, string).map(|text| self.span(text))
    }

    fn date(&mut self, name: &'static str) -> Option<UtcDateTime> {
        self.typed(name, numeric_date)
    }

    /// RFC 7519 section 4.1.3: one string, or an array of them.
    fn audience(&mut self) -> Vec<Text> {
        let audiences =
            self.typed("aud", |raw| string(raw).map(|one| vec![one]).or_else(|| strings(raw)));
        audiences.into_iter().flatten().map(|audience| self.span(audience)).collect()
    }

    /// RFC 8693 section 4.4.
    fn may_act(&mut self) -> Option<Link> {
        let raw = self.object.get("may_act")?;
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
        Some(Link { iss: iss.map(|iss| self.span(iss)), sub: self.span(sub?) })
    }

    /// RFC 9396 sections 2 and 9.1: an array of objects, each with a string `type`.
    fn details(&mut self) {
        let Some(raw) = self.object.get("authorization_details") else {
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
        let raw = self.object.get("act").filter(|_| self.object.is_sound());
        let Some(raw) = raw else { return Vec::new() };
        let links = act::read(raw).and_then(|links| {
            let named = |text: &Cow<'_, str>| !text.is_empty();
            links
                .into_iter()
                .map(|link| {
                    let sub = string(link.sub?).filter(named)?;
                    let iss = match link.iss {
                        None => None,
                        Some(iss) => Some(self.span(string(iss).filter(named)?)),
                    };
                    Some(Link { iss, sub: self.span(sub) })
                })
                .collect::<Option<Vec<_>>>()
        });
        if links.is_none() {
            self.note(Reason::ActorMalformed, "act");
        }
        links.unwrap_or_default()
    }
}

/// RFC 7519 section 2, NumericDate: seconds, perhaps with a fraction; from 1970 to 9999.
fn numeric_date(raw: &str) -> Option<UtcDateTime> {
    if !raw.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Ok(seconds) = raw.parse::<u64>() {
        let seconds = i64::try_from(seconds).ok().filter(|_| seconds <= MAX_SECONDS)?;
        return UtcDateTime::from_unix_timestamp(seconds).ok();
    }
    // A fraction or an exponent.
    let nanoseconds = raw.parse::<f64>().ok()? * 1e9;
    let most = (MAX_SECONDS as f64) * 1e9;
    if !(0.0..=most).contains(&nanoseconds) {
        return None;
    }
    UtcDateTime::from_unix_timestamp_nanos(nanoseconds as i128).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(json: &str) -> Option<(Reason, &'static str)> {
        Claims::read(json.into()).unwrap().flaw.map(|flaw| (flaw.reason, flaw.claim))
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
            assert_eq!((reason, claim), (Reason::ClaimTypeInvalid, name), "{json}");
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
        assert_eq!(Claims::read(chain.into()).unwrap().act.len(), 2);
    }

    #[test]
    fn the_flaw_of_the_earlier_step_is_kept() {
        assert_eq!(flaw(r#"{"act":1,"exp":"1"}"#).unwrap().0, Reason::ClaimTypeInvalid);
        assert_eq!(flaw(r#"{"exp":"1","x":1,"x":2}"#).unwrap().0, Reason::ClaimsMalformed);
    }

    #[test]
    fn an_issuer_that_stands_twice_names_nobody() {
        assert!(Claims::read(r#"{"iss":"a","iss":"a"}"#.into()).unwrap().iss.is_none());
        assert!(Claims::read(r#"{"iss":"a","\u0069ss":"b"}"#.into()).unwrap().iss.is_none());
    }

    #[test]
    fn texts_are_read_with_and_without_escapes() {
        let claims =
            Claims::read(r#"{"iss":"https://i","sub":"a\u0062c","scope":"x  y "}"#.into()).unwrap();
        assert_eq!(claims.optional(&claims.iss), Some("https://i"));
        assert_eq!(claims.optional(&claims.sub), Some("abc"));
        assert_eq!(claims.scopes().collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn dates_may_have_fractions_and_end_with_the_year_9999() {
        let at = |raw| numeric_date(raw).map(|date| date.unix_timestamp_nanos());
        assert_eq!(at("1800000000"), Some(1_800_000_000_000_000_000));
        assert_eq!(at("1.8e9"), Some(1_800_000_000_000_000_000));
        assert_eq!(at("1.5"), Some(1_500_000_000));
        assert_eq!(at("253402300799").map(|n| n / 1_000_000_000), Some(253_402_300_799));
        assert_eq!(at("253402300800"), None);
        assert_eq!(at("1e12"), None);
        assert_eq!(at("-0"), None);
        assert_eq!(at("\"1\""), None);
    }

    #[test]
    fn more_scopes_than_are_read_is_a_flaw() {
        let json = format!("{{\"scope\":\"{}\"}}", "s ".repeat(2000));
        assert_eq!(flaw(&json), Some((Reason::ClaimsMalformed, "scope")));
    }
}
