//! For tonic: a denial as a status, and the names of guarded services.

use std::sync::Arc;

use ::tonic::metadata::MetadataMap;
use ::tonic::server::NamedService;
use ::tonic::{Code, Status};

use crate::denial::Denial;
use crate::layer::RulesService;
#[cfg(feature = "remote")]
use crate::layer::UntilExpiryService;

/// The status has everything that [`Denial::respond_grpc`] tells a client: code, message, details and metadata. So
/// methods can use `?` on what a guard answers, and a stream may end with such a status at any time.
///
/// The denial is the [source](std::error::Error::source) of the status, for the operator. It is not sent. But `Display` and
/// `Debug` of the status name its reason: **do not send these to the client**, for instance as the message of another
/// status.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use tonic::{Code, Request, Response, Status};
/// use unconfused::{Audience, Grant, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const REFUND: Scope = Scope::from_static("orders:refund");
/// const REFUND_LARGE: Scope = Scope::from_static("orders:refund-large");
///
/// async fn refund(guard: &Guard, request: Request<u64>) -> Result<Response<String>, Status> {
///     let grant = Grant::of(request.extensions())?;
///     if *request.get_ref() > 1000 {
///         guard.narrow(grant, REFUND_LARGE).await?;
///     }
///     Ok(Response::new(format!("{} refunded", request.get_ref())))
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let login = TestIssuer::new("https://login.example");
///
/// let guard = Guard::new(ORDERS, login.issuer());
/// let granted = |amount| {
///     // `guard.rules(..)` does this for each request.
///     let mut request = Request::new(amount);
///     let token = login.token(&ORDERS).scope("orders:refund");
///     request.extensions_mut().insert(token.granted_by(&guard, REFUND));
///     request
/// };
/// assert!(refund(&guard, granted(20)).await.is_ok());
///
/// let status = refund(&guard, granted(1200)).await.unwrap_err();
/// assert_eq!(status.code(), Code::PermissionDenied);
/// let challenge = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
/// assert!(challenge.contains(r#"scope="orders:refund orders:refund-large""#));
///
/// // No guard stood before this one.
/// let status = refund(&guard, Request::new(20)).await.unwrap_err();
/// assert_eq!(status.code(), Code::Internal);
/// # });
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        let mut status = Status::with_details_and_metadata(
            Code::from_i32(denial.grpc_code()),
            denial.to_string(),
            denial.grpc_details().into(),
            MetadataMap::from_headers(denial.grpc_metadata()),
        );
        status.set_source(Arc::new(denial));
        status
    }
}

/// The name of the inner service, so that tonic's router and its health service know the guarded one.
impl<S: NamedService> NamedService for RulesService<S> {
    const NAME: &'static str = S::NAME;
}

/// The name of the inner service.
#[cfg(feature = "remote")]
impl<S: NamedService> NamedService for UntilExpiryService<S> {
    const NAME: &'static str = S::NAME;
}
