//! The three signals as a page.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use super::html::{Bar, Dots, Escaped, Name, Ring};
use super::report::{ActorName, ActorSignals, OperationSignals, SignalsReport};
use super::text::asked_and_met;
use crate::audit::operations::{Finding, FindingKind, ListedOperation};
use crate::dates::rfc3339;
use crate::printable::Printable;

/// The page loads nothing and runs nothing. This says so to the browser, which then holds it to that.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                      form-action 'none'";

/// What the colors of a bar mean, behind a title.
const KEY: &str = "<span class=\"key\">allowed</span><span class=\"key denied\">denied</span>";

impl SignalsReport {
    /// Writes the report as one page for a browser, to be put into a file or sent as an answer.
    ///
    /// The page needs nothing else: its pictures and its style are in it, it has no scripts and sends no requests, and a
    /// `Content-Security-Policy` in it forbids both. It is light or dark as the reader prefers.
    ///
    /// Text from outside is written as [`Printable`] writes it, so no character is invisible or changes the direction of
    /// others, and every name is cut after 256 characters. It is then escaped for HTML, and isolated from the
    /// direction of the text around it.
    ///
    /// The page names subjects and actors. Show it only to those who may read the record.
    #[must_use]
    pub fn to_html(&self) -> String {
        Page(self).to_string()
    }
}

struct Page<'r>(&'r SignalsReport);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        write!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>Three signals</title>\n<style>\n{}</style>\n</head>\n<body>\n",
            include_str!("page.css")
        )?;
        header(f, report)?;
        f.write_str("<div class=\"cards\">\n")?;
        audience(f, report)?;
        step_up(f, report)?;
        who(f, report)?;
        f.write_str("</div>\n")?;
        operations(f, report)?;
        actors(f, report)?;
        reasons(f, report)?;
        findings(f, report.known.findings())?;
        f.write_str(
            "<footer>Counted in the memory of one process since it started, from its audit record. A request \
             that several layers judge counts once, and its last step says what became of it.</footer>\n\
             </body>\n</html>\n",
        )
    }
}

fn header(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    f.write_str("<header>\n<h1>Three signals</h1>\n<p>")?;
    for audience in report.known.audiences() {
        write!(f, "<code>{}</code> ", Name(Printable::from(audience.as_str())))?;
    }
    write!(f, "</p>\n<p>{} requests", report.requests())?;
    if let Some((first, last)) = report.period {
        write!(f, ", from {} to {}", rfc3339(first), rfc3339(last))?;
    }
    f.write_str("</p>\n</header>\n")
}

/// One of the three signals: a question, a picture with a figure, a verdict and what it rests on.
fn card(
    f: &mut Formatter<'_>,
    question: &str,
    figure: impl Display,
    (class, verdict): (&str, &str),
    rests_on: impl Display,
) -> fmt::Result {
    write!(
        f,
        "<section class=\"card\">\n<h3>{question}</h3>\n<div class=\"figure\">{figure}</div>\n\
         <p class=\"verdict {class}\">{verdict}</p>\n<p class=\"soft\">{rests_on}</p>\n</section>\n"
    )
}

fn audience(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    let (validated, allowed) = (report.allowed_with_audience, report.allowed);
    let verdict = match () {
        () if allowed == 0 => ("", "No request was allowed yet."),
        () if validated == allowed => ("yes", "Yes, for every request that was allowed."),
        () => ("look", "Not for every request that was allowed."),
    };
    let figure = format!(
        "{}<span>{validated} of {allowed} allowed requests had a token for this resource</span>",
        Ring { part: validated, whole: allowed }
    );
    let mut rests_on = String::new();
    for (count, how) in report.allowed_otherwise() {
        rests_on.push_str(&format!("The audience was {how} in {count}. "));
    }
    let denied = report.denied_in_words().replacen('d', "D", 1);
    card(f, "Is the audience validated?", figure, verdict, rests_on + &denied + ".")
}

