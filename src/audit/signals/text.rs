//! The three signals as text.

use std::fmt;

use super::report::{ActorName, ActorSignals, OperationSignals, SignalsReport};
use crate::audit::operations::table;
use crate::dates::rfc3339;
use crate::printable::Printable;
use crate::reason::Reason;

impl fmt::Display for SignalsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.period {
            Some((first, last)) => writeln!(
                f,
                "{} requests from {} to {}",
                self.requests(),
                rfc3339(first),
                rfc3339(last)
            )?,
            None => writeln!(f, "0 requests")?,
        }
        writeln!(
            f,
            "\naudience  validated in {} of {} allowed requests",
            self.allowed_with_audience, self.allowed
        )?;
        for (count, how) in self.allowed_otherwise() {
            writeln!(f, "          {how} in {count}")?;
        }
        writeln!(f, "          {}", self.denied_in_words())?;

        f.write_str("\n")?;
        let head = ["operation", "allowed", "denied", "step-up", "approval", "requires"];
        table(f, head.map(str::to_owned), self.operations.iter().map(operation).collect())?;
        f.write_str("\n")?;
        let head = ["actor", "subject", "allowed", "denied"].map(str::to_owned);
        table(f, head, self.actors.iter().map(actor).collect())?;

        if !self.known.findings().is_empty() {
            f.write_str("\n")?;
        }
        for finding in self.known.findings() {
            let about = Printable::from(finding.about());
            writeln!(f, "look at  {about}: {}", finding.kind().meaning())?;
        }
        Ok(())
    }
}

impl SignalsReport {
    /// How requests were allowed without an audience, as far as any were.
    pub(super) fn allowed_otherwise(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let all = [
            (self.allowed_by_client_list, "replaced by a list of clients"),
            (self.allowed_without_token, "left to another authenticator, without a token,"),
        ];
        all.into_iter().filter(|(count, _)| *count > 0)
    }

    /// How many requests were denied, and how many of them for what concerns the audience.
    pub(super) fn denied_in_words(&self) -> String {
        format!(
            "denied: {}, of which {} had a token for another resource and {} had none",
            self.denied,
            self.denied_for(Reason::AudienceMismatch),
            self.denied_for(Reason::MissingCredentials),
        )
    }
}

fn operation(row: &OperationSignals) -> [String; 6] {
    [
        row.shown_name().to_owned(),
        row.allowed.to_string(),
        row.denied.to_string(),
        asked_and_met(row.step_up_asked, row.step_up_met),
        asked_and_met(row.approval_asked, row.approval_met),
        row.shown_requirement(),
    ]
}

/// Such as `1 asked, 2 met`.
pub(super) fn asked_and_met(asked: u64, met: u64) -> String {
    match (asked, met) {
        (0, 0) => "-".to_owned(),
        (asked, met) => format!("{asked} asked, {met} met"),
    }
}

impl OperationSignals {
    /// The name, or what stands for it.
    pub(super) fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or("(all others)")
    }

    pub(super) fn shown_requirement(&self) -> String {
        match (&self.listed, &self.name) {
            (Some(listed), _) => listed.requirement_text(),
            (None, Some(_)) => "(on no list)".to_owned(),
            (None, None) => "-".to_owned(),
        }
    }
}

fn actor(row: &ActorSignals) -> [String; 4] {
    let actor = match &row.actor {
        ActorName::Actor(actor) => actor.to_string(),
        ActorName::NoOne => "(no one but the subject)".to_owned(),
        ActorName::Others => "(all others)".to_owned(),
    };
    let subject = row.subject.as_ref().map_or("(all others)".to_owned(), ToString::to_string);
    [actor, subject, row.allowed.to_string(), row.denied.to_string()]
}
