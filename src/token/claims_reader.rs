//! Reads the claims of a payload, as the profile of its issuer says. The types of `authorization_details` are those of
//! RFC 9396 sections 2 and 9.1.

use std::borrow::Cow;
use std::iter::from_fn;

use time::UtcDateTime;

use super::claims::{ActorClaim, ClaimProblem, Claims, TextRange, Unreadable};
use crate::dates::numeric_date;
use crate::detail::GrantedDetails;
use crate::jose::Header;
use crate::json::{Document, Span, array, members, nested_members, string};
use crate::profile::{Profile, ScopeShape};
use crate::proof::Confirmation;
use crate::reason::Reason;

/// The most scopes that are read.
const MAX_SCOPES: usize = 1024;

/// Reads `iss` of a payload. `None` if it is not a string, or is there twice with two values: then it names no one. If
/// both values are the same, the token is refused for the repeated member once its signature was verified.
pub(super) fn read_issuer(document: &mut Document) -> Option<Span> {
    let iss = document.find_same("iss")?;
    document.json_mut().string(iss)
}

/// Reads the claims of a payload whose issuer is known.
pub(super) fn read_claims(
    header: Header,
    document: Document,
    issuer: Span,
    profile: &Profile,
) -> Claims {
    let mut reader = Reader { claims: Claims::new(header, document, issuer), profile };
    reader.read();
    let mut claims = reader.claims;
    let (subject, client) = (claims.subject(), claims.client());
    let kind = profile.subject_kind(&claims.document, subject, client);
    let is_agent = profile.client_is_agent(&claims.document, client);
    (claims.subject_kind, claims.client_is_agent) = (kind, is_agent);
    claims
}

/// Reads claims one by one and keeps the first problem.
struct Reader<'p> {
    claims: Claims,
    profile: &'p Profile,
}

