#![deny(unused_must_use)]

use time::UtcDateTime;
use unconfused::approvals::{ApprovalProblem, Approvals};
use unconfused::detail::Detail;
use unconfused::{AccessToken, Audience};

fn refund(ours: &Approvals, api: &Audience, detail: Detail, token: &AccessToken) -> Result<(), ApprovalProblem> {
    ours.recognize(api, &[detail], token, UtcDateTime::UNIX_EPOCH)?;
    Ok(())
}

fn main() {}
