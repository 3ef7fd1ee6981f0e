//! One fetch: where the keys are, and what is there.

use std::future::IntoFuture;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::ACCEPT;
use http::{Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use super::cache::{Fetched, Moment, Outcome};
use super::discovery;
use super::url::Transport;
use crate::jose::{KeySet, sha256};
use crate::outbound::{HttpClient, HttpLimits};

/// Each answer that is fetched: so much of it, and in so much time.
const MAX_BYTES: usize = 256 * 1024;
const WITHIN: Duration = Duration::from_secs(5);
/// How long metadata is believed before it is looked at again.
const METADATA_FOR: Duration = Duration::from_secs(3600);

/// Where keys are.
pub(super) enum Origin {
    /// Where the owner said.
    At(Uri),
    /// Where the metadata of this issuer says.
    Discovered {
        issuer: String,
        locations: Vec<String>,
        transport: Transport,
        found: Mutex<Option<Found>>,
    },
}

/// `jwks_uri`, and until when it is believed.
#[derive(Clone)]
pub(super) struct Found {
    uri: Uri,
    until: Moment,
}

/// Fetches the keys of one issuer.
pub(super) struct Fetcher {
    client: Arc<dyn HttpClient>,
    origin: Origin,
    /// The digest of the last good answer: the same again is not parsed again.
    last: Mutex<Option<([u8; 32], KeySet)>>,
}

impl Fetcher {
    pub(super) fn new(client: impl HttpClient, origin: Origin) -> Self {
        Fetcher { client: Arc::new(client), origin, last: Mutex::new(None) }
    }

    /// Metadata where it is needed, then keys. `began` is now.
    pub(super) async fn fetch(&self, began: Moment) -> Outcome<KeySet> {
        let uri = self.jwks_uri(began).await?;
        let fetched = self.keys_at(&uri, began).await;
        if fetched.is_err() {
            self.forget_location();
        }
        fetched
    }

    async fn keys_at(&self, uri: &Uri, began: Moment) -> Outcome<KeySet> {
        let answer = self.get(uri).await?;
        let max_age = discovery::max_age(answer.headers());
        let keys = self.parse(answer.body()).map_err(|problem| format!("{uri}: {problem}"))?;
        Ok(Fetched { keys, max_age, began })
    }

    /// At most 100 keys and 256 KiB: some 8 ms, and only where they have changed.
    fn parse(&self, body: &[u8]) -> Result<KeySet, String> {
        let mut last = lock(&self.last);
        let digest = sha256([&body]);
        if let Some((_, keys)) = last.as_ref().filter(|(before, _)| *before == digest) {
            return Ok(keys.clone());
        }
        let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let keys = KeySet::from_json(text).map_err(|problem| problem.to_string())?;
        *last = Some((digest, keys.clone()));
        Ok(keys)
    }

    async fn jwks_uri(&self, now: Moment) -> Result<Uri, String> {
        let (issuer, locations, transport, found) = match &self.origin {
            Origin::At(uri) => return Ok(uri.clone()),
            Origin::Discovered { issuer, locations, transport, found } => {
                (issuer, locations, transport, found)
            }
        };
        let before = lock(found).clone();
        if let Some(before) = before.as_ref().filter(|before| now < before.until) {
            return Ok(before.uri.clone());
        }
        let mut problem = String::new();
        for location in locations {
            match self.metadata(location, issuer, *transport).await {
                Ok(uri) => {
                    let until = now.saturating_add(METADATA_FOR);
                    *lock(found) = Some(Found { uri: uri.clone(), until });
                    return Ok(uri);
                }
                // What is wrong with a document says more than that there is none.
                Err(said) if problem.is_empty() || problem.ends_with("answered 404") => {
                    problem = said;
                }
                Err(_) => {}
            }
        }
        // Where the keys were is where they are, until somebody says otherwise.
        before.map(|before| before.uri).ok_or(problem)
    }

    async fn metadata(
        &self,
        location: &str,
        issuer: &str,
        transport: Transport,
    ) -> Result<Uri, String> {
        let uri: Uri = location.parse().map_err(|_| format!("{location} is no URL"))?;
        let body = self.get(&uri).await?.into_body();
        let text = std::str::from_utf8(&body).map_err(|_| format!("{location} is not UTF-8"))?;
        discovery::jwks_uri(text, issuer, transport)
            .map_err(|problem| format!("{location} {problem}"))
    }

    /// The metadata is looked at again before the next fetch.
    fn forget_location(&self) {
        if let Origin::Discovered { found, .. } = &self.origin
            && let Some(found) = &mut *lock(found)
        {
            found.until = Moment::ZERO;
        }
    }

    async fn get(&self, uri: &Uri) -> Result<Response<Vec<u8>>, String> {
        let request = Request::get(uri.clone())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Vec::new())
            .map_err(|error| format!("{uri}: {error}"))?;
        let sent = self.client.send(request, HttpLimits::new(MAX_BYTES, WITHIN));
        let answer = match timeout(WITHIN, sent.into_future()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(format!("{uri}: {error}")),
            Err(_) => return Err(format!("{uri}: no answer within {} seconds", WITHIN.as_secs())),
        };
        if answer.status() != StatusCode::OK {
            return Err(format!("{uri} answered {}", answer.status().as_u16()));
        }
        if answer.body().len() > MAX_BYTES {
            return Err(format!("{uri}: more than {MAX_BYTES} bytes"));
        }
        Ok(answer)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
