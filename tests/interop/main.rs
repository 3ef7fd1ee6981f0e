//! The guard against real counterparts. Run by `tests/interop/run`; each suite is a file in `suites/`.

mod client;
mod peer;
mod service;

mod suites {
    mod delegation;
    mod dpop;
    mod hops;
    mod keys;
}