impl Reader<'_> {
    fn read(&mut self) {
        if !self.claims.document.is_sound() {
            self.report(Reason::ClaimsMalformed, "");
        }
        let profile = self.profile;
        // The claims of RFC 9068 must have their type even if the profile reads others.
        for name in ["sub", "client_id", "jti"] {
            if !profile.names(name) {
                self.expect_string(name);
            }
        }
        // The first that is there counts. The others must have their type all the same.
        let mut client = None;
        for name in &profile.clients {
            let named = self.text(name);
            client = client.or(named);
        }
        self.claims.client = client;
        let subject = self.text(&profile.subject);
        let subject = subject.filter(|text| !(profile.empty_subject_is_none && text.is_empty()));
        self.claims.subject = subject.or(client.filter(|_| profile.subject_or_client));
        self.claims.token_id = self.text(&profile.token_id);
        self.claims.tenant = profile.tenant.as_ref().and_then(|name| self.text(name));
        // RFC 7519 section 4.1.3: one string, or an array of them.
        self.claims.audiences =
            self.typed("aud", |reader, raw| reader.single(raw).or_else(|| reader.list(raw)));
        self.claims.expires_at = self.date("exp");
        self.claims.not_before = self.date("nbf");
        self.claims.issued_at = self.date("iat");
        self.scopes();
        self.claims.acr = self.readable("acr", |reader, raw| reader.string(raw).map(Some));
        self.claims.amr = self.readable("amr", Self::list);
        self.claims.auth_time = self.readable("auth_time", Self::numeric_date);
        self.claims.confirmation = self.typed("cnf", |reader, raw| {
            Confirmation::read(reader.claims.document.json_mut(), raw).map(Some)
        });
        self.claims.may_act = self.typed("may_act", Self::may_act);
        self.claims.act_names_impersonator = profile.act_names_impersonators;
        for name in profile.string_claims() {
            self.expect_string(name);
        }
        self.details();
        let document = &self.claims.document;
        if let Some(claim) = profile.rejected_kind(document, self.claims.client()) {
            self.report(Reason::TokenKindRejected, claim);
        }
        // Last, since `actor_malformed` comes after all other problems.
        self.act();
    }

    /// Keeps the first problem.
    fn report(&mut self, reason: Reason, claim: impl Into<Cow<'static, str>>) {
        if self.claims.problem.is_none() {
            self.claims.problem = Some(Box::new(ClaimProblem { reason, claim: claim.into() }));
        }
    }

    /// Reads a claim of a known type. It may be absent; one of another type is a problem, and never counts as absent.
    fn typed<T: Default>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, Span) -> Option<T>,
    ) -> T {
        let Some(raw) = self.claims.document.find(name) else { return T::default() };
        read(self, raw).unwrap_or_else(|| {
            self.report(Reason::ClaimTypeInvalid, name.to_owned());
            T::default()
        })
    }

    /// Reads a claim that only a requirement of step-up asks for. One of another type is unreadable.
    fn readable<T: Default>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, Span) -> Option<T>,
    ) -> Result<T, Unreadable> {
        let Some(raw) = self.claims.document.find(name) else { return Ok(T::default()) };
        read(self, raw).ok_or(Unreadable)
    }

    fn string(&mut self, raw: Span) -> Option<Span> {
        self.claims.document.json_mut().string(raw)
    }

    fn text(&mut self, name: &str) -> Option<Span> {
        self.typed(name, |reader, raw| reader.string(raw).map(Some))
    }

    /// Checks that a claim is a string if it is there, and keeps nothing of it.
    fn expect_string(&mut self, name: &str) {
        self.typed(name, |reader, raw| string(reader.claims.text(raw)).map(drop));
    }

    fn date(&mut self, name: &str) -> Option<UtcDateTime> {
        self.typed(name, Self::numeric_date)
    }

    fn numeric_date(&mut self, raw: Span) -> Option<Option<UtcDateTime>> {
        numeric_date(self.claims.text(raw)).map(Some)
    }

    /// The texts from `start` on.
    fn range_from(&self, start: usize) -> Option<TextRange> {
        let end = self.claims.texts.len();
        Some(TextRange { start: start.try_into().ok()?, end: end.try_into().ok()? })
    }

    /// Reads a string as a list of one.
    fn single(&mut self, raw: Span) -> Option<TextRange> {
        let start = self.claims.texts.len();
        let text = self.string(raw)?;
        self.claims.texts.push(Some(text));
        self.range_from(start)
    }

    /// Reads an array of strings.
    fn list(&mut self, raw: Span) -> Option<TextRange> {
        let Claims { document, texts, .. } = &mut self.claims;
        let start = texts.len();
        let values = array(document.text(raw))?;
        texts.extend(values.map(|value| document.json().find(value)));
        for text in texts.iter_mut().skip(start) {
            *text = text.and_then(|raw| document.json_mut().string(raw));
        }
        let sound = texts.iter().skip(start).all(Option::is_some);
        if !sound {
            texts.truncate(start);
        }
        self.range_from(start).filter(|_| sound)
    }

    /// Reads a string of words that are separated by this character, with or without spaces around them.
    fn words(&mut self, raw: Span, delimiter: char) -> Option<TextRange> {
        let text = self.string(raw)?;
        let Claims { document, texts, .. } = &mut self.claims;
        let start = texts.len();
        let words = words(document.text(text).as_bytes(), delimiter);
        texts.extend(words.map(|word| document.json().find(word)));
        self.range_from(start)
    }

    /// Reads scopes from the claims that the profile names. `scope` must have the type of RFC 8693 section 4.2 even
    /// if the profile reads other claims.
    fn scopes(&mut self) {
        let profile = self.profile;
        if !profile.scopes.iter().any(|(name, _)| name == "scope") {
            self.expect_string("scope");
        }
        let start = self.claims.texts.len();
        for (name, shape) in &profile.scopes {
            self.typed(name, |reader, raw| match shape {
                ScopeShape::Text => reader.words(raw, ' '),
                ScopeShape::Delimited(delimiter) => reader.words(raw, *delimiter),
                ScopeShape::Array => reader.list(raw),
                ScopeShape::Either => reader.words(raw, ' ').or_else(|| reader.list(raw)),
            });
        }
        let scopes = self.range_from(start);
        match scopes.filter(|scopes| scopes.len() <= MAX_SCOPES) {
            Some(scopes) => self.claims.scopes = scopes,
            None => {
                let problem =
                    ClaimProblem { reason: Reason::ClaimsMalformed, claim: "scope".into() };
                self.claims.problem = Some(problem.into());
            }
        }
    }

    /// RFC 8693 section 4.4. Without `sub` it names no one.
    fn may_act(&mut self, raw: Span) -> Option<Option<ActorClaim>> {
        let Claims { document, .. } = &self.claims;
        let (mut issuer, mut subject) = (None, None);
        for (name, value) in members(document.text(raw))? {
            match &*name {
                "iss" => issuer = document.json().find(value),
                "sub" => subject = document.json().find(value),
                _ => {}
            }
        }
        let (issuer, subject) = (self.optional(issuer)?, self.optional(subject)?);
        Some(subject.map(|subject| ActorClaim { issuer, subject }))
    }

    /// RFC 9396 sections 2 and 9.1: an array of objects, each with a string `type`.
    fn details(&mut self) {
        let Some(raw) = self.claims.document.get("authorization_details") else {
            return;
        };
        if GrantedDetails::of_sound(raw).is_none() {
            self.report(Reason::AuthorizationDetailsInvalid, "authorization_details");
        }
    }

    /// RFC 8693 section 4.1: every actor has a name. A payload that is nested too deep was reported already.
    fn act(&mut self) {
        let document = &self.claims.document;
        let Some(raw) = document.find("act").filter(|_| document.is_sound()) else { return };
        let start = self.claims.texts.len();
        match self.actors(raw).and_then(|()| self.range_from(start)) {
            Some(actors) => {
                self.claims.actors = actors;
                self.claims.act_names_subject = self.claims.only_actor_is_subject();
            }
            None => self.report(Reason::ActorMalformed, "act"),
        }
    }

    /// Reads all actors in one pass, however deep they are nested.
    fn actors(&mut self, raw: Span) -> Option<()> {
        let Claims { document, texts, .. } = &mut self.claims;
        let start = texts.len();
        let count = nested_members(document.text(raw), "act", |level, name, value| {
            let at = start.saturating_add(level.saturating_mul(2));
            let at = match &*name {
                "iss" => at,
                "sub" => at.saturating_add(1),
                _ => return,
            };
            texts.resize(texts.len().max(at.saturating_add(1)), None);
            if let Some(member) = texts.get_mut(at) {
                *member = document.json().find(value);
            }
        })?;
        texts.resize(start.saturating_add(count.saturating_mul(2)), None);
        let (pairs, _) = texts.get_mut(start..)?.as_chunks_mut();
        let mut sound = true;
        for [issuer, subject] in pairs {
            let is_name = |text: &Span| !text.is_empty();
            let mut read = |raw: Span| document.json_mut().string(raw).filter(is_name);
            let has_issuer = issuer.is_some();
            (*issuer, *subject) = (issuer.and_then(&mut read), subject.and_then(&mut read));
            sound &= subject.is_some() && issuer.is_some() == has_issuer;
        }
        if !sound {
            texts.truncate(start);
        }
        sound.then_some(())
    }

    /// Reads a string that may be missing.
    fn optional(&mut self, raw: Option<Span>) -> Option<Option<Span>> {
        raw.map_or(Some(None), |raw| self.string(raw).map(Some))
    }
}

