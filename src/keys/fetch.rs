//! One fetch of an issuer's keys: finds where they are, gets them, reads them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Request, Response, StatusCode, Uri};

use super::cache::{FetchResult, Fetched, Timestamp};
use super::discovery;
use super::url::AllowedScheme;
use crate::jose::{KeySet, sha256};
use crate::outbound::{HttpClient, HttpError, HttpLimits, send_within};
use crate::printable::{Printable, with_causes, without_secrets};

/// The limits of each answer.
const MAX_BYTES: usize = 256 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a `jwks_uri` from the metadata is used before the metadata is read again.
const METADATA_TTL: Duration = Duration::from_secs(3600);

/// Where the keys of an issuer are.
pub(super) enum KeyLocation {
    Fixed(Uri),
    /// The metadata of this issuer says where.
    Discovered {
        issuer: String,
        metadata_urls: Vec<String>,
        scheme: AllowedScheme,
        jwks_uri: Mutex<Option<JwksUri>>,
    },
}

/// A `jwks_uri` from the metadata.
#[derive(Clone)]
pub(super) struct JwksUri {
    uri: Uri,
    valid_until: Timestamp,
}

/// Fetches the keys of one issuer.
pub(super) struct Fetcher {
    client: Arc<dyn HttpClient>,
    location: KeyLocation,
    /// The digest of the last JWK Set, and its keys. The same document is not parsed again.
    last: Mutex<Option<([u8; 32], KeySet)>>,
}

impl Fetcher {
    pub(super) fn new(client: impl HttpClient, location: KeyLocation) -> Self {
        Fetcher { client: Arc::new(client), location, last: Mutex::new(None) }
    }

    /// Fetches the metadata, if it is needed, and then the keys. `began` is now.
    pub(super) async fn fetch(&self, began: Timestamp) -> FetchResult<KeySet> {
        let uri = self.jwks_uri(began).await?;
        let fetched = self.fetch_keys(&uri, began).await;
        if fetched.is_err() {
            self.expire_jwks_uri();
        }
        fetched
    }

    async fn fetch_keys(&self, uri: &Uri, began: Timestamp) -> FetchResult<KeySet> {
        let answer = self.get(uri).await?;
        let max_age = discovery::max_age(answer.headers());
        let keys = self.parse(&answer).map_err(|problem| failed(uri, &problem))?;
        Ok(Fetched { keys, max_age, began })
    }

    /// Parses a JWK Set. At its largest, 100 keys in 256 KiB, this takes some 8 ms.
    fn parse(&self, answer: &Response<Vec<u8>>) -> Result<KeySet, String> {
        let body = &**answer.body();
        let mut last = lock(&self.last);
        let digest = sha256([&body]);
        if let Some((_, keys)) = last.as_ref().filter(|(before, _)| *before == digest) {
            return Ok(keys.clone());
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| format!("the answer is not UTF-8{}", about_body(answer)))?;
        let keys = KeySet::from_json(text)
            .map_err(|problem| format!("{problem}{}", about_body(answer)))?;
        *last = Some((digest, keys.clone()));
        Ok(keys)
    }

    async fn jwks_uri(&self, now: Timestamp) -> Result<Uri, String> {
        let (issuer, metadata_urls, scheme, jwks_uri) = match &self.location {
            KeyLocation::Fixed(uri) => return Ok(uri.clone()),
            KeyLocation::Discovered { issuer, metadata_urls, scheme, jwks_uri } => {
                (issuer, metadata_urls, scheme, jwks_uri)
            }
        };
        let known = lock(jwks_uri).clone();
        if let Some(known) = known.as_ref().filter(|known| now < known.valid_until) {
            return Ok(known.uri.clone());
        }
        let mut problem = String::new();
        for url in metadata_urls {
            match self.read_metadata(url, issuer, *scheme).await {
                Ok(uri) => {
                    let valid_until = now.saturating_add(METADATA_TTL);
                    *lock(jwks_uri) = Some(JwksUri { uri: uri.clone(), valid_until });
                    return Ok(uri);
                }
                // What is wrong with a document says more than that there is none.
                Err(error) if problem.is_empty() || problem.ends_with("answered 404") => {
                    problem = error;
                }
                Err(_) => {}
            }
        }
        // Without metadata, the keys are still where they were.
        known.map(|known| known.uri).ok_or(problem)
    }

    async fn read_metadata(
        &self,
        url: &str,
        issuer: &str,
        scheme: AllowedScheme,
    ) -> Result<Uri, String> {
        let uri: Uri = url.parse().map_err(|_| format!("{url} is not a URL"))?;
        let answer = self.get(&uri).await?;
        let text = std::str::from_utf8(answer.body())
            .map_err(|_| format!("{url} is not UTF-8{}", about_body(&answer)))?;
        discovery::jwks_uri(text, issuer, scheme)
            .map_err(|problem| format!("{url} {problem}{}", about_body(&answer)))
    }

    /// Makes the next fetch read the metadata again.
    fn expire_jwks_uri(&self) {
        if let KeyLocation::Discovered { jwks_uri, .. } = &self.location
            && let Some(known) = &mut *lock(jwks_uri)
        {
            known.valid_until = Timestamp::ZERO;
        }
    }

    async fn get(&self, uri: &Uri) -> Result<Response<Vec<u8>>, String> {
        let request = Request::get(uri.clone())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Vec::new())
            .map_err(|error| failed(uri, &with_causes(&error)))?;
        let limits = HttpLimits::new(MAX_BYTES, REQUEST_TIMEOUT);
        let answer = send_within(&*self.client, request, limits)
            .await
            .map_err(|error| match error {
                HttpError::TimedOut => {
                    format!("no answer within {} seconds", REQUEST_TIMEOUT.as_secs())
                }
                error => with_causes(&error),
            })
            .map_err(|problem| failed(uri, &problem))?;
        if answer.status() != StatusCode::OK {
            let shown = uri.to_string();
            return Err(format!(
                "{} answered {}",
                without_secrets(&shown),
                answer.status().as_u16()
            ));
        }
        Ok(answer)
    }
}

/// The text of a fetch that failed. A query may have a secret in it.
fn failed(uri: &Uri, problem: &str) -> String {
    format!("{}: {problem}", without_secrets(&uri.to_string()))
}

/// Says what may be the cause if a body is not what it should be: it is compressed, it was cut off, or it is of another
/// type.
fn about_body(answer: &Response<Vec<u8>>) -> String {
    let header = |name| answer.headers().get(name)?.to_str().ok();
    let body = answer.body();
    let encoding = header(CONTENT_ENCODING).or(body.starts_with(&[0x1f, 0x8b]).then_some("gzip"));
    if let Some(encoding) = encoding {
        let encoding = Printable::from(encoding);
        return format!(
            "; it is compressed ({encoding:?}), and the HTTP client did not decompress it"
        );
    }
    let length = header(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if let Some(length) = length.filter(|length| *length > body.len()) {
        return format!("; it was cut off after {} of {length} bytes", body.len());
    }
    match header(CONTENT_TYPE) {
        Some(media_type) => {
            format!("; it has {} bytes of the type {:?}", body.len(), Printable::from(media_type))
        }
        None => format!("; it has {} bytes", body.len()),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
