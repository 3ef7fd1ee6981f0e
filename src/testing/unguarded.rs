//! Finds routes that a guard should protect and does not.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;

use http::{Method, Request, Response, StatusCode, Uri};
use tower_service::Service;

use crate::audit::{ListedOperation, Operations};
use crate::denial::Denial;
use crate::reason::Reason;

/// Sends a request without a token for each of these routes, and fails if one is not refused for that.
///
/// A router does not tell which routes it has, so list them: a method and a path that the router matches. Each answer
/// has to be
///
/// - 401, in HTTP or in gRPC (status 16);
/// - or 403 by a guard that has no rule for the operation (`operation_unknown`).
///
/// Anything else is a mistake: an answer of the handler, which is reached without a token; 500, since a handler that
/// asks for a [`Grant`](crate::Grant) finds no guard before it; 404 or 405, since the list names a route that is not
/// there. So the routes that are open on purpose do not belong in the list.
///
/// The operations of the guard ([`Guard::operations`](crate::Guard::operations)) have to be in the list too, so that it
/// stays complete: each one whose method and path are known must match a route. They are known if the
/// [name](crate::layer::GuardLayer::named) of the operation is a method and a path (`POST /refunds/{id}`), and always for
/// gRPC. An operation with another name is not looked for. Those that let requests without a token pass need not be in the
/// list. If a service has several guards, add their operations up with [`Operations::and`].
///
/// The service is any tower service of `http` requests, such as a router of axum (after `with_state`, if it has a state)
/// or tonic. Requests have an empty body. **An open route is called**, so do not run this with real data.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::{get, post}};
/// use unconfused::testing::{TestIssuer, unguarded};
/// use unconfused::{Audience, Guard, Scope};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # async fn list() {}
/// # async fn create() {}
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
///
/// let guard = Guard::new(ORDERS, TestIssuer::new("https://login.example").issuer());
/// let orders = get(list).route_layer(guard.require(READ).named("GET /orders"));
///
/// // Chained after the layer, so it is not behind it.
/// let app = Router::new().route("/orders", orders.post(create));
///
/// let operations = guard.operations();
/// unguarded(app.clone(), &operations, [("GET", "/orders")]).await?;
///
/// let found = unguarded(app, &operations, [("GET", "/orders"), ("POST", "/orders")]).await.unwrap_err();
/// assert_eq!(found.routes(), ["POST /orders: 200 OK, without a token"]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Returns what was found: see [`Unguarded`]. An empty list of routes is an error too.
///
/// What it cannot find: a route that is not in the list and is not an operation of the guard; and with
/// [a layer around a whole router](crate::layer#where-a-guard-stands-in-axum), which answers 401 before axum answers
/// 404, a route that is not there.
pub async fn unguarded<S, R, M, P>(
    service: S,
    operations: &Operations,
    routes: impl IntoIterator<Item = (M, P)>,
) -> Result<(), Unguarded>
where
    S: Service<Request<EmptyBody>, Response = Response<R>> + Clone,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    M: AsRef<str>,
    P: AsRef<str>,
{
    let mut found = Unguarded::default();
    let mut asked = Vec::new();
    for (method, path) in routes {
        let (method, path) = (method.as_ref(), path.as_ref());
        let problem = match (method.parse::<Method>(), path.parse::<Uri>()) {
            (Ok(method), Ok(uri)) if path.starts_with('/') => {
                asked.push((method.clone(), uri.path().to_owned()));
                ask(service.clone(), method, uri).await.err()
            }
            _ => Some("not a method and a path".to_owned()),
        };
        found.routes.extend(problem.map(|problem| format!("{method} {path}: {problem}")));
    }
    if asked.is_empty() && found.routes.is_empty() {
        found.routes.push("the list of routes is empty".to_owned());
    }
    let is_missing = |listed: &&ListedOperation| {
        let matches = |(method, path): &(Method, String)| listed.matches(method, path);
        listed.path().is_some() && listed.needs_token() && !asked.iter().any(matches)
    };
    let missing = operations.listed().iter().filter(is_missing);
    found.operations.extend(missing.map(|listed| listed.name().to_owned()));
    if found.routes.is_empty() && found.operations.is_empty() { Ok(()) } else { Err(found) }
}

/// Sends one request. The error says why the answer is not that of a guard.
async fn ask<S, R>(mut service: S, method: Method, uri: Uri) -> Result<(), String>
where
    S: Service<Request<EmptyBody>, Response = Response<R>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut request = Request::new(EmptyBody);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let failed = |error: S::Error| format!("the service failed: {}", error.into());
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
    let response = service.call(request).await.map_err(failed)?;
    let reason = response.extensions().get::<Denial>().map(Denial::reason);
    let is_refused_in_grpc =
        response.headers().get("grpc-status").is_some_and(|status| status == "16");
    match response.status() {
        StatusCode::UNAUTHORIZED => Ok(()),
        _ if is_refused_in_grpc || reason == Some(Reason::OperationUnknown) => Ok(()),
        status @ StatusCode::NOT_FOUND => Err(format!("{status}, so there is no such route")),
        status @ StatusCode::METHOD_NOT_ALLOWED => {
            Err(format!("{status}, so there is no such method"))
        }
        status @ StatusCode::INTERNAL_SERVER_ERROR => {
            Err(format!("{status}, so perhaps a handler asks for a grant behind no guard"))
        }
        status => match reason {
            Some(reason) => Err(format!("{status} ({reason}), without a token")),
            None => Err(format!("{status}, without a token")),
        },
    }
}

/// Routes that were not refused without a token, and operations that were not among the routes, found by
/// [`unguarded`].
///
/// `Display` and `Debug` write one line for each.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unguarded {
    routes: Vec<String>,
    operations: Vec<String>,
}

impl Unguarded {
    /// Returns the routes that were not refused as they should be, each with the answer.
    pub fn routes(&self) -> &[String] {
        &self.routes
    }

    /// Returns the names of the operations of the guard that none of the routes matches.
    pub fn operations(&self) -> &[String] {
        &self.operations
    }
}

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter().map(|route| format!("not guarded: {route}"));
        let operations = self.operations.iter();
        let operations = operations.map(|name| format!("not in the list of routes: {name}"));
        f.write_str(&routes.chain(operations).collect::<Vec<_>>().join("\n"))
    }
}

// What `unwrap` prints.
impl fmt::Debug for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl Error for Unguarded {}

/// The body of the requests that [`unguarded`] sends: it is empty.
///
/// With the features `axum` and `tonic` it is a body of the crate `http-body`, so that their routers accept it. For a
/// service whose requests have a body of another type, map the request first:
/// `service.map_request(|request: Request<EmptyBody>| request.map(|_| String::new()))`, with the trait `ServiceExt` of
/// tower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "has no fields and needs none")]
pub struct EmptyBody;

#[cfg(any(feature = "axum", feature = "tonic"))]
impl http_body::Body for EmptyBody {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(0)
    }
}
