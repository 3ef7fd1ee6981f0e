//! The list of operations as a table, and as JSON.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::finding::Finding;
use super::list::Operations;
use super::listed::ListedOperation;
use crate::names::Audience;
use crate::printable::Printable;

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for audience in &self.audiences {
            writeln!(f, "audience  {}", Printable::from(audience.as_str()))?;
        }
        for issuer in &self.issuers {
            writeln!(f, "issuer    {}", Printable::from(&**issuer))?;
        }
        let mark = |asks: bool| if asks { "yes" } else { "-" };
        let head = ["operation", "step-up", "approval", "requires"].map(str::to_owned);
        let row = |listed: &ListedOperation| {
            [
                Printable::from(listed.name()).to_string(),
                mark(listed.asks_for_step_up()).to_owned(),
                mark(listed.asks_for_approval()).to_owned(),
                listed.requirement_text(),
            ]
        };
        f.write_str("\n")?;
        table(f, head, self.listed.iter().map(row).collect())?;
        if !self.findings.is_empty() {
            f.write_str("\n")?;
            let head = ["finding", "about"].map(str::to_owned);
            let row = |finding: &Finding| {
                let about = Printable::from(finding.about()).to_string();
                [finding.kind().as_str().to_owned(), about]
            };
            table(f, head, self.findings.iter().map(row).collect())?;
        }
        Ok(())
    }
}

/// Writes rows with their columns below each other, the last one as long as it is.
pub(in crate::audit) fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [String; N],
    mut rows: Vec<[String; N]>,
) -> fmt::Result {
    rows.insert(0, head);
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

impl Serialize for Operations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        let audiences: Vec<_> = self.audiences.iter().map(Audience::as_str).collect();
        map.serialize_entry("audiences", &audiences)?;
        map.serialize_entry("issuers", &self.issuers)?;
        map.serialize_entry("operations", &self.listed)?;
        map.serialize_entry("unnamed_layers", &self.unnamed_layers)?;
        map.serialize_entry("findings", &self.findings)?;
        map.end()
    }
}

impl Serialize for ListedOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &Printable::from(self.name()).to_string())?;
        if let (Some(method), Some(path)) = (self.method(), self.path()) {
            map.serialize_entry("method", method.as_str())?;
            map.serialize_entry("path", &Printable::from(path).to_string())?;
        }
        map.serialize_entry("requirement", &self.requirement().map(ToString::to_string))?;
        map.serialize_entry("token_needed", &self.needs_token())?;
        map.serialize_entry("step_up", &self.asks_for_step_up())?;
        map.serialize_entry("approval", &self.asks_for_approval())?;
        map.end()
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("finding", self.kind().as_str())?;
        map.serialize_entry("about", &Printable::from(self.about()).to_string())?;
        map.serialize_entry("meaning", self.kind().meaning())?;
        map.end()
    }
}
