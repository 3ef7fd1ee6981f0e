//! The value of `txn`: when it was made, until when it counts, and a code over everything it was made for. Nothing is
//! stored, and every replica that has the key recognizes it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use time::UtcDateTime;

use super::requester::{Account, Bound, Requester};
use crate::jose::{constant_time_eq, decode, encode, hmac_sha256, sha256};

/// The key that makes transactions, shared by all replicas of a service.
///
/// A transaction contains an HMAC-SHA-256 under this key, so that it is recognized without being stored. To change the
/// key, give every replica the new one, and the old one as [`previous`](Self::previous). Drop the old key when its last
/// transactions are over: after 1 hour and 15 minutes, unless
/// [`time_to_approve`](super::Approvals::time_to_approve) says otherwise. `Debug` does not show the key.
///
/// ```
/// use unconfused::approvals::TransactionKey;
///
/// # let (current_secret, previous_secret) = ([1; 32], [2; 32]);
/// let key = TransactionKey::new(current_secret).previous(previous_secret);
/// # let _ = key;
/// ```
#[derive(Clone)]
pub struct TransactionKey {
    current: [u8; 32],
    previous: Option<[u8; 32]>,
}

impl TransactionKey {
    /// Makes a key of 32 random bytes that are kept secret and are the same at every replica.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        TransactionKey { current: key, previous: None }
    }

    /// Also recognizes transactions that were made with this key. New ones are never made with it.
    ///
    /// At most one previous key is kept: a second call replaces it.
    #[must_use]
    pub fn previous(mut self, key: [u8; 32]) -> Self {
        self.previous = Some(key);
        self
    }

    fn with_id(&self, id: [u8; 4]) -> Option<&[u8; 32]> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| id_of(key) == Some(id))
    }
}

impl From<[u8; 32]> for TransactionKey {
    fn from(key: [u8; 32]) -> Self {
        TransactionKey::new(key)
    }
}

impl fmt::Debug for TransactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransactionKey(..)")
    }
}

/// Tells keys apart. It says nothing about a key that is random.
fn id_of(key: &[u8; 32]) -> Option<[u8; 4]> {
    sha256([b"unconfused transaction key".as_slice(), key]).first_chunk().copied()
}

/// What a transaction is made for.
pub(super) struct Bindings<'a> {
    /// The name of this resource.
    pub(super) resource: &'a str,
    /// The authorization server that the challenge names.
    pub(super) server: &'a str,
    /// The details in canonical form.
    pub(super) details: &'a BTreeSet<String>,
    pub(super) requester: &'a Requester,
}

/// A transaction as its text says it. It counts only if its [code](Self::is_for) is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Txn {
    key_id: [u8; 4],
    nonce: [u8; 16],
    /// In seconds since 1970, as the next.
    made_at: i64,
    until: i64,
    pub(super) bound: Bound,
    code: [u8; 32],
}

impl Txn {
    /// The version of the form.
    const PREFIX: &'static str = "t1.";

    /// Makes a transaction. Returns `None` if the library fails.
    pub(super) fn make(
        key: &TransactionKey,
        nonce: [u8; 16],
        now: UtcDateTime,
        counts_for: Duration,
        bindings: &Bindings<'_>,
    ) -> Option<Self> {
        let made_at = now.unix_timestamp();
        let counts_for = i64::try_from(counts_for.as_secs()).ok()?;
        let mut txn = Txn {
            key_id: id_of(&key.current)?,
            nonce,
            made_at,
            until: made_at.checked_add(counts_for)?,
            bound: bindings.requester.bound(),
            code: [0; 32],
        };
        txn.code = txn.code_for(&key.current, bindings)?;
        Some(txn)
    }

    /// Reads the text of a transaction. `None` if it does not have the form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = decode(text.strip_prefix(Self::PREFIX)?)?;
        let (key_id, rest) = bytes.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (made_at, rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let ([bound], code) = rest.split_first_chunk()?;
        Some(Txn {
            key_id: *key_id,
            nonce: *nonce,
            made_at: i64::from_be_bytes(*made_at),
            until: i64::from_be_bytes(*until),
            bound: Bound(*bound),
            code: code.try_into().ok()?,
        })
    }

    /// True if it was made with one of our keys, and for exactly this.
    pub(super) fn is_for(&self, key: &TransactionKey, bindings: &Bindings<'_>) -> bool {
        let Some(key) = key.with_id(self.key_id) else { return false };
        self.code_for(key, bindings).is_some_and(|code| constant_time_eq(&code, &self.code))
    }

    pub(super) fn made_at(&self) -> Option<UtcDateTime> {
        UtcDateTime::from_unix_timestamp(self.made_at).ok()
    }

    pub(super) fn until(&self) -> Option<UtcDateTime> {
        UtcDateTime::from_unix_timestamp(self.until).ok()
    }

    fn head(&self) -> Vec<u8> {
        let mut head = self.key_id.to_vec();
        head.extend(self.nonce);
        head.extend(self.made_at.to_be_bytes());
        head.extend(self.until.to_be_bytes());
        head.push(self.bound.0);
        head
    }

