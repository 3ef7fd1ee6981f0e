//! The place of a request in a distributed trace, as its client states it (W3C Trace Context).

use std::fmt;

use http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The `traceparent` of a request
/// ([W3C Trace Context, section 3.2](https://www.w3.org/TR/trace-context/#traceparent-header)): the trace that it belongs
/// to, and the span that it was sent from.
///
/// It joins the record with traces. **The client wrote it**: it can name any trace, also one of another client, so
/// nothing is decided by it. `Display` writes it as the field is written, in version 00.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Audience, AuditEvent, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).audit(|event: &AuditEvent<'_>| {
///     let trace = event.traceparent().unwrap();
///     assert_eq!(trace.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// });
/// let request = http::Request::get("/orders")
///     .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
/// let (mut head, ()) = request.body(()).unwrap().into_parts();
/// assert!(guard.authorize(&mut head, Scope::from_static("orders:read")).now().unwrap().is_err());
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl TraceParent {
    /// Reads the field of a request. `None` if it is absent, there are several, or it is malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let field = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        TraceParent::parse(field.as_bytes())
    }

    /// A version after 00 may add parts at the end, and its first four are read as those of 00.
    fn parse(field: &[u8]) -> Option<Self> {
        let (known, added) = field.split_at_checked(55)?;
        let [version, trace, parent, flags] = parts(known)?;
        let version = hex(version)?;
        let is_complete = match version {
            0 => added.is_empty(),
            0xff => false,
            _ => added.is_empty() || added.starts_with(b"-"),
        };
        let (trace, parent) = (hex(trace)?, u64::try_from(hex(parent)?).ok()?);
        let flags = u8::try_from(hex(flags)?).ok()?;
        let is_valid = is_complete && trace != 0 && parent != 0;
        is_valid.then_some(TraceParent { trace, parent, flags })
    }

    /// Returns the id of the trace: 32 hexadecimal digits, in lower case.
    #[must_use]
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        Hex(self.trace, 32)
    }

    /// Returns the id of the span that the request was sent from: 16 hexadecimal digits, in lower case.
    #[must_use]
    pub fn parent_id(&self) -> impl fmt::Display + use<> {
        Hex(self.parent.into(), 16)
    }

    /// Returns true if the client says that it records the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// The four parts of a field, whose lengths are fixed.
fn parts(field: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = field.split(|byte| *byte == b'-');
    let parts = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (parts.map(<[u8]>::len) == [2, 32, 16, 2]).then_some(parts)
}

/// The number that these digits are. Upper case is malformed.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit.checked_sub(b'0')?,
            b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10)?,
            _ => return None,
        };
        number.checked_mul(16)?.checked_add(digit.into())
    })
}

/// A number as so many digits.
struct Hex(u128, usize);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hex(number, width) = self;
        write!(f, "{number:0width$x}")
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), self.parent_id(), self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_strictly() {
        let read = |field: &str| TraceParent::parse(field.as_bytes()).map(|it| it.to_string());
        for good in [
            GOOD,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-ff",
        ] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for later in ["01", "cc", "fe"] {
            for end in ["", "-", "-more-of-it"] {
                let field = format!("{later}{}{end}", &GOOD[2..]);
                assert_eq!(read(&field).as_deref(), Some(GOOD), "{field}");
            }
            assert_eq!(read(&format!("{later}{}0", &GOOD[2..])), None);
        }
        for bad in [
            "",
            "00",
            &GOOD[1..],
            &GOOD[..54],
            &format!("{GOOD}-"),
            &format!("{GOOD} "),
            &format!(" {GOOD}"),
            &format!("{GOOD}-01"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replacen("00-", "0g-", 1),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf9", "4BF9"),
            &GOOD.replace("4bf9", "+bf9"),
            &GOOD.replace("4bf92", "4bf9-"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("-01", "-0é"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn of_several_fields_none_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceParent::of(&headers), None);
        headers.append(TRACEPARENT, http::HeaderValue::from_static(GOOD));
        assert_eq!(TraceParent::of(&headers).map(|it| it.is_sampled()), Some(true));
        headers.append(TRACEPARENT, http::HeaderValue::from_static(GOOD));
        assert_eq!(TraceParent::of(&headers), None);
    }
}
