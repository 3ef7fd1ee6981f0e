//! Access requests: a denial that an approval may turn becomes a task, and an approved task a new question.

use std::borrow::Cow;
use std::time::Duration;

use http::{StatusCode, Uri};
use quick_cache::sync::Cache;
use time::UtcDateTime;

use super::asked::Asked;
use super::decision::{AccessRequest, Requestable, retry_after, ruled};
use super::endpoints::Endpoints;
use super::evaluation::evaluate;
use super::exchange::{Problem, Reply, Sender};
use crate::dates::{from_rfc3339, later};
use crate::evidence::Evidence;
use crate::jose::sha256;
use crate::json::{Object, string};
use crate::policy::{ApprovalTask, Ruling, Verdict};
use crate::printable::Printable;

/// The most tasks that are remembered. Beyond that, those are forgotten that were not asked for lately.
const MAX_TASKS: usize = 1024;
/// The most bytes of the URL of a task.
const MAX_URL: usize = 2048;
/// How long a task is remembered that does not say when it ends.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The task of each operation that was requested.
pub(super) struct Tasks(Cache<[u8; 32], Task>);

#[derive(Clone)]
struct Task {
    status_endpoint: Uri,
    expires_at: Option<UtcDateTime>,
    forgotten_at: UtcDateTime,
}

/// How far a task is.
enum Progress {
    Pending,
    /// The approval is JSON, exactly as it was given.
    Approved {
        approval: String,
        until: UtcDateTime,
    },
    Denied,
    /// It will not be approved, and may be requested again.
    Over(String),
    /// It is not known to be approved.
    Unknown(String),
}

impl Default for Tasks {
    fn default() -> Self {
        Tasks(Cache::new(MAX_TASKS))
    }
}

impl Tasks {
    /// Answers a denial that can be requested: with its task, or with a new decision once that is approved.
    ///
    /// `ruling` is that of the denial.
    pub(super) async fn answer(
        &self,
        sender: &Sender,
        endpoints: &Endpoints,
        asked: &Asked,
        denied: Requestable,
        ruling: Ruling,
        evidence: &Evidence,
    ) -> Result<Ruling, Problem> {
        let at = evidence.at();
        let key = &asked.operation;
        if self.0.peek(key).is_some_and(|task| at >= task.forgotten_at) {
            self.0.remove(key);
        }
        let mut created = None;
        let create = async {
            let (task, progress) = submit(sender, endpoints, asked, &denied, at).await?;
            created = Some(progress);
            Ok::<_, Problem>(task)
        };
        // Of several requests for the same operation, one creates the task, and the others wait for it.
        let task = self.0.get_or_insert_async(key, create).await?;
        let progress = match created {
            Some(progress) => progress,
            None => poll(sender, &task, asked).await?,
        };
        let forbid =
            |why: String| Ruling { verdict: Verdict::Forbid(why.into()), ..ruling.clone() };
        match progress {
            Progress::Pending => {
                Ok(Ruling { verdict: Verdict::NeedsApproval(told(&task)), ..ruling })
            }
            Progress::Approved { approval, until } if at < until => {
                let decisions = evaluate(sender, endpoints, asked, Some(&approval)).await?;
                let wait = retry_after(&decisions);
                // Only a new decision permits.
                let (ruling, again) = ruled(decisions, evidence);
                if let (Some(wait), Verdict::Forbid(_)) = (wait, &ruling.verdict) {
                    let verdict = Verdict::NeedsApproval(told(&task).retry_after(wait));
                    return Ok(Ruling { verdict, ..ruling });
                }
                if again.is_some() {
                    self.0.remove(key);
                }
                Ok(ruling)
            }
            Progress::Approved { .. } => {
                self.0.remove(key);
                Ok(forbid("the approval has ended".to_owned()))
            }
            Progress::Denied => Ok(forbid("the approval was denied".to_owned())),
            Progress::Over(why) => {
                self.0.remove(key);
                Ok(forbid(why))
            }
            Progress::Unknown(why) => Ok(forbid(why)),
        }
    }
}

/// What the client is told of a task.
fn told(task: &Task) -> ApprovalTask {
    let told = ApprovalTask::new(task.status_endpoint.to_string());
    match task.expires_at {
        Some(at) => told.expires_at(at),
        None => told,
    }
}