fn step_up(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    let listed = report.known.listed();
    let asks = |one: &&ListedOperation| one.asks_for_step_up() || one.asks_for_approval();
    let asking = listed.iter().filter(asks).count();
    let of_kind = |finding: &&Finding| finding.kind() == FindingKind::DestructiveWithoutStepUp;
    let verdict = match () {
        () if listed.is_empty() => ("", "No operation is known by its name."),
        () if report.known.findings().iter().any(|finding| of_kind(&finding)) => {
            ("look", "Not all: some operations delete without it.")
        }
        () if asking == 0 => ("look", "No operation asks for it."),
        () => ("yes", "Yes. Look through the list for others that should."),
    };
    let figure = format!(
        "<span><span class=\"number\">{asking} of {}</span><br>operations ask for step-up or an approval</span>{}",
        listed.len(),
        Dots { filled: asking, all: listed.len() }
    );
    let sum = |count: fn(&OperationSignals) -> u64| {
        report.operations.iter().map(count).fold(0, u64::saturating_add)
    };
    let rests_on = format!(
        "Step-up: {} asked, {} met. Approval: {} asked, {} met.",
        sum(|row| row.step_up_asked),
        sum(|row| row.step_up_met),
        sum(|row| row.approval_asked),
        sum(|row| row.approval_met),
    );
    card(f, "Do dangerous operations trigger step-up?", figure, verdict, rests_on)
}

fn who(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    let has_actor = |row: &&ActorSignals| row.actor != ActorName::NoOne;
    let mut actors = Vec::new();
    for row in report.actors.iter().filter(has_actor) {
        if actors.last() != Some(&&row.actor) {
            actors.push(&row.actor);
        }
    }
    let subjects: BTreeSet<_> =
        report.actors.iter().filter(has_actor).map(|row| row.subject.as_ref()).collect();
    let sum = |count: fn(&ActorSignals) -> u64, acts: bool| {
        let rows = report.actors.iter().filter(|row| has_actor(row) == acts);
        rows.map(count).fold(0, u64::saturating_add)
    };
    let verdict = match (report.actors.is_empty(), actors.is_empty()) {
        (true, _) => ("", "No subject is known yet."),
        (false, true) => ("look", "No request named an agent."),
        (false, false) => ("yes", "Yes, for the agents below."),
    };
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let figure = format!(
        "<span><span class=\"number\">{}</span><br>agent{}</span><span><span class=\"number\">{}</span><br>\
         subject{} they act for</span>",
        actors.len(),
        plural(actors.len()),
        subjects.len(),
        plural(subjects.len()),
    );
    let rests_on = format!(
        "Through an agent: {} allowed, {} denied. By the subject alone: {} allowed, {} denied.",
        sum(|row| row.allowed, true),
        sum(|row| row.denied, true),
        sum(|row| row.allowed, false),
        sum(|row| row.denied, false),
    );
    card(f, "Does the record show which agent acted for whom?", figure, verdict, rests_on)
}

fn operations(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    table_head(
        f,
        &format!("Operations{KEY}"),
        "<th>operation</th><th>requires</th><th>requests</th><th>step-up</th><th>approval</th>",
    )?;
    let rows = &report.operations;
    let longest = longest(rows.iter().map(|row| (row.allowed, row.denied)));
    for row in rows {
        write!(f, "<tr><td><span class=\"name\">{}</span>", Name(row.shown_name()))?;
        let listed = row.listed.as_ref();
        for finding in listed.into_iter().flat_map(|one| report.known.findings_about(one.name())) {
            write!(f, "<span class=\"flag\">{}</span>", finding.kind().meaning())?;
        }
        if row.name.is_some() && listed.is_none() {
            f.write_str("<span class=\"flag\">Seen, and on no list.</span>")?;
        }
        write!(f, "</td><td><span class=\"name\">{}</span></td>", Name(row.shown_requirement()))?;
        outcome(f, row.allowed, row.denied, longest)?;
        let asks = |is_asked: Option<bool>, asked, met| match (is_asked, asked, met) {
            (Some(true), 0, 0) => "required".to_owned(),
            _ => asked_and_met(asked, met),
        };
        let step_up = listed.map(ListedOperation::asks_for_step_up);
        let approval = listed.map(ListedOperation::asks_for_approval);
        writeln!(
            f,
            "<td class=\"asked\">{}</td><td class=\"asked\">{}</td></tr>",
            asks(step_up, row.step_up_asked, row.step_up_met),
            asks(approval, row.approval_asked, row.approval_met),
        )?;
    }
    f.write_str("</tbody></table></div>\n")
}

