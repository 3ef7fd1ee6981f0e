//! Where a decision point is asked: at fixed URLs, or where its metadata says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{StatusCode, Uri};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exchange::Sender;
use crate::config_error::ConfigError;
use crate::json::{Object, string};
use crate::keys::AllowedScheme;
use crate::outbound::Origin;
use crate::printable::{Printable, without_secrets};

/// How long metadata is used before it is read again.
const TTL: Duration = Duration::from_secs(3600);
/// How long metadata is not read again after it could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// The URLs of a decision point.
pub(super) struct Endpoints {
    pub(super) evaluation: Uri,
    /// For several evaluations at once.
    pub(super) evaluations: Option<Uri>,
    pub(super) access_requests: Option<Uri>,
    pub(super) scheme: AllowedScheme,
}

/// Where the endpoints are written.
pub(super) enum Location {
    Fixed(Arc<Endpoints>),
    Discovered(Box<Discovered>),
}

pub(super) struct Discovered {
    /// The URL that the metadata must name, character for character.
    decision_point: String,
    metadata: Uri,
    scheme: AllowedScheme,
    known: ArcSwapOption<Known>,
    /// Held while metadata is read: when that began, and what went wrong.
    reading: Mutex<Option<(Instant, String)>>,
}

struct Known {
    endpoints: Arc<Endpoints>,
    since: Instant,
}

impl Location {
    pub(super) fn fixed(evaluation: &str, scheme: AllowedScheme) -> Result<Self, ConfigError> {
        let evaluation = allowed(evaluation, scheme)?;
        let endpoints = Endpoints { evaluation, evaluations: None, access_requests: None, scheme };
        Ok(Location::Fixed(Arc::new(endpoints)))
    }

    pub(super) fn discovered(
        decision_point: &str,
        scheme: AllowedScheme,
    ) -> Result<Self, ConfigError> {
        let uri = allowed(decision_point, scheme)?;
        if uri.query().is_some() {
            return Err(unusable(decision_point, "it has a query"));
        }
        let metadata =
            metadata_url(&uri).ok_or_else(|| unusable(decision_point, "it is not well-formed"))?;
        Ok(Location::Discovered(Box::new(Discovered {
            decision_point: decision_point.to_owned(),
            metadata,
            scheme,
            known: ArcSwapOption::empty(),
            reading: Mutex::default(),
        })))
    }

    pub(super) async fn endpoints(&self, sender: &Sender) -> Result<Arc<Endpoints>, String> {
        match self {
            Location::Fixed(endpoints) => Ok(endpoints.clone()),
            Location::Discovered(discovered) => discovered.endpoints(sender).await,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Fixed(endpoints) => {
                f.write_str(&without_secrets(&endpoints.evaluation.to_string()))
            }
            Location::Discovered(discovered) => f.write_str(&discovered.decision_point),
        }
    }
}

impl Discovered {
    /// One request at a time reads metadata. While there is none, the others wait for it.
    async fn endpoints(&self, sender: &Sender) -> Result<Arc<Endpoints>, String> {
        let known = || self.known.load_full().map(|known| (known.endpoints.clone(), known.since));
        let is_fresh = |since: Instant| since.elapsed() < TTL;
        let stale = match known() {
            Some((endpoints, since)) if is_fresh(since) => return Ok(endpoints),
            stale => stale.map(|(endpoints, _)| endpoints),
        };
        let mut reading = match (&stale, self.reading.try_lock()) {
            (_, Ok(reading)) => reading,
            (Some(stale), Err(_)) => return Ok(stale.clone()),
            (None, Err(_)) => self.reading.lock().await,
        };
        if let Some((endpoints, _)) = known().filter(|(_, since)| is_fresh(*since)) {
            return Ok(endpoints);
        }
        if let Some((_, problem)) = reading.as_ref().filter(|(began, _)| began.elapsed() < PAUSE) {
            return stale.ok_or_else(|| problem.clone());
        }
        let began = Instant::now();
        // What stays if this request is given up.
        *reading = Some((began, format!("{}: no answer in time", self.metadata)));
        match self.read(sender).await {
            Ok(endpoints) => {
                let endpoints = Arc::new(endpoints);
                let known = Known { endpoints: endpoints.clone(), since: began };
                self.known.store(Some(Arc::new(known)));
                *reading = None;
                Ok(endpoints)
            }
            Err(problem) => {
                *reading = Some((began, problem.clone()));
                // The endpoints are still where they were.
                stale.ok_or(problem)
            }
        }
    }

    async fn read(&self, sender: &Sender) -> Result<Endpoints, String> {
        let reply = sender.get_without_credential(&self.metadata).await?;
        let metadata = reply.json(&[StatusCode::OK])?;
        self.parse(metadata).map_err(|problem| reply.problem(&problem))
    }

