//! The next hop: what is asked for, what is accepted, and where it goes. The authorization server is scripted.

mod answers;
mod elsewhere;
mod grants;
mod kept;
mod passed_on;
mod proofs;
mod record;
mod refusals;
mod server;
