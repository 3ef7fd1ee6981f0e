//! A requirement from text: reads what `Display` writes.

use std::str::{CharIndices, FromStr};
use std::time::Duration;

use super::lists::without_repeats;
use super::required_claim::{ClaimTest, RequiredClaim};
use super::requirement::Require;
use crate::config_error::ConfigError;
use crate::names::{Acr, InvalidName, Scope};
use crate::printable::Printable;
use crate::token::Party;

/// What a requirement may ask for, for the message about a word that is none of these.
const KNOWN: &str = "scope, detail_of_type, acr, max_age, actor, actor_if_any, delegated, undelegated, issuer, client, \
     claim, person, single_use, sender_constrained or valid_token";

/// Reads a requirement as `Display` writes it, so that it can stand in a configuration file.
///
/// The text is a list of parts with white space between them, in any order. Only `scope`, `claim` and `detail_of_type`
/// may stand more than once. A list has `|` between its items, and one of them is enough.
///
/// | part | asks for |
/// |---|---|
/// | `valid_token` | a valid token and nothing more; stands alone |
/// | `scope=orders:read`, `scope=a\|b` | [`scope`](Self::scope), [`any_scope`](Self::any_scope); all `scope` parts are required |
/// | `acr=phr\|mfa` | [`acr`](Self::acr), in order of preference |
/// | `max_age=300` | [`max_age`](Self::max_age), in seconds, with up to 9 decimals |
/// | `actor="agent-7" of "https://login.example"` | [`actor`](Self::actor) |
/// | `actor_if_any="agent-7" of "https://login.example"` | [`actor_if_any`](Self::actor_if_any) |
/// | `actor_namespace=own` | actors that are listed, and of the namespace of the token's issuer; what [`and`](Self::and) makes of a list and a requirement without one |
/// | `delegated`, `undelegated`, `person` | [`delegated`](Self::delegated), [`undelegated`](Self::undelegated), [`person`](Self::person) |
/// | `issuer="https://login.example"` | [`issuer`](Self::issuer) |
/// | `client="web-app" of "https://login.example"` | [`client`](Self::client) |
/// | `claim="department" is "returns" of "https://login.example"` | [`claim_is`](Self::claim_is) |
/// | `claim="realm_access"/"roles" contains "refunds" of "https://login.example"` | [`claim_contains`](Self::claim_contains); `/` stands between the names of a path |
/// | `sender_constrained`, `single_use` | [`sender_constrained`](Self::sender_constrained), [`single_use`](Self::single_use) |
/// | `detail_of_type="order_refund"` | [`detail_of_type`](Self::detail_of_type) |
///
/// A name of a party, an issuer, a claim or a type of details, and the value of a claim, stands in quotes and is written as
/// [`Printable`](crate::audit::Printable) writes it. A scope or a class that contains `|` stands in quotes too.
///
/// Two things cannot be read:
///
/// - A [`detail`](Self::detail), whose values are not printed. Require it in code.
/// - A name in quotes of more than [256 characters](crate::audit::Printable::LIMIT), which is printed cut.
///
/// A text can be read and still ask for what no token has, such as `acr=` or `delegated undelegated`. Ask
/// [`can_never_be_met`](Self::can_never_be_met): a layer panics for such a requirement.
///
/// ```
/// use std::time::Duration;
/// use unconfused::{Acr, Require, Scope};
///
/// let refunds: Require = "scope=orders:refund acr=phr max_age=300".parse()?;
/// assert_eq!(
///     refunds,
///     Require::scope(Scope::new("orders:refund")?).acr([Acr::new("phr")?]).max_age(Duration::from_secs(300))
/// );
///
/// let refused = "scope=orders:refund max_age=5min".parse::<Require>().unwrap_err();
/// assert_eq!(refused.problem(), "at character 29: expected seconds, such as 300 or 0.5");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Returns [`ConfigError`] if the text is written in another way, and says at which character. An empty text is refused.
impl FromStr for Require {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut reader = Reader { text, rest: text };
        reader.requirement().map_err(|Problem { at, what }| {
            let before = text.get(..at).unwrap_or_default().chars().count();
            let problem = format!("at character {}: {what}", before.saturating_add(1));
            ConfigError::new(text, "a requirement", problem)
        })
    }
}