    /// Reads metadata, which must name this very decision point (AuthZEN section 9.2.3).
    fn parse(&self, text: &str) -> Result<Endpoints, String> {
        let metadata = Object::read(text).filter(Object::is_sound);
        let metadata = metadata.ok_or("it is not a JSON object, or a name stands in it twice")?;
        let text = |name: &str| match metadata.get(name) {
            None => Ok(None),
            Some(raw) => string(raw).map(Some).ok_or_else(|| format!("`{name}` is not a string")),
        };
        let named = text("policy_decision_point")?.ok_or("no `policy_decision_point`")?;
        if named != self.decision_point {
            let found = Printable::from(&*named);
            let expected = &self.decision_point;
            return Err(format!(
                "of another decision point: expected `{expected}`, found {found:?}"
            ));
        }
        let url = |name: &str| match text(name)? {
            None => Ok(None),
            Some(url) => match self.scheme.check(&url) {
                Ok(uri) => Ok(Some(uri)),
                Err(problem) => Err(format!("`{name}` cannot be used: {problem}")),
            },
        };
        let evaluation = url("access_evaluation_endpoint")?;
        Ok(Endpoints {
            evaluation: evaluation.ok_or("no `access_evaluation_endpoint`")?,
            evaluations: url("access_evaluations_endpoint")?,
            access_requests: url("access_request_endpoint")?,
            scheme: self.scheme,
        })
    }
}

impl Endpoints {
    /// Returns a URL that an answer names, if it is of the same origin as one of the endpoints, or what is wrong with it.
    pub(super) fn trusted(&self, url: &str) -> Result<Uri, &'static str> {
        let uri = self.scheme.check(url)?;
        let asked = self.access_requests.as_ref().unwrap_or(&self.evaluation);
        match Origin::of(&uri) {
            Some(origin) if Origin::of(asked).as_ref() == Some(&origin) => Ok(uri),
            _ => Err("it is of another origin"),
        }
    }
}

/// The well-known path goes between host and path.
fn metadata_url(decision_point: &Uri) -> Option<Uri> {
    let path = decision_point.path().trim_end_matches('/');
    Uri::builder()
        .scheme(decision_point.scheme_str()?)
        .authority(decision_point.authority()?.as_str())
        .path_and_query(format!("/.well-known/authzen-configuration{path}"))
        .build()
        .ok()
}

fn allowed(url: &str, scheme: AllowedScheme) -> Result<Uri, ConfigError> {
    scheme.check(url).map_err(|problem| unusable(url, problem))
}

fn unusable(url: &str, problem: &'static str) -> ConfigError {
    ConfigError::new(url, "the URL of a decision point", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovered(url: &str) -> Box<Discovered> {
        match Location::discovered(url, AllowedScheme::Https) {
            Ok(Location::Discovered(discovered)) => discovered,
            _ => panic!("{url}"),
        }
    }

    #[test]
    fn metadata_is_between_the_host_and_the_path() {
        for (decision_point, metadata) in [
            ("https://pdp.example", "https://pdp.example/.well-known/authzen-configuration"),
            ("https://pdp.example/", "https://pdp.example/.well-known/authzen-configuration"),
            (
                "https://pdp.example:8443/tenant/1",
                "https://pdp.example:8443/.well-known/authzen-configuration/tenant/1",
            ),
        ] {
            assert_eq!(discovered(decision_point).metadata, metadata);
        }
        for url in ["http://pdp.example", "https://pdp.example?x", "https://me@pdp.example", "pdp"]
        {
            assert!(Location::discovered(url, AllowedScheme::Https).is_err(), "{url}");
        }
    }

    #[test]
    fn metadata_of_another_decision_point_is_refused_however_alike() {
        let pdp = discovered("https://pdp.example");
        let endpoint = r#""access_evaluation_endpoint":"https://pdp.example/e""#;
        let good =
            format!(r#"{{"policy_decision_point":"https://pdp.example",{endpoint},"x":null}}"#);
        let read = pdp.parse(&good).unwrap();
        assert_eq!(read.evaluation, "https://pdp.example/e");
        assert!(read.evaluations.is_none() && read.access_requests.is_none());
        for metadata in [
            String::new(),
            "[]".to_owned(),
            format!("{{{endpoint}}}"),
            r#"{"policy_decision_point":"https://pdp.example"}"#.to_owned(),
            good.replace("point\":\"https://pdp.example\"", "point\":\"https://pdp.example/\""),
            good.replace("point\":\"https://pdp.example\"", "point\":\"https://PDP.example\""),
            good.replace("point\":\"https://pdp.example\"", "point\":[\"https://pdp.example\"]"),
            good.replace("https://pdp.example/e", "http://pdp.example/e"),
            good.replace("https://pdp.example/e", "/e"),
            good.replace("\"x\":null", "\"x\":1,\"x\":1"),
            good.replace("\"x\":null", "\"access_evaluations_endpoint\":1"),
            good.replace("\"x\":null", "\"access_request_endpoint\":\"http://pdp.example/r\""),
        ] {
            assert_ne!(metadata, good);
            assert!(pdp.parse(&metadata).is_err(), "{metadata}");
        }
    }

    #[test]
    fn a_url_in_an_answer_is_followed_only_to_the_origin_of_the_endpoint() {
        let text = r#"{"policy_decision_point":"https://pdp.example","access_evaluation_endpoint":"https://pdp.example/e","access_request_endpoint":"https://requests.example/r"}"#;
        let endpoints = discovered("https://pdp.example").parse(text).unwrap();
        for url in ["https://requests.example/x", "https://REQUESTS.example:443/y?z"] {
            assert!(endpoints.trusted(url).is_ok(), "{url}");
        }
        for url in [
            "http://requests.example/x",
            "https://requests.example:8443/x",
            "https://requests.example:99999/x",
            "https://pdp.example/x",
            "https://requests.example.evil.example/x",
            "https://requests.example@evil.example/x",
            "/x",
            "",
        ] {
            assert!(endpoints.trusted(url).is_err(), "{url}");
        }
    }
}
