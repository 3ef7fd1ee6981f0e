//! The claims of one token, each with its type
//! (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8693 section 4, RFC 9396 section 9.1).

use std::borrow::Cow;

use time::UtcDateTime;

use crate::dates::numeric_date;
use crate::jose::Header;
use crate::json::{Document, Text, array, chain, members, string};
use crate::profile::{Profile, ScopeShape, SubjectKind};
use crate::proof::Confirmation;
use crate::reason::Reason;

/// The most scopes that are read.
const MAX_SCOPES: usize = 1024;

/// A pair of `iss` and `sub` as it stands in `act` or `may_act`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) iss: Option<Text>,
    pub(super) sub: Option<Text>,
}

/// Some of the texts of all lists, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct List {
    start: u16,
    end: u16,
}

impl List {
    pub(super) fn len(self) -> usize {
        self.end.saturating_sub(self.start).into()
    }
}

/// The claims of a token, read as its issuer's profile says. Nothing here says that they are true: that is the
/// token's type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    header: Header,
    document: Document,
    /// The texts of all lists; of a link of `act` two, its issuer and its subject.
    texts: Vec<Option<Text>>,
    pub(super) iss: Option<Text>,
    pub(super) subject: Option<Text>,
    pub(super) client: Option<Text>,
    pub(super) token_id: Option<Text>,
    pub(super) tenant: Option<Text>,
    pub(super) acr: Option<Text>,
    pub(super) aud: List,
    scopes: List,
    pub(super) amr: List,
    pub(super) exp: Option<UtcDateTime>,
    pub(super) nbf: Option<UtcDateTime>,
    pub(super) iat: Option<UtcDateTime>,
    pub(super) auth_time: Option<UtcDateTime>,
    /// The links of `act`, the current actor first.
    act: List,
    /// `act` names the subject and nobody else.
    pub(super) acts_itself: bool,
    /// `act` names somebody who took the subject's place.
    pub(super) impersonated: bool,
    pub(super) may_act: Option<Link>,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) subject_kind: SubjectKind,
    /// The profile finds that the client is an agent.
    pub(super) client_is_agent: bool,
    /// What is wrong with them, in the order of the steps: 22, 23 with 70, 24, 60.
    pub(super) flaw: Option<Box<Flaw>>,
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

    /// Reads the claims of a payload, whose issuer is known.
    pub(super) fn read(
        header: Header,
        document: Document,
        issuer: Option<Text>,
        profile: &Profile,
    ) -> Self {
        let texts = Vec::with_capacity(16);
        let claims = Claims { header, document, texts, iss: issuer, ..Claims::default() };
        let mut reader = Reader { claims, profile };
        reader.read();
        let mut claims = reader.claims;
        let (subject, client) = (claims.subject(), claims.client());
        let kind = profile.subject_kind(&claims.document, subject, client);
        let is_agent = profile.client_is_agent(&claims.document, client);
        (claims.subject_kind, claims.client_is_agent) = (kind, is_agent);
        claims
    }

    /// The header of the token.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, as it was sent.
    pub(crate) fn payload(&self) -> &str {
        self.document.json().whole()
    }

    pub(super) fn text(&self, text: Text) -> &str {
        self.document.text(text)
    }

    pub(super) fn optional(&self, text: Option<Text>) -> Option<&str> {
        text.map(|text| self.text(text))
    }

    /// The texts of a list.
    pub(super) fn list(&self, list: List) -> impl Iterator<Item = &str> {
        let texts = self.texts.get(usize::from(list.start)..usize::from(list.end));
        texts.unwrap_or_default().iter().flatten().map(|text| self.text(*text))
    }

    /// The links of `act`, the current actor first.
    pub(super) fn links(&self) -> impl ExactSizeIterator<Item = Link> {
        let List { start, end } = self.act;
        let texts = self.texts.get(usize::from(start)..usize::from(end)).unwrap_or_default();
        let (links, _) = texts.as_chunks();
        links.iter().map(|[iss, sub]| Link { iss: *iss, sub: *sub })
    }

    /// A claim by its name, as it was written.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.document.get(name)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.list(self.scopes).filter(|scope| !scope.is_empty())
    }
}

/// `iss` of a payload; none where it is no string, or stands twice: then it names nobody.
pub(super) fn issuer_of(document: &mut Document) -> Option<Text> {
    let iss = document.find("iss").filter(|_| document.count("iss") == 1)?;
    document.json_mut().string(iss)
}