fn actors(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    table_head(
        f,
        &format!("Who acted for whom{KEY}"),
        "<th>agent</th><th>for the subject</th><th>requests</th>",
    )?;
    let rows = &report.actors;
    let longest = longest(rows.iter().map(|row| (row.allowed, row.denied)));
    for row in rows {
        f.write_str("<tr><td>")?;
        match &row.actor {
            ActorName::Actor(actor) => party(f, actor.name(), actor.issuer())?,
            ActorName::NoOne => f.write_str("no one but the subject")?,
            ActorName::Others => f.write_str("all others")?,
        }
        f.write_str("</td><td>")?;
        match &row.subject {
            Some(subject) => party(f, subject.name(), subject.issuer())?,
            None => f.write_str("all others")?,
        }
        f.write_str("</td>")?;
        outcome(f, row.allowed, row.denied, longest)?;
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody></table></div>\n")
}

fn reasons(f: &mut Formatter<'_>, report: &SignalsReport) -> fmt::Result {
    if report.denied_by_reason.is_empty() {
        return Ok(());
    }
    table_head(
        f,
        "Why requests were denied",
        "<th>reason</th><th></th><th class=\"n\">denied</th>",
    )?;
    let longest = longest(report.denied_by_reason.values().map(|count| (0, *count)));
    for (reason, count) in &report.denied_by_reason {
        let parts = [("allowed", 0), ("denied", *count)];
        let bar = Bar { parts, longest, words: format!("{count} denied") };
        writeln!(
            f,
            "<tr><td><span class=\"name\">{}</span><span class=\"of\">{}</span></td><td class=\"bars\">{bar}</td>\
             <td class=\"n\">{count}</td></tr>",
            reason.as_str(),
            Escaped(reason.description()),
        )?;
    }
    f.write_str("</tbody></table></div>\n")
}

fn findings(f: &mut Formatter<'_>, findings: &[Finding]) -> fmt::Result {
    f.write_str("<h2>To look at</h2>\n<div class=\"box\"><ul>\n")?;
    for finding in findings {
        let about = Name(Printable::from(finding.about()));
        writeln!(f, "<li><code>{about}</code> {}</li>", finding.kind().meaning())?;
    }
    if findings.is_empty() {
        f.write_str("<li>Nothing stands out in the set-up of the guard.</li>\n")?;
    }
    f.write_str("</ul></div>\n")
}

fn table_head(f: &mut Formatter<'_>, title: &str, columns: &str) -> fmt::Result {
    writeln!(
        f,
        "<h2>{title}</h2>\n<div class=\"box\"><table><thead><tr>{columns}</tr></thead><tbody>"
    )
}

fn party(f: &mut Formatter<'_>, name: &str, issuer: &str) -> fmt::Result {
    write!(
        f,
        "<span class=\"name\">{}</span><span class=\"of\">of {}</span>",
        Name(Printable::from(name)),
        Name(Printable::from(issuer))
    )
}

/// A cell with a bar, and the numbers below it.
fn outcome(f: &mut Formatter<'_>, allowed: u64, denied: u64, longest: u64) -> fmt::Result {
    let words = format!("{allowed} allowed, {denied} denied");
    let bar = Bar { parts: [("allowed", allowed), ("denied", denied)], longest, words };
    write!(f, "<td class=\"bars\">{bar}<span class=\"of\">{}</span></td>", Escaped(&bar.words))
}

fn longest(rows: impl Iterator<Item = (u64, u64)>) -> u64 {
    rows.map(|(allowed, denied)| allowed.saturating_add(denied)).max().unwrap_or_default()
}
