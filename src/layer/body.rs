//! The bodies of denied responses.

use http::HeaderValue;

use crate::denial::Denial;

/// Makes the body of a denied response. A closure `|denial: &Denial| ..` is one.
pub trait MakeBody<R> {
    /// The body.
    fn body(&self, denial: &Denial) -> R;

    /// Its media type; none by default.
    fn content_type(&self) -> Option<HeaderValue> {
        None
    }
}

impl<R, F: Fn(&Denial) -> R> MakeBody<R> for F {
    fn body(&self, denial: &Denial) -> R {
        self(denial)
    }
}

/// No body: what a layer answers with unless told otherwise.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a body, with nothing in it")]
pub struct EmptyBody;

impl<R: Default> MakeBody<R> for EmptyBody {
    fn body(&self, _: &Denial) -> R {
        R::default()
    }
}

/// A body of the media type `application/problem+json`
/// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): see [`Denial::problem_json`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a body, with nothing in it")]
pub struct ProblemJson;

impl<R: From<String>> MakeBody<R> for ProblemJson {
    fn body(&self, denial: &Denial) -> R {
        denial.problem_json().into()
    }

    fn content_type(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("application/problem+json"))
    }
}