/// Takes claims out of a payload and remembers the first flaw.
struct Reader<'p> {
    claims: Claims,
    profile: &'p Profile,
}

impl Reader<'_> {
    fn read(&mut self) {
        if !self.claims.document.is_sound() {
            self.note(Reason::ClaimsMalformed, "");
        }
        let profile = self.profile;
        self.is_text("iss");
        // What RFC 9068 names has its type also where the profile looks elsewhere.
        for name in ["sub", "client_id", "jti"] {
            if !profile.names(name) {
                self.is_text(name);
            }
        }
        // The first that is there; the others have their type.
        let mut client = None;
        for name in &profile.clients {
            let named = self.text(name);
            client = client.or(named);
        }
        self.claims.client = client;
        let subject = self.text(&profile.subject);
        self.claims.subject = subject.or(client.filter(|_| profile.subject_or_client));
        self.claims.token_id = self.text(&profile.token_id);
        self.claims.tenant = profile.tenant.as_ref().and_then(|name| self.text(name));
        // RFC 7519 section 4.1.3: one string, or an array of them.
        self.claims.aud =
            self.typed("aud", |reader, raw| reader.one(raw).or_else(|| reader.list(raw)));
        self.claims.exp = self.date("exp");
        self.claims.nbf = self.date("nbf");
        self.claims.iat = self.date("iat");
        self.claims.auth_time = self.date("auth_time");
        self.scopes();
        self.claims.acr = self.text("acr");
        self.claims.amr = self.typed("amr", Self::list);
        self.claims.confirmation = self.typed("cnf", |reader, raw| {
            Confirmation::read(reader.claims.document.json_mut(), raw).map(Some)
        });
        self.claims.may_act = self.typed("may_act", Self::may_act);
        self.claims.impersonated = profile.act_names_impersonators;
        for name in profile.string_claims() {
            self.is_text(name);
        }
        self.details();
        let document = &self.claims.document;
        if let Some(claim) = profile.rejected_kind(document, self.claims.client()) {
            self.note(Reason::TokenKindRejected, claim);
        }
        // Last: step 60 comes after 24.
        self.act();
    }

    /// The flaw of the earliest step is kept.
    fn note(&mut self, reason: Reason, claim: impl Into<Cow<'static, str>>) {
        if self.claims.flaw.is_none() {
            self.claims.flaw = Some(Box::new(Flaw { reason, claim: claim.into() }));
        }
    }

    /// A claim of a known type: absent is fine, another type is a flaw and never "absent".
    fn typed<T: Default>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, Text) -> Option<T>,
    ) -> T {
        let Some(raw) = self.claims.document.find(name) else { return T::default() };
        read(self, raw).unwrap_or_else(|| {
            self.note(Reason::ClaimTypeInvalid, name.to_owned());
            T::default()
        })
    }

    fn string(&mut self, raw: Text) -> Option<Text> {
        self.claims.document.json_mut().string(raw)
    }

    fn text(&mut self, name: &str) -> Option<Text> {
        self.typed(name, |reader, raw| reader.string(raw).map(Some))
    }

    /// A claim that is not kept is a string, where it is there.
    fn is_text(&mut self, name: &str) {
        self.typed(name, |reader, raw| string(reader.claims.text(raw)).map(drop));
    }

    fn date(&mut self, name: &str) -> Option<UtcDateTime> {
        self.typed(name, |reader, raw| numeric_date(reader.claims.text(raw)).map(Some))
    }

    /// The texts that were added since there were so many.
    fn since(&self, start: usize) -> Option<List> {
        let end = self.claims.texts.len();
        Some(List { start: start.try_into().ok()?, end: end.try_into().ok()? })
    }

    /// A string, as a list of one.
    fn one(&mut self, raw: Text) -> Option<List> {
        let start = self.claims.texts.len();
        let text = self.string(raw)?;
        self.claims.texts.push(Some(text));
        self.since(start)
    }

    /// An array of strings.
    fn list(&mut self, raw: Text) -> Option<List> {
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
        self.since(start).filter(|_| sound)
    }

    /// A string with spaces between.
    fn words(&mut self, raw: Text) -> Option<List> {
        let text = self.string(raw)?;
        let Claims { document, texts, .. } = &mut self.claims;
        let start = texts.len();
        let words = document.text(text).split(' ').filter(|word| !word.is_empty());
        texts.extend(words.map(|word| document.json().find(word)));
        self.since(start)
    }

    /// Where the profile says; and `scope` has the type of RFC 8693 section 4.2 also where it looks elsewhere.
    fn scopes(&mut self) {
        let profile = self.profile;
        if !profile.scopes.iter().any(|(name, _)| name == "scope") {
            self.is_text("scope");
        }
        let start = self.claims.texts.len();
        for (name, shape) in &profile.scopes {
            self.typed(name, |reader, raw| match shape {
                ScopeShape::Text => reader.words(raw),
                ScopeShape::Array => reader.list(raw),
                ScopeShape::Either => reader.words(raw).or_else(|| reader.list(raw)),
            });
        }
        let scopes = self.since(start);
        match scopes.filter(|scopes| scopes.len() <= MAX_SCOPES) {
            Some(scopes) => self.claims.scopes = scopes,
            None => {
                let claim = "scope".into();
                self.claims.flaw = Some(Flaw { reason: Reason::ClaimsMalformed, claim }.into());
            }
        }
    }

    /// RFC 8693 section 4.4. Without `sub` it names nobody.
    fn may_act(&mut self, raw: Text) -> Option<Option<Link>> {
        let Claims { document, .. } = &self.claims;
        let (mut iss, mut sub) = (None, None);
        for (name, value) in members(document.text(raw))? {
            match &*name {
                "iss" => iss = document.json().find(value),
                "sub" => sub = document.json().find(value),
                _ => {}
            }
        }
        let (iss, sub) = (self.optional(iss)?, self.optional(sub)?);
        Some(sub.map(|_| Link { iss, sub }))
    }

    /// RFC 9396 sections 2 and 9.1: an array of objects, each with a string `type`.
    fn details(&mut self) {
        let Some(raw) = self.claims.document.get("authorization_details") else {
            return;
        };
        let typed = |detail: &str| {
            let mut types = members(detail)?.filter(|(name, _)| name == "type");
            types.next().and_then(|(_, value)| string(value).map(drop))
        };
        let sound = array(raw).is_some_and(|mut details| details.all(|one| typed(one).is_some()));
        if !sound {
            self.note(Reason::AuthorizationDetailsInvalid, "authorization_details");
        }
    }

    /// RFC 8693 section 4.1: every actor has a name. A payload that is too deep has its flaw already.
    fn act(&mut self) {
        let document = &self.claims.document;
        let Some(raw) = document.find("act").filter(|_| document.is_sound()) else { return };
        let start = self.claims.texts.len();
        match self.links(raw).and_then(|()| self.since(start)) {
            Some(links) => {
                self.claims.act = links;
                self.claims.acts_itself = self.claims.is_own_actor();
            }
            None => self.note(Reason::ActorMalformed, "act"),
        }
    }

    /// In one pass, whatever the depth.
    fn links(&mut self, raw: Text) -> Option<()> {
        let Claims { document, texts, .. } = &mut self.claims;
        let start = texts.len();
        let links = chain(document.text(raw), "act", |level, name, value| {
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
        texts.resize(start.saturating_add(links.saturating_mul(2)), None);
        let (links, _) = texts.get_mut(start..)?.as_chunks_mut();
        let mut sound = true;
        for [iss, sub] in links {
            let named = |text: &Text| !text.is_empty();
            let mut read = |raw: Text| document.json_mut().string(raw).filter(named);
            let is_named = iss.is_some();
            (*iss, *sub) = (iss.and_then(&mut read), sub.and_then(&mut read));
            sound &= sub.is_some() && iss.is_some() == is_named;
        }
        if !sound {
            texts.truncate(start);
        }
        sound.then_some(())
    }

    /// A string that may be missing.
    fn optional(&mut self, raw: Option<Text>) -> Option<Option<Text>> {
        raw.map_or(Some(None), |raw| self.string(raw).map(Some))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Claims {
        let mut document = Document::read(json.to_owned()).unwrap();
        let issuer = issuer_of(&mut document);
        Claims::read(Header::default(), document, issuer, &Profile::rfc9068())
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
        assert_eq!(read(chain).links().len(), 2);
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
        assert_eq!(claims.optional(claims.iss), Some("https://i"));
        assert_eq!(claims.optional(claims.subject), Some("abc"));
        assert_eq!(claims.scopes().collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn more_scopes_than_are_read_is_a_flaw() {
        let json = format!("{{\"scope\":\"{}\"}}", "s ".repeat(2000));
        assert_eq!(flaw(&json), Some((Reason::ClaimsMalformed, "scope".to_owned())));
    }
}