/// What is wrong, and at which byte.
struct Problem {
    at: usize,
    what: String,
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn requirement(&mut self) -> Result<Require, Problem> {
        let mut read = Require::valid_token();
        let mut names: Vec<&str> = Vec::new();
        let mut own_namespace = None;
        loop {
            self.skip_space();
            if self.rest.is_empty() {
                break;
            }
            let at = self.at();
            let name = self.take_until(|c| c == '=' || c.is_ascii_whitespace());
            let refuse = |what: String| Err(Problem { at, what });
            let may_repeat = matches!(name, "scope" | "claim" | "detail_of_type");
            if names.contains(&name) && !may_repeat {
                return refuse(format!("`{name}` stands twice"));
            }
            match name {
                "valid_token" => {
                    self.flag(name)?;
                }
                "scope" => {
                    let group = self.list(name, |reader| reader.word(Scope::new))?;
                    read.add_scopes(without_repeats(group));
                }
                "detail_of_type" => {
                    self.equals(name)?;
                    read.detail_types.push(self.quoted()?);
                }
                "acr" => {
                    let classes = self.list(name, |reader| reader.word(Acr::new))?;
                    read.acr = Some(without_repeats(classes));
                }
                "max_age" => {
                    self.equals(name)?;
                    read.max_age = Some(self.seconds()?);
                }
                "actor" | "actor_if_any" => {
                    if read.actors.is_some() {
                        return refuse("`actor` and `actor_if_any` exclude each other".to_owned());
                    }
                    read.actors = Some(without_repeats(self.list(name, Self::party)?));
                    read.actor_required = name == "actor";
                    read.foreign_actors_allowed = true;
                }
                "actor_namespace" => {
                    self.equals(name)?;
                    let value = self.at();
                    if self.take_until(|c| c.is_ascii_whitespace()) != "own" {
                        return Err(Problem { at: value, what: "expected `own`".to_owned() });
                    }
                    own_namespace = Some(at);
                }
                "delegated" => read.delegated = self.flag(name)?,
                "undelegated" => read.undelegated = self.flag(name)?,
                "person" => read.person = self.flag(name)?,
                "single_use" => read.single_use = self.flag(name)?,
                "sender_constrained" => read.sender_constrained = self.flag(name)?,
                "issuer" => read.issuers = Some(without_repeats(self.list(name, Self::quoted)?)),
                "client" => read.clients = Some(without_repeats(self.list(name, Self::party)?)),
                "claim" => {
                    self.equals(name)?;
                    read.add_claim(self.claim()?);
                }
                "detail" | "approved_detail" | "approved_or_granted_detail" => {
                    return refuse(format!(
                        "`{name}` cannot be read, since the values of a detail are not printed: require it in code"
                    ));
                }
                other => {
                    let other = Printable::from(other);
                    return refuse(format!(
                        "{other:?} is not a part of a requirement: expected {KNOWN}"
                    ));
                }
            }
            self.end_of_part()?;
            names.push(name);
        }
        if let Some(at) = own_namespace {
            if read.actors.is_none() {
                let what = "`actor_namespace` needs `actor` or `actor_if_any`".to_owned();
                return Err(Problem { at, what });
            }
            read.foreign_actors_allowed = false;
        }
        if names.is_empty() {
            return self
                .refuse("it asks for nothing: write `valid_token` if a valid token is enough");
        }
        if names.len() > 1 && names.contains(&"valid_token") {
            return self.refuse("`valid_token` stands alone");
        }
        read.detail_types = without_repeats(read.detail_types);
        Ok(read)
    }

    /// Reads what a list has behind its name. It may be empty.
    fn list<T>(
        &mut self,
        name: &str,
        item: impl Fn(&mut Self) -> Result<T, Problem>,
    ) -> Result<Vec<T>, Problem> {
        self.equals(name)?;
        let mut items = Vec::new();
        if self.is_at_end_of_part() {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.skip("|") {
                return Ok(items);
            }
        }
    }

    /// Reads a scope or a class.
    fn word<T>(&mut self, make: impl Fn(&'a str) -> Result<T, InvalidName>) -> Result<T, Problem> {
        let at = self.at();
        let word = if self.skip("\"") {
            // Its grammar has no quotes, and so no escapes.
            let word = self.take_until(|c| c == '"');
            if !self.skip("\"") {
                return Err(Problem { at, what: "the quotes do not end".to_owned() });
            }
            word
        } else {
            self.take_until(|c| c == '|' || c.is_ascii_whitespace())
        };
        make(word).map_err(|invalid| Problem { at, what: invalid.to_string() })
    }

    fn party(&mut self) -> Result<Party<'static>, Problem> {
        let name = self.quoted()?;
        self.skip_space();
        let spaced = self.skip("of") && self.rest.starts_with(|c: char| c.is_ascii_whitespace());
        if !spaced {
            return self.refuse("expected `of` and the issuer that gave the name, in quotes");
        }
        self.skip_space();
        Ok(Party::new(self.quoted()?, name))
    }