/// Returns the words that this character separates, without the spaces around them, and no empty ones.
fn words(text: &[u8], delimiter: char) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    let words = from_fn(move || {
        let text = rest?;
        let mut encoded = [0; 4];
        let delimiter = delimiter.encode_utf8(&mut encoded).as_bytes();
        let end = match delimiter {
            [byte] => memchr::memchr(*byte, text),
            _ => memchr::memmem::find(text, delimiter),
        };
        let (mut word, behind) = text.split_at_checked(end.unwrap_or(text.len()))?;
        rest = behind.get(delimiter.len()..);
        while let [b' ', trimmed @ ..] | [trimmed @ .., b' '] = word {
            word = trimmed;
        }
        Some(word)
    });
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn issuer(json: &str) -> Option<String> {
        let mut document = Document::read(json.to_owned()).unwrap();
        let issuer = read_issuer(&mut document)?;
        Some(document.text(issuer).to_owned())
    }

    /// Reads these claims of a token that also names its issuer.
    fn read(json: &str) -> Claims {
        let json = json.replacen('{', r#"{"iss":"https://i","#, 1);
        let mut document = Document::read(json).unwrap();
        let issuer = read_issuer(&mut document).unwrap();
        read_claims(Header::default(), document, issuer, &Profile::rfc9068())
    }

    fn problem(json: &str) -> Option<(Reason, String)> {
        read(json).problem.map(|problem| (problem.reason, problem.claim.into_owned()))
    }

    #[test]
    fn a_known_claim_of_another_type_is_a_problem_and_never_absent() {
        for (name, wrong) in [
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
            ("scope", r#"["a"]"#),
            ("cnf", r#""x""#),
            ("may_act", "[]"),
            ("may_act", r#"{"sub":1}"#),
        ] {
            let json = format!("{{\"{name}\":{wrong}}}");
            let (reason, claim) = problem(&json).expect(&json);
            assert_eq!((reason, &*claim), (Reason::ClaimTypeInvalid, name), "{json}");
        }
    }

    #[test]
    fn a_claim_about_the_authentication_that_has_another_type_is_unreadable_and_no_problem() {
        let unreadable = |json: &str| read(json).unreadable().collect::<Vec<_>>();
        for (name, wrong) in [
            ("acr", "2"),
            ("acr", "null"),
            ("amr", r#""pwd""#),
            ("amr", r#"[{"method":"otp"}]"#),
            ("amr", r#"["pwd",1]"#),
            ("auth_time", r#""1800000000""#),
            ("auth_time", "-1"),
            ("auth_time", "null"),
        ] {
            let json = format!("{{\"{name}\":{wrong}}}");
            assert_eq!(unreadable(&json), [name], "{json}");
            assert_eq!(problem(&json), None, "{json}");
        }
        assert!(unreadable(r#"{"acr":"","amr":[],"auth_time":0}"#).is_empty());
        assert!(unreadable(r#"{"sub":"a"}"#).is_empty());
        // Twice is a mistake of the whole payload, as for every claim.
        assert_eq!(problem(r#"{"acr":"a","acr":"b"}"#).unwrap().0, Reason::ClaimsMalformed);
    }

    #[test]
    fn details_without_a_type_are_a_problem_of_their_own() {
        for wrong in ["{}", r#""x""#, "[1]", "[{}]", r#"[{"type":1}]"#, "null"] {
            let json = format!("{{\"authorization_details\":{wrong}}}");
            assert_eq!(problem(&json).unwrap().0, Reason::AuthorizationDetailsInvalid, "{json}");
        }
        assert!(problem(r#"{"authorization_details":[{"type":"t","x":1}]}"#).is_none());
        assert!(problem(r#"{"authorization_details":[]}"#).is_none());
    }

    #[test]
    fn every_actor_needs_a_subject() {
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
            assert_eq!(problem(&json).unwrap().0, Reason::ActorMalformed, "{json}");
        }
        let chain = r#"{"act":{"sub":"a","x":1,"act":{"sub":"b","iss":"https://i"}}}"#;
        assert!(problem(chain).is_none());
        assert_eq!(read(chain).actor_count(), 2);
    }

    #[test]
    fn the_problem_of_the_earlier_check_is_kept() {
        assert_eq!(problem(r#"{"act":1,"exp":"1"}"#).unwrap().0, Reason::ClaimTypeInvalid);
        assert_eq!(problem(r#"{"exp":"1","x":1,"x":2}"#).unwrap().0, Reason::ClaimsMalformed);
    }

    #[test]
    fn an_issuer_that_is_there_with_two_values_or_is_not_a_string_names_no_one() {
        for one in [r#"{"iss":"a"}"#, r#"{"iss":"a","iss":"a"}"#, r#"{"iss":"a","\u0069ss":"a"}"#] {
            assert_eq!(issuer(one).as_deref(), Some("a"), "{one}");
        }
        for wrong in [
            r#"{"iss":"a","\u0069ss":"b"}"#,
            r#"{"iss":"a","iss":"a","iss":"b"}"#,
            r#"{"iss":"a","iss":"\u0061"}"#,
            r#"{"iss":1}"#,
        ] {
            assert_eq!(issuer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn texts_are_read_with_and_without_escapes() {
        let claims = read(r#"{"sub":"a\u0062c","scope":"x  y "}"#);
        assert_eq!(claims.issuer(), "https://i");
        assert_eq!(claims.subject(), Some("abc"));
        assert_eq!(claims.scopes().collect::<Vec<_>>(), ["x", "y"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_are_what_stands_between_the_delimiters(
            text in "[ab é,，]{0,12}",
            delimiter in select(vec![' ', ',', '，', 'é', 'a']),
        ) {
            let found: Vec<_> = words(text.as_bytes(), delimiter).collect();
            let between = text.split(delimiter).map(|word| word.trim_matches(' ').as_bytes());
            prop_assert_eq!(found, between.filter(|word| !word.is_empty()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn more_scopes_than_are_read_is_a_problem() {
        let json = format!("{{\"scope\":\"{}\"}}", "s ".repeat(2000));
        assert_eq!(problem(&json), Some((Reason::ClaimsMalformed, "scope".to_owned())));
    }
}
