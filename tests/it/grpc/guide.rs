//! The table of the guide, compared with the one in the code.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use unconfused::proof::Nonces;

const GUIDE: &str = include_str!("../../../src/guide/grpc_and_streams.md");

/// The names in backquotes of a cell.
fn quoted(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

struct Row<'g> {
    examples: BTreeSet<&'g str>,
    code: i32,
    name: &'g str,
    metadata: BTreeSet<&'g str>,
}

/// The rows of the table, by HTTP status.
fn rows() -> BTreeMap<u16, Row<'static>> {
    let rows = GUIDE.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, _, examples, status, grpc, metadata, _] = cells[..] else { return None };
        let (code, name) = grpc.split_once(' ')?;
        let row = Row {
            examples: quoted(examples),
            code: code.parse().ok()?,
            name: name.trim_matches('`'),
            metadata: quoted(metadata),
        };
        Some((status.parse().ok()?, row))
    });
    rows.collect()
}

#[test]
fn the_table_of_the_guide_is_the_one_in_the_code() {
    let rows = rows();
    let statuses: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.status().as_u16()).collect();
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), statuses);
    // The names of google.rpc.Code.
    let names = [
        (3, "INVALID_ARGUMENT"),
        (7, "PERMISSION_DENIED"),
        (8, "RESOURCE_EXHAUSTED"),
        (13, "INTERNAL"),
        (14, "UNAVAILABLE"),
        (16, "UNAUTHENTICATED"),
    ];
    let mut seen: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    let mut examples: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for reason in Reason::ALL {
        let status = reason.status().as_u16();
        let row = &rows[&status];
        assert_eq!(row.code, reason.grpc_code(), "{reason}");
        assert!(names.contains(&(row.code, row.name)), "{} {}", row.code, row.name);
        if row.examples.contains(reason.as_str()) {
            examples.entry(status).or_default().insert(reason.as_str());
        }
        let nonces = dpop().nonces(Nonces::new([7; 32]));
        let denial = Denial::from(*reason).with_dpop(&nonces, None, now());
        if denial.status() != reason.status() {
            continue;
        }
        let answer = denial.respond_grpc::<String>();
        let others = ["content-type", "grpc-status", "grpc-message", "grpc-status-details-bin"];
        let metadata = answer.headers().keys().map(|name| name.as_str().to_owned());
        seen.entry(status).or_default().extend(metadata.filter(|name| !others.contains(&&**name)));
    }
    for (status, row) in &rows {
        let metadata: BTreeSet<_> = seen[status].iter().map(String::as_str).collect();
        assert_eq!(row.metadata, metadata, "{status}");
        assert_eq!(Some(&row.examples), examples.get(status), "{status}");
    }
}
