//! An HTTP client whose answers are set in advance.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response, StatusCode};

use crate::answer::Answer;
use crate::outbound::{HttpAnswer, HttpClient, HttpError, HttpLimits};

type Responder = dyn Fn() -> HttpAnswer + Send + Sync;

/// An [`HttpClient`] for tests, which answers as you say and never uses the network.
///
/// It counts the requests to each URL, and answers with 404 if nothing is set for a URL. Methods, headers, bodies and
/// [`HttpLimits`] of requests are ignored. Clones share their answers and counts.
///
/// ```
/// use unconfused::testing::{ScriptedClient, TestIssuer};
/// use unconfused::{Audience, Guard, Issuer, Scope};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// # #[cfg(feature = "remote")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let login = TestIssuer::new("https://login.example");
/// let client = login.client(); // Serves the metadata and the keys of the issuer.
/// let guard = Guard::new(ORDERS, Issuer::discover("https://login.example", client.clone())?);
/// assert!(guard.ready().await.is_ready());
///
/// client.set_unreachable(true); // Keys that were fetched remain in use.
/// let token = login.token(&ORDERS).scope("orders:read");
/// assert_eq!(token.granted_by(&guard, READ).subject().name(), "alice");
/// assert_eq!(client.requests("https://login.example/jwks"), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "remote"))]
/// # fn main() {}
/// ```
#[derive(Clone, Default)]
pub struct ScriptedClient {
    state: Arc<Mutex<ClientState>>,
}

#[derive(Default)]
struct ClientState {
    responders: BTreeMap<String, Arc<Responder>>,
    requests: BTreeMap<String, usize>,
    is_unreachable: bool,
}

impl ScriptedClient {
    /// Creates a client that answers every request with 404.
    #[must_use]
    pub fn new() -> Self {
        ScriptedClient::default()
    }

    /// Answers requests to this URL with 200 and this body, and without a header field. Replaces what was set for the URL
    /// before.
    ///
    /// That is enough for metadata, keys and tokens. For a decision point of AuthZEN, whose answers need a `Content-Type`,
    /// use [`serve_with`](Self::serve_with).
    pub fn serve(&self, url: &str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.serve_with(url, move || Answer::Now(Ok(Response::new(body.clone()))));
    }

    /// Answers each request to this URL with what the closure returns: any status, an error, or an answer that
    /// completes [later](Answer::later). Replaces what was set for the URL before.
    pub fn serve_with(&self, url: &str, answer: impl Fn() -> HttpAnswer + Send + Sync + 'static) {
        self.lock_state().responders.insert(url.to_owned(), Arc::new(answer));
    }

    /// Makes every request fail with [`HttpError::Failed`], until this is set to `false` again. Requests are still
    /// counted.
    pub fn set_unreachable(&self, is_unreachable: bool) {
        self.lock_state().is_unreachable = is_unreachable;
    }

    /// Returns the number of requests to this URL until now.
    #[must_use]
    pub fn requests(&self, url: &str) -> usize {
        self.lock_state().requests.get(url).copied().unwrap_or_default()
    }

    fn lock_state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for ScriptedClient {
    fn send(&self, request: Request<Vec<u8>>, _: HttpLimits) -> HttpAnswer {
        let url = request.uri().to_string();
        let responder = {
            let mut state = self.lock_state();
            let requests = state.requests.entry(url.clone()).or_default();
            *requests = requests.saturating_add(1);
            if state.is_unreachable {
                return Answer::Now(Err(HttpError::Failed(
                    "the client is set to be unreachable".into(),
                )));
            }
            state.responders.get(&url).cloned()
        };
        match responder {
            Some(responder) => responder(),
            None => {
                let mut answer = Response::new(Vec::new());
                *answer.status_mut() = StatusCode::NOT_FOUND;
                Answer::Now(Ok(answer))
            }
        }
    }
}

impl fmt::Debug for ScriptedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedClient(..)")
    }
}
