//! The policy that asks a decision point.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::access_request::Tasks;
use super::asked::{Asked, Wording};
use super::decision::ruled;
use super::endpoints::Location;
use super::evaluation::evaluate;
use super::exchange::{Problem, Sender};
use crate::answer::Answer;
use crate::config_error::ConfigError;
use crate::evidence::Evidence;
use crate::keys::AllowedScheme;
use crate::outbound::HttpClient;
use crate::policy::{Policy, PolicyAnswer, Question, Ruling, Verdict};

/// Asks an AuthZEN decision point about each request
/// ([Authorization API 1.0](https://openid.net/specs/authorization-api-1_0.html)).
///
/// The decision point is asked over an [`HttpClient`] and nothing of an answer is remembered: each question is a new
/// one. Whatever is not a clear yes is a no. An answer that is not JSON with a boolean `decision`, has a name twice, has
/// another status than 200, comes after a redirect, is longer than 64 KiB, or does not come at all, is answered with 503
/// (`policy_unavailable`), and the record says why.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use unconfused::policy::{Ask, AuthZenPolicy};
/// use unconfused::{Audience, Guard, Reason, Scope};
/// # use unconfused::testing::TestIssuer;
/// # use unconfused::Answer;
/// # use unconfused::client::{HttpLimits, HttpAnswer};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const REFUND: Scope = Scope::from_static("orders:refund");
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
/// # // A decision point that permits what is about 10000 cents at most.
/// # let client = |request: http::Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
/// #     let body = match request.method().as_str() {
/// #         "GET" => r#"{"policy_decision_point":"https://pdp.example","access_evaluation_endpoint":"https://pdp.example/access/v1/evaluation"}"#.to_owned(),
/// #         _ => {
/// #             let asked: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
/// #             let cents = asked["resource"]["properties"]["cents"].as_i64().unwrap_or(0);
/// #             serde_json::json!({ "decision": cents <= 10_000, "context": { "reason": "too much" } }).to_string()
/// #         }
/// #     };
/// #     let answer = http::Response::builder().header("content-type", "application/json");
/// #     Answer::Now(Ok(answer.body(body.into_bytes()).unwrap()))
/// # };
///
/// let policy = AuthZenPolicy::discover("https://pdp.example", client)?.authorization("Bearer s3cret")?;
/// let guard = Guard::new(ORDERS, issuer).policy(policy);
/// # let token = login.token(&ORDERS).scope("orders:refund").actor("agent-7").bearer();
/// # let request = http::Request::post("/").header("authorization", token);
/// # let (mut head, ()) = request.body(())?.into_parts();
/// # let grant = guard.authorize(&mut head, REFUND).await.unwrap();
/// let refund = |cents: u64| Ask::operation("orders.refund").resource("order", 7).attribute("cents", cents);
///
/// assert!(guard.narrow(&grant, refund(2_000)).await.is_ok());
///
/// let denial = guard.narrow(&grant, refund(200_000)).await.unwrap_err();
/// assert_eq!(denial.reason(), Reason::PolicyDenied);
/// assert_eq!(denial.for_operator().to_string(), "policy_denied: too much");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
///
/// # What is asked
///
/// | member | value |
/// |---|---|
/// | `subject` | `type` is `user`, `id` the subject's name |
/// | `subject.properties` | `iss`: the issuer whose name it is; `act`: the current actor, as `iss` and `sub`; of the token: `scopes`, `client_id`, `acr`, `auth_time` (seconds since 1970), the last two as they are if their JSON type is wrong |
/// | `action` | `name` is that of the operation, or the method of the request |
/// | `resource` | `type` and `id` as the handler stated them ([`Ask::resource`](crate::policy::Ask::resource)), or `path` and the path of the request; `properties` are the attributes that the handler stated |
/// | `context` | `time` (RFC 3339); `actor`, as `iss` and `sub`; `supported_obligations` |
///
/// A name is one only in the namespace of its issuer. If a guard trusts several issuers, policies must look at `iss`
/// too. The credential is never sent, nor is any prior actor. `X-Request-ID` is the id of the decision in the record, and
/// an answer that has another one is refused. A whole number beyond 2⁵³ is refused (403), since a reader of JSON may
/// round it.
///
/// **Subject and actor are asked apart**, and both must be permitted. If the token has an actor, the decision point gets
/// two evaluations: the one above, and one whose `subject` is the actor, of the type `agent`, with the subject as
/// `properties.acts_for`. They are one request if the metadata of the decision point has an
/// `access_evaluations_endpoint`, and one after another otherwise. For policies that look at `act` themselves, see
/// [`actor_as_property`](Self::actor_as_property).
///
/// # What is made of an answer
///
/// | answer | outcome |
/// |---|---|
/// | `true` | permitted |
/// | `true` with `acr_values` or `max_age` in the context, or with the obligation `step-up` | permitted if the token meets it, otherwise a challenge that asks for it |
/// | `true` with another obligation | permitted if [`Guard::obligation`](crate::Guard::obligation) is set for its `type` and succeeds, otherwise 403; its parameters are `id` and the members of `properties`, a fraction or an object as JSON text |
/// | `false` | 403 (`policy_denied`); the record has `reason`, or what is in `reason_admin`. The client sees neither |
/// | `false` with a step-up as above | the challenge, if the token lacks what it asks for |
/// | `false` with `access_request` | access is requested, and the answer is 403 (`approval_required`) with the task |
///
/// `acr_values` is one string, as in OAuth: classes, separated by spaces. `max_age` is a number of seconds. An answer
/// that has them in another form is answered with 503.
///
/// The obligations of a denial are executed too, and never turn it. `amr_values` cannot be asked for with a challenge, so
/// a permit with them counts as one with an unknown obligation. `id` and `evaluation_id` of the context are the ids of
/// the policies in the record. Other members are ignored.
///
/// # Approvals
///
/// A denial with `access_request` can be turned by an approval (AuthZEN Access Request and Approval Profile, a draft).
/// The policy requests access, once for each operation: the same subject, actor, action, resource and attributes. It
/// remembers the tasks of up to 1024 operations until they end, at most for a day, so an instance that has forgotten one
/// requests it again. The client is told the `status_endpoint` of the task, which the service behind it must protect:
/// it must not answer everyone.
///
/// A client that comes back is a new question. If the decision point still denies it and the task is approved, the
/// decision point is asked again, with the approval. **Only a new `true` permits**: a task that is approved, has another
/// or an unknown status, or has ended, permits nothing. `approved_until` is kept.
///
/// URLs in a denial and in a task are used only if they are of the origin of the `access_request_endpoint`, or of the
/// evaluation endpoint if there is none. A denial that needs a form is refused like any other.
///
/// # What is not checked
///
/// `signed_metadata` is ignored. Whether policies judge the actor is up to them.
pub struct AuthZenPolicy(Asker);