    fn code_for(&self, key: &[u8; 32], bindings: &Bindings<'_>) -> Option<[u8; 32]> {
        let Bindings { resource, server, details, requester } = bindings;
        let Requester { actor, proof_key, certificate, account } = requester;
        let mut message = Message::default();
        message.put(format!("unconfused transaction {}", Self::PREFIX));
        message.put(self.head());
        message.put(resource);
        message.put(server);
        message.put_length(details.len());
        details.iter().for_each(|detail| message.put(detail));
        message.put_optional(actor.as_ref().map(|actor| actor.issuer()));
        message.put_optional(actor.as_ref().map(|actor| actor.name()));
        message.put_optional(proof_key.as_deref());
        message.put_optional(certificate.as_deref());
        let (subject, client) = match account {
            Some(Account { subject, client }) => (Some(subject.as_str()), client.as_deref()),
            None => (None, None),
        };
        message.put_optional(subject);
        message.put_optional(client);
        hmac_sha256(key, &message.0)?.try_into().ok()
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.head();
        bytes.extend(self.code);
        write!(f, "{}{}", Self::PREFIX, encode(bytes))
    }
}

/// Fields after their lengths, so that two different lists of fields never make the same message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn put_length(&mut self, length: usize) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.0.extend(length.to_be_bytes());
    }

    fn put(&mut self, field: impl AsRef<[u8]>) {
        self.put_length(field.as_ref().len());
        self.0.extend(field.as_ref());
    }

    /// A field that is absent differs from one that is empty.
    fn put_optional(&mut self, field: Option<&str>) {
        self.0.push(field.is_some().into());
        self.put(field.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::token::Party;

    const NOW: i64 = 1_800_000_000;

    fn now() -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(NOW).unwrap()
    }

    fn requester() -> Requester {
        Requester::new(Some(Party::new("https://login.example", "agent-7")))
            .subject_and_client("alice", "app")
    }

    fn details(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn make(resource: &str, server: &str, texts: &[&str], requester: &Requester) -> Txn {
        let details = details(texts);
        let bindings = Bindings { resource, server, details: &details, requester };
        Txn::make(&TransactionKey::new([1; 32]), [7; 16], now(), Duration::from_secs(60), &bindings)
            .unwrap()
    }

    #[test]
    fn a_transaction_is_recognized_for_exactly_what_it_was_made_for() {
        let made = make("r", "s", &["{}"], &requester());
        let text = made.to_string();
        assert!(text.len() <= 128, "{text}");
        assert_eq!(Txn::parse(&text).unwrap(), made);

        let details = details(&["{}"]);
        let requester = requester();
        let bindings =
            Bindings { resource: "r", server: "s", details: &details, requester: &requester };
        let is_for = |key: TransactionKey| made.is_for(&key, &bindings);
        assert!(is_for(TransactionKey::new([1; 32])));
        assert!(is_for(TransactionKey::new([2; 32]).previous([1; 32])));
        assert!(!is_for(TransactionKey::new([2; 32])));
        assert!(!is_for(TransactionKey::new([2; 32]).previous([3; 32])));
    }

    #[test]
    fn every_part_changes_the_code_and_no_part_runs_into_the_next() {
        let actor = |issuer, name| Requester::new(Some(Party::new(issuer, name)));
        let with_key = |key: &str, certificate: &str| {
            let mut requester = requester();
            requester.proof_key = Some(key.to_owned()).filter(|key| !key.is_empty());
            requester.certificate = Some(certificate.to_owned()).filter(|text| !text.is_empty());
            requester
        };
        let made = [
            make("r", "s", &["a", "b"], &requester()),
            make("r", "t", &["a", "b"], &requester()),
            make("rs", "", &["a", "b"], &requester()),
            make("", "rs", &["a", "b"], &requester()),
            make("r", "s", &["ab"], &requester()),
            make("r", "s", &["a"], &requester()),
            make("r", "s", &[], &requester()),
            make("r", "s", &["a", "b"], &Requester::new(None)),
            make("r", "s", &["a", "b"], &Requester::new(None).subject_and_client("alice", "app")),
            make("r", "s", &["a", "b"], &Requester::new(None).subject_and_client("", "")),
            make("r", "s", &["a", "b"], &Requester::new(None).subject_and_client("alicea", "pp")),
            make("r", "s", &["a", "b"], &actor("i", "n")),
            make("r", "s", &["a", "b"], &actor("in", "")),
            make("r", "s", &["a", "b"], &actor("", "in")),
            make("r", "s", &["a", "b"], &with_key("k", "")),
            make("r", "s", &["a", "b"], &with_key("", "k")),
            make("r", "s", &["a", "b"], &with_key("k", "k")),
        ];
        let codes: HashSet<_> = made.iter().map(|txn| txn.code).collect();
        assert_eq!(codes.len(), made.len());
    }

    #[test]
    fn a_changed_character_makes_it_unknown() {
        let text = make("r", "s", &["{}"], &requester()).to_string();
        let details = details(&["{}"]);
        let requester = requester();
        let bindings =
            Bindings { resource: "r", server: "s", details: &details, requester: &requester };
        let key = TransactionKey::new([1; 32]);
        let is_known = |text: &str| Txn::parse(text).is_some_and(|txn| txn.is_for(&key, &bindings));
        assert!(is_known(&text));
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!is_known(&changed), "{changed}");
        }
        let longer = format!("{text}AAAA");
        for other in
            ["", "t1.", &text[1..], &text[..text.len() - 1], &longer, "t2.", &text.to_uppercase()]
        {
            assert!(!is_known(other), "{other}");
        }
    }
}