    fn claim(&mut self) -> Result<RequiredClaim, Problem> {
        let at = self.at();
        let mut path = vec![self.quoted()?];
        while self.skip("/") {
            path.push(self.quoted()?);
        }
        self.skip_space();
        let test = if self.skip("is") {
            ClaimTest::Is
        } else if self.skip("contains") {
            ClaimTest::Contains
        } else {
            return self.refuse("expected `is` or `contains`");
        };
        if !self.rest.starts_with(|c: char| c.is_ascii_whitespace()) {
            return self.refuse("expected a space and the value, in quotes");
        }
        self.skip_space();
        let stated = self.party()?;
        let (issuer, value) = (stated.issuer().to_owned(), stated.name().to_owned());
        RequiredClaim::new(issuer, path.into(), test, value).map_err(|what| Problem { at, what })
    }

    /// Reads a name as [`Printable`] writes it between quotes.
    fn quoted(&mut self) -> Result<String, Problem> {
        let at = self.at();
        let refuse = |what: String| Err(Problem { at, what });
        let whole = self.rest;
        if !self.skip("\"") {
            return refuse("expected a name in quotes".to_owned());
        }
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            match chars.next() {
                None => return refuse("the quotes do not end".to_owned()),
                Some((_, '"')) => break,
                Some((_, '\\')) => match escaped(&mut chars) {
                    Some(c) => name.push(c),
                    None => return refuse(r#"expected an escape such as \" or \u{e9}"#.to_owned()),
                },
                Some((_, c)) => name.push(c),
            }
        }
        self.rest = chars.as_str();
        if name.chars().count() > Printable::LIMIT {
            return refuse(format!("the name has more than {} characters", Printable::LIMIT));
        }
        // Nothing that is invisible stands in a configuration unseen, and each name is written in one way.
        let canonical = format!("{:?}", Printable::from(&*name));
        match whole.strip_suffix(self.rest) {
            Some(written) if written == canonical => Ok(name),
            _ => refuse(format!("the name has to be written as {canonical}")),
        }
    }

    /// Reads seconds with up to 9 decimals.
    fn seconds(&mut self) -> Result<Duration, Problem> {
        let at = self.at();
        let text = self.take_until(|c| c.is_ascii_whitespace());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_digit());
        let whole = Some(whole).filter(is_number).and_then(|whole| whole.parse().ok());
        let decimals = Some(decimals).filter(is_number).filter(|d| (1..=9).contains(&d.len()));
        let nanos = decimals.and_then(|decimals| format!("{decimals:0<9}").parse().ok());
        match (whole, nanos) {
            (Some(whole), Some(nanos)) => Ok(Duration::new(whole, nanos)),
            _ => Err(Problem { at, what: "expected seconds, such as 300 or 0.5".to_owned() }),
        }
    }

    fn equals(&mut self, name: &str) -> Result<(), Problem> {
        if self.skip("=") { Ok(()) } else { self.refuse(&format!("`{name}` needs a value")) }
    }

    /// Returns true for a part without a value.
    fn flag(&self, name: &str) -> Result<bool, Problem> {
        if self.rest.starts_with('=') {
            return self.refuse(&format!("`{name}` has no value"));
        }
        Ok(true)
    }

    fn is_at_end_of_part(&self) -> bool {
        self.rest.chars().next().is_none_or(|c| c.is_ascii_whitespace())
    }

    fn end_of_part(&self) -> Result<(), Problem> {
        if self.is_at_end_of_part() { Ok(()) } else { self.refuse("expected a space or `|`") }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_until(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// The place of what comes next, in bytes.
    fn at(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Problem> {
        Err(Problem { at: self.at(), what: what.to_owned() })
    }
}

/// Reads an escape behind its backslash.
fn escaped(chars: &mut CharIndices<'_>) -> Option<char> {
    match chars.next()?.1 {
        c @ ('"' | '\\') => Some(c),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => {
            let (digits, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
            *chars = rest.char_indices();
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
        _ => None,
    }
}