/// Requests access, and returns the task.
async fn submit(
    sender: &Sender,
    endpoints: &Endpoints,
    asked: &Asked,
    denied: &Requestable,
    at: UtcDateTime,
) -> Result<(Task, Progress), Problem> {
    let refused = |why: &str| Problem::Final(format!("access cannot be requested: {why}"));
    let AccessRequest { endpoint, needs_form, denial } = &denied.request;
    if *needs_form {
        return Err(refused("it needs values that only a form asks for"));
    }
    let uri = match (endpoint, &endpoints.access_requests) {
        (Some(url), _) => endpoints.trusted(url).map_err(refused)?,
        (None, Some(uri)) => uri.clone(),
        (None, None) => return Err(refused("the decision point has no endpoint for it")),
    };
    let party = asked.parties.get(denied.place).ok_or_else(|| refused("of no party"))?;
    let body = asked.access_request(party, denial);
    // The same request again is the same task, and one after another denial is another.
    let idempotency_key = hex(&sha256([&body]));
    let reply = sender.post(&uri, body, &asked.id, Some(&idempotency_key)).await?;
    if reply.status().is_client_error() {
        return Err(refused(&reply.problem(&format!("the status is {}", reply.status().as_u16()))));
    }
    let answer = reply.json(&[StatusCode::OK, StatusCode::CREATED, StatusCode::ACCEPTED])?;
    let (answer, task) = read(answer).map_err(|problem| reply.problem(problem))?;
    let unusable = |problem: &str| reply.problem(&format!("`status_endpoint`: {problem}"));
    let url = text(&task, "status_endpoint").ok_or_else(|| unusable("it is missing"))?;
    if url.len() > MAX_URL {
        return Err(unusable("it is too long").into());
    }
    let status_endpoint = endpoints.trusted(&url).map_err(unusable)?;
    let expires_at = expiry(&task).map_err(|problem| reply.problem(problem))?;
    let forgotten_at = expires_at.unwrap_or(UtcDateTime::MAX).min(later(at, MAX_LIFE));
    let progress = progress(&reply, &answer, &task)?;
    Ok((Task { status_endpoint, expires_at, forgotten_at }, progress))
}

/// Asks how far a task is.
async fn poll(sender: &Sender, task: &Task, asked: &Asked) -> Result<Progress, Problem> {
    let reply = sender.get(&task.status_endpoint, &asked.id).await?;
    if matches!(reply.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(Progress::Over("the task of the approval is gone".to_owned()));
    }
    let (answer, task) = read(reply.json(&[StatusCode::OK])?).map_err(|it| reply.problem(it))?;
    Ok(progress(&reply, &answer, &task)?)
}

/// The answer, and the task in it.
fn read(text: &str) -> Result<(Object<'_>, Object<'_>), &'static str> {
    let answer = Object::read(text).filter(Object::is_sound);
    let answer = answer.ok_or("it is not a JSON object, or a name stands in it twice")?;
    let task = answer.get("task").and_then(Object::read).ok_or("it has no `task`")?;
    Ok((answer, task))
}

fn text<'a>(object: &Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    object.get(name).and_then(string)
}

/// When a task ends.
fn expiry(task: &Object<'_>) -> Result<Option<UtcDateTime>, &'static str> {
    match task.get("expires_at") {
        None => Ok(None),
        Some(raw) => {
            let at = string(raw).and_then(|at| from_rfc3339(&at));
            at.map(Some).ok_or("`expires_at` of the task is not a time")
        }
    }
}

fn progress(reply: &Reply, answer: &Object<'_>, task: &Object<'_>) -> Result<Progress, String> {
    let status = text(task, "status").ok_or_else(|| reply.problem("the task has no `status`"))?;
    Ok(match &*status {
        "pending" => Progress::Pending,
        "approved" => approved(answer)
            .unwrap_or_else(|| Progress::Unknown("the approval cannot be used".to_owned())),
        "denied" => Progress::Denied,
        "expired" | "cancelled" | "failed" => {
            Progress::Over(format!("the task of the approval is over: {status}"))
        }
        status => {
            let status = Printable::from(status);
            Progress::Unknown(format!("the task of the approval has the status {status:?}"))
        }
    })
}

/// `None` if a new evaluation is not what the result asks for.
fn approved(answer: &Object<'_>) -> Option<Progress> {
    let result = Object::read(answer.get("result")?)?;
    if text(&result, "mode")? != "reevaluate" {
        return None;
    }
    let raw = result.get("approval")?;
    let approval = Object::read(raw)?;
    text(&approval, "id")?;
    let until = from_rfc3339(&text(&approval, "approved_until")?)?;
    Some(Progress::Approved { approval: raw.to_owned(), until })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
