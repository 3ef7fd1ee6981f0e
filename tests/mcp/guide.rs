//! The tables of the guide, compared with those in the code.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use unconfused::mcp::{JsonRpcError, Problem};
use unconfused::proof::{Dpop, Nonces};
use unconfused::{Denial, Reason};

const GUIDE: &str = include_str!("../../src/guide/mcp_servers.md");

/// The names in backquotes of a cell.
fn quoted(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows with so many cells whose cell at `status` is a number.
fn rows(cells: usize, status: usize) -> Vec<Vec<&'static str>> {
    let rows = GUIDE.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|row| row.len() == cells + 2 && row[status].parse::<u16>().is_ok()).collect()
}

/// What denials of one status have.
#[derive(Default)]
struct Seen {
    codes: BTreeSet<i32>,
    fields: BTreeSet<String>,
    names: BTreeSet<&'static str>,
}

#[test]
fn the_table_of_denials_is_the_one_in_the_code() {
    let mut seen: BTreeMap<u16, Seen> = BTreeMap::new();
    for reason in Reason::ALL {
        let dpop =
            Dpop::for_base_url("https://notes.example").unwrap().nonces(Nonces::new([7; 32]));
        let denial = Denial::from(*reason).with_dpop(&dpop, None, now());
        if denial.status() != reason.status() {
            continue;
        }
        let Seen { codes, fields, names } = seen.entry(denial.status().as_u16()).or_default();
        codes.insert(JsonRpcError::from(&denial).code());
        fields.extend(denial.headers().keys().map(|name| name.as_str().to_owned()));
        names.insert(reason.as_str());
    }
    let rows = rows(5, 3);
    let told: BTreeSet<u16> = rows.iter().map(|row| row[3].parse().unwrap()).collect();
    assert_eq!(told, seen.keys().copied().collect());
    for row in rows {
        let Seen { codes, fields, names } = &seen[&row[3].parse().unwrap()];
        let examples = quoted(row[2]);
        assert!(!examples.is_empty() && examples.is_subset(names), "{row:?}");
        let fields: BTreeSet<_> =
            fields.iter().map(String::as_str).filter(|name| *name != "cache-control").collect();
        assert_eq!(quoted(row[4]), fields, "{row:?}");
        assert_eq!(BTreeSet::from([row[5].parse().unwrap()]), *codes, "{row:?}");
    }
}

#[test]
fn the_table_of_problems_is_the_one_in_the_code() {
    let rows = rows(4, 3);
    assert_eq!(rows.len(), Problem::ALL.len());
    for (row, problem) in rows.iter().zip(Problem::ALL) {
        assert_eq!(quoted(row[2]), BTreeSet::from([problem.reason().as_str()]), "{problem:?}");
        assert_eq!(row[3].parse(), Ok(problem.status().as_u16()), "{problem:?}");
        assert_eq!(row[4].parse(), Ok(problem.code()), "{problem:?}");
    }
}
