//! An HTTP client that is told what to answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response, StatusCode};

use crate::answer::Answer;
use crate::outbound::{HttpAnswer, HttpClient, HttpError, HttpLimits};

type Script = dyn Fn() -> HttpAnswer + Send + Sync;

/// An [`HttpClient`] for tests: no network, every answer as it was told, every request counted. Clones are one
/// client. A URL that it was told nothing of is answered with 404.
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
/// let client = login.client(); // serves the metadata and the keys of the issuer
/// let guard = Guard::new(ORDERS, Issuer::discover("https://login.example", client.clone())?);
/// assert!(guard.ready().await.is_ready());
///
/// client.set_down(true); // keys that are here go on serving
/// let token = login.token(&ORDERS).scope("orders:read");
/// assert_eq!(token.granted_by(&guard, READ).subject(), "alice");
/// assert_eq!(client.requests("https://login.example/jwks"), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "remote"))]
/// # fn main() {}
/// ```
#[derive(Clone, Default)]
pub struct ScriptedClient {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    scripts: BTreeMap<String, Arc<Script>>,
    requests: BTreeMap<String, usize>,
    down: bool,
}

impl ScriptedClient {
    /// A client that was told nothing yet.
    #[must_use]
    pub fn new() -> Self {
        ScriptedClient::default()
    }

    /// This URL is answered with 200 and this body, until something else is said.
    pub fn serve(&self, url: &str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.answer(url, move || Answer::Now(Ok(Response::new(body.clone()))));
    }

    /// This URL is answered with what `script` makes: any status, an error, an answer that comes
    /// [later](Answer::later).
    pub fn answer(&self, url: &str, script: impl Fn() -> HttpAnswer + Send + Sync + 'static) {
        self.state().scripts.insert(url.to_owned(), Arc::new(script));
    }

    /// While it is down, every request fails.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// How many requests there were to this URL.
    #[must_use]
    pub fn requests(&self, url: &str) -> usize {
        self.state().requests.get(url).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for ScriptedClient {
    fn send(&self, request: Request<Vec<u8>>, _: HttpLimits) -> HttpAnswer {
        let url = request.uri().to_string();
        let script = {
            let mut state = self.state();
            let requests = state.requests.entry(url.clone()).or_default();
            *requests = requests.saturating_add(1);
            if state.down {
                return Answer::Now(Err(HttpError::Failed("the client is down".into())));
            }
            state.scripts.get(&url).cloned()
        };
        match script {
            Some(script) => script(),
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
