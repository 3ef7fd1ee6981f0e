//! What is asked: one concrete operation, as an authorization detail.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::path::MemberPath;

/// One concrete operation as an authorization detail, for [`Require::detail`](crate::Require::detail).
///
/// It names its type and gives a value to each member that the type's [`DetailType`](super::DetailType) compares.
/// Build it from the request as your handler understood it, never from details that the client sent. Members are
/// texts, whole numbers (which become texts), or sets of texts. A floating-point number does not compile, since an
/// amount must not be rounded.
///
/// ```
/// use unconfused::detail::Detail;
///
/// let id = 7;
/// let refund = Detail::of("order_refund").with("order", id).with("amount", "12.50");
/// assert_eq!(refund.to_json(), r#"{"amount":"12.50","order":"7","type":"order_refund"}"#);
///
/// let transfer = Detail::of("transfer")
///     .with("actions", ["initiate"])
///     .with(["instructedAmount", "amount"], "5000.00")
///     .with(["instructedAmount", "currency"], "GBP");
/// assert_eq!(
///     transfer.to_json(),
///     r#"{"actions":["initiate"],"instructedAmount":{"amount":"5000.00","currency":"GBP"},"type":"transfer"}"#
/// );
/// ```
///
/// ```compile_fail,E0277
/// # use unconfused::detail::Detail;
/// let refund = Detail::of("order_refund").with("amount", 12.5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a detail does nothing until it is required"]
pub struct Detail {
    type_name: String,
    pub(super) members: Members,
    consent: Consent,
}

/// The members of a detail, or of an object in it, sorted by name.
pub(super) type Members = BTreeMap<String, Member>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member {
    Text(String),
    Set(BTreeSet<String>),
    Object(Members),
}

/// What counts as consent to a detail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Consent {
    /// The token's `authorization_details` cover it.
    #[default]
    Granted,
    /// It was approved for this one transaction; see [`Detail::approved`].
    Approved,
    /// Either of both; see [`Detail::approved_or_granted`].
    ApprovedOrGranted,
}

impl Detail {
    /// Makes a detail of this type without any members.
    pub fn of(type_name: impl Into<String>) -> Self {
        let (type_name, members) = (type_name.into(), Members::new());
        Detail { type_name, members, consent: Consent::Granted }
    }

    /// Sets a member, and replaces what was there.
    ///
    /// The path is a name, or an array of names that leads into nested objects. The value is a text, a whole number, or
    /// an array or `Vec` of texts, which is a set: order and repetition do not count.
    pub fn with(mut self, path: impl Into<MemberPath>, value: impl Into<DetailValue>) -> Self {
        let MemberPath { objects, name } = path.into();
        let mut members = &mut self.members;
        for object in objects {
            let member = members.entry(object).or_insert_with(|| Member::Object(Members::new()));
            if !matches!(member, Member::Object(_)) {
                *member = Member::Object(Members::new());
            }
            let Member::Object(inner) = member else { return self };
            members = inner;
        }
        members.insert(name, value.into().0);
        self
    }

    /// Asks that this detail was approved for this one transaction, and not only granted with the token.
    ///
    /// A token that lacks the approval is answered with a signed challenge, and the token that comes back counts once. The
    /// guard needs [`Guard::approvals`](crate::Guard::approvals) and [`Guard::replay`](crate::Guard::replay): without
    /// them, a layer panics at set-up, and any other request is answered with 500.
    ///
    /// Ask for it in the last requirement of a request, as for [`single_use`](crate::Require::single_use): if a layer
    /// asks for it and something behind the layer refuses the request, the approval is used up.
    ///
    /// Give each kind of operation a type of its own. Two operations that ask for an equal detail accept the same
    /// approval. Within one request, equal details are one: if a request can ask for the same thing twice, say how often
    /// in a member, or refuse the request.
    pub fn approved(mut self) -> Self {
        self.consent = Consent::Approved;
        self
    }

    /// Asks that this detail was approved for this one transaction, or is granted by a token that this request spends.
    ///
    /// If neither is the case, a client that understands challenges is sent one, as for [`approved`](Self::approved). Any
    /// other client is told which details to get consent for.
    pub fn approved_or_granted(mut self) -> Self {
        self.consent = Consent::ApprovedOrGranted;
        self
    }

    /// Returns the name of the type.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Returns what counts as consent. Defaults to [`Consent::Granted`].
    #[must_use]
    pub fn consent(&self) -> Consent {
        self.consent
    }

    /// Returns the detail as an entry of `authorization_details`
    /// ([RFC 9396 section 2](https://www.rfc-editor.org/rfc/rfc9396#section-2)): a JSON object, its members sorted by
    /// name and its sets by text. It does not say what counts as consent.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An entry of `authorization_details`, as [`Detail::to_json`] writes it.
impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_before = |(name, _): &(&String, &Member)| name.as_str() < "type";
        let before = self.members.iter().take_while(is_before);
        let after = self.members.iter().skip_while(is_before).filter(|(name, _)| *name != "type");
        let mut map = serializer.serialize_map(None)?;
        for (name, member) in before {
            map.serialize_entry(name, member)?;
        }
        map.serialize_entry("type", &self.type_name)?;
        for (name, member) in after {
            map.serialize_entry(name, member)?;
        }
        map.end()
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Member::Text(text) => text.serialize(serializer),
            Member::Set(texts) => texts.serialize(serializer),
            Member::Object(members) => members.serialize(serializer),
        }
    }
}

/// The value of one member of a [`Detail`]: a text, or a set of texts.
///
/// It is made from strings, whole numbers, and arrays of strings, and not from floating-point numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailValue(Member);

impl From<&str> for DetailValue {
    fn from(text: &str) -> Self {
        DetailValue(Member::Text(text.to_owned()))
    }
}

impl From<String> for DetailValue {
    fn from(text: String) -> Self {
        DetailValue(Member::Text(text))
    }
}

impl From<&String> for DetailValue {
    fn from(text: &String) -> Self {
        DetailValue(Member::Text(text.clone()))
    }
}

macro_rules! from_whole_numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for DetailValue {
            fn from(number: $number) -> Self {
                DetailValue(Member::Text(number.to_string()))
            }
        }
    )*};
}

from_whole_numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl<S: Into<String>, const N: usize> From<[S; N]> for DetailValue {
    fn from(texts: [S; N]) -> Self {
        DetailValue(Member::Set(texts.into_iter().map(Into::into).collect()))
    }
}

impl<S: Into<String>> From<Vec<S>> for DetailValue {
    fn from(texts: Vec<S>) -> Self {
        DetailValue(Member::Set(texts.into_iter().map(Into::into).collect()))
    }
}
