//! Integration tests that need nothing but this crate, as one binary with a module for each topic.
//!
//! `cargo test --test it dpop` runs the tests of one topic.

mod common;

mod approvals;
mod as_written;
mod audit;
mod autotraits;
mod challenge;
mod claims;
mod delegation;
mod detail;
mod dpop;
mod explained;
mod grpc;
mod key_forms;
mod keys;
mod language;
mod layer;
mod memory;
mod metadata;
mod mtls;
mod must_use;
mod mutual_tls;
mod order;
mod outbound;
mod parties;
mod path_rules;
mod permits;
mod policy;
mod possession;
mod profiles;
mod properties;
mod refusals;
mod require;
mod require_text;
mod rooms;
mod router;
mod spending;
mod spending_race;
mod stops_here;
mod streams;
mod test_kit;
mod unnamed_keys;
mod validation;
mod vectors;