/// Cheap to clone, so that an answer can take it along.
#[derive(Clone)]
struct Asker {
    sender: Sender,
    wording: Wording,
    location: Arc<Location>,
    tasks: Arc<Tasks>,
}

impl AuthZenPolicy {
    /// Creates the policy of a decision point whose endpoints are where its metadata says. Nothing is fetched yet.
    ///
    /// The metadata (section 9) is read with the first question, and again every hour. It must name this very decision
    /// point, character for character, and `https` URLs. While it cannot be read for the first time, each question is
    /// answered with 503. Later, the endpoints that were read last are used.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `https` URL without user, query, fragment and dot segments.
    pub fn discover(decision_point: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        let location = Location::discovered(decision_point, AllowedScheme::Https)?;
        Ok(AuthZenPolicy::new(location, client))
    }

    /// Creates the policy of a decision point on this machine, whose metadata and endpoints may be at plain `http`.
    ///
    /// That is a decision point beside the service, at `http://127.0.0.1`, `http://localhost` or another loopback
    /// address. Anyone who can listen there can decide.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if [`discover`](Self::discover) does, except for `http` on the loopback interface.
    pub fn discover_without_tls_on_loopback(
        decision_point: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        let location = Location::discovered(decision_point, AllowedScheme::HttpOnLoopback)?;
        Ok(AuthZenPolicy::new(location, client))
    }

