//! Evaluations: the question, put to the decision point, and its decisions.

use http::StatusCode;

use super::asked::Asked;
use super::decision::Decision;
use super::endpoints::Endpoints;
use super::exchange::Sender;

/// Asks for a decision about each party, at once if the decision point can answer that. The approval is JSON.
///
/// Asked one after another, nothing is asked after a no.
pub(super) async fn evaluate(
    sender: &Sender,
    endpoints: &Endpoints,
    asked: &Asked,
    approval: Option<&str>,
) -> Result<Vec<Decision>, String> {
    if let ([_, _, ..], Some(uri)) = (&*asked.parties, &endpoints.evaluations) {
        let body = asked.evaluations(approval);
        let reply = sender.post(uri, body, &asked.id, None).await?;
        let decisions = Decision::read_each(reply.json(&[StatusCode::OK])?, asked.parties.len());
        return decisions.map_err(|problem| reply.problem(problem));
    }
    let mut decisions = Vec::with_capacity(asked.parties.len());
    for party in &asked.parties {
        let body = asked.evaluation(party, approval);
        let reply = sender.post(&endpoints.evaluation, body, &asked.id, None).await?;
        let decision = Decision::read(reply.json(&[StatusCode::OK])?);
        let decision = decision.map_err(|problem| reply.problem(problem))?;
        let is_last = !decision.is_permitted();
        decisions.push(decision);
        if is_last {
            break;
        }
    }
    Ok(decisions)
}
