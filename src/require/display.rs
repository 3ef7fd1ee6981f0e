//! A requirement as text: for the record, for the messages of set-up, and to be read again.

use std::fmt;
use std::time::Duration;

use super::lists::join;
use super::requirement::Require;
use crate::detail::Consent;
use crate::printable::Printable;

impl fmt::Display for Require {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for group in &self.scopes {
            parts.push(format!("scope={}", words(group)));
        }
        // The values stay out of records.
        parts.extend(self.details.iter().map(|detail| {
            let name = match detail.consent() {
                Consent::Granted => "detail",
                Consent::Approved => "approved_detail",
                Consent::ApprovedOrGranted => "approved_or_granted_detail",
            };
            format!("{name}={:?}", Printable::from(detail.type_name()))
        }));
        parts.extend(
            self.detail_types
                .iter()
                .map(|name| format!("detail_of_type={:?}", Printable::from(&**name))),
        );
        parts.extend(self.acr.as_ref().map(|classes| format!("acr={}", words(classes))));
        parts.extend(self.max_age.map(|age| format!("max_age={}", seconds(age))));
        if let Some(actors) = &self.actors {
            let name = if self.actor_required { "actor" } else { "actor_if_any" };
            // After `and` with a requirement that lists no actors.
            let own = if self.foreign_actors_allowed { "" } else { " actor_namespace=own" };
            parts.push(format!("{name}={}{own}", join(actors, "|")));
        }
        parts.extend(self.delegated.then(|| "delegated".to_owned()));
        parts.extend(self.undelegated.then(|| "undelegated".to_owned()));
        parts.extend(self.issuers.as_ref().map(|issuers| {
            let issuers: Vec<_> =
                issuers.iter().map(|issuer| format!("{:?}", Printable::from(&**issuer))).collect();
            format!("issuer={}", issuers.join("|"))
        }));
        parts.extend(self.clients.as_ref().map(|clients| format!("client={}", join(clients, "|"))));
        parts.extend(self.claims.iter().map(|claim| format!("claim={claim}")));
        parts.extend(self.person.then(|| "person".to_owned()));
        parts.extend(self.single_use.then(|| "single_use".to_owned()));
        parts.extend(self.sender_constrained.then(|| "sender_constrained".to_owned()));
        if parts.is_empty() {
            return f.write_str("valid_token");
        }
        f.write_str(&parts.join(" "))
    }
}

/// Scopes or classes, each in quotes if it contains what separates them.
fn words<T: ToString>(words: &[T]) -> String {
    let written = |word: &T| {
        let word = word.to_string();
        if word.contains('|') { format!("\"{word}\"") } else { word }
    };
    join(&words.iter().map(written).collect::<Vec<_>>(), "|")
}

/// Seconds, with decimals only if there is less than a second in it.
fn seconds(age: Duration) -> String {
    let seconds = format!("{}.{:09}", age.as_secs(), age.subsec_nanos());
    seconds.trim_end_matches('0').trim_end_matches('.').to_owned()
}