    /// Creates the policy of a decision point whose evaluation endpoint is at this URL. No metadata is read.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `https` URL without user, fragment and dot segments.
    pub fn at(evaluation_endpoint: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        let location = Location::fixed(evaluation_endpoint, AllowedScheme::Https)?;
        Ok(AuthZenPolicy::new(location, client))
    }

    /// Creates the policy of a decision point whose evaluation endpoint is at this URL, at plain `http`. **Anyone who can
    /// answer for that host, or is on the way to it, can decide, and reads the [credential](Self::authorization).**
    ///
    /// Use it inside a cluster whose network you trust like this process.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `http` URL without user, fragment and dot segments.
    pub fn at_without_tls(
        evaluation_endpoint: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        let location = Location::fixed(evaluation_endpoint, AllowedScheme::Http)?;
        Ok(AuthZenPolicy::new(location, client))
    }

    fn new(location: Location, client: impl HttpClient) -> Self {
        AuthZenPolicy(Asker {
            sender: Sender::new(client),
            wording: Wording {
                subject_type: "user".to_owned(),
                actor_type: "agent".to_owned(),
                actor_apart: true,
            },
            location: Arc::new(location),
            tasks: Arc::default(),
        })
    }

    /// Sets the `Authorization` field of each request, such as `Bearer ..`. It is sent to the endpoints, and not with the
    /// request for metadata.
    ///
    /// `Debug` does not show it. A credential that changes is for the client to add.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`], without the value in it, if the value has a character that no field may have.
    pub fn authorization(mut self, value: &str) -> Result<Self, ConfigError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            ConfigError::new(
                "..",
                "the value of an `Authorization` field",
                "a character is not allowed",
            )
        })?;
        value.set_sensitive(true);
        self.0.sender.authorization = Some(value);
        Ok(self)
    }

    /// Sets how long one request to the decision point may take. Defaults to 2 seconds.
    ///
    /// The whole answer must come within [`Guard::policy_timeout`](crate::Guard::policy_timeout), which is 2 seconds too
    /// unless it is set.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.sender.timeout = limit;
        self
    }

    /// Sets the types of subjects and actors, as the decision point calls them. Default to `user` and `agent`.
    #[must_use]
    pub fn types(mut self, subject: impl Into<String>, actor: impl Into<String>) -> Self {
        self.0.wording.subject_type = subject.into();
        self.0.wording.actor_type = actor.into();
        self
    }

    /// Asks one question about the subject, and nothing about the actor apart.
    ///
    /// **The policies must judge the actor themselves**, by `subject.properties.act`. One that does not look at it lets
    /// every agent do what its user may.
    #[must_use]
    pub fn actor_as_property(mut self) -> Self {
        self.0.wording.actor_apart = false;
        self
    }
}

impl Asker {
    async fn ask(&self, asked: &Asked, evidence: &Evidence) -> Result<Ruling, Problem> {
        let endpoints = self.location.endpoints(&self.sender).await?;
        let decisions = evaluate(&self.sender, &endpoints, asked, None).await?;
        let (ruling, requestable) = ruled(decisions, evidence);
        match requestable {
            None => Ok(ruling),
            Some(denied) => {
                let Asker { sender, tasks, .. } = self;
                tasks.answer(sender, &endpoints, asked, denied, ruling, evidence).await
            }
        }
    }
}

impl Policy for AuthZenPolicy {
    fn decide(&self, question: &Question<'_>) -> PolicyAnswer {
        let asked = match Asked::new(question, &self.0.wording) {
            Ok(asked) => asked,
            Err(problem) => return Verdict::Forbid(problem.into()).into(),
        };
        let (asker, evidence) = (self.0.clone(), question.evidence().clone());
        Answer::later(async move {
            let ruling = asker.ask(&asked, &evidence).await;
            ruling.unwrap_or_else(|problem| Verdict::from(problem).into())
        })
    }
}

impl fmt::Debug for AuthZenPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthZenPolicy({})", self.0.location)
    }
}
