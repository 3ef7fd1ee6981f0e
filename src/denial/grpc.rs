//! A denial in gRPC: a status, metadata, and details in protobuf.

use base64_simd::STANDARD_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::definition::Denial;
use crate::names::{Acr, Scope};
#[cfg(doc)]
use crate::reason::Reason;
use crate::reason::grpc_code;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const DECISION_ID: HeaderName = HeaderName::from_static("decision-id");

/// The `domain` of an `ErrorInfo`: whose names the reasons are.
const DOMAIN: &str = "unconfused";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// # gRPC
impl Denial {
    /// Returns the gRPC status code of the answer: 3, 7, 8, 13, 14 or 16.
    ///
    /// It follows from the HTTP [`status`](Self::status), as [`Reason::grpc_code`] does.
    ///
    /// ```
    /// use unconfused::{Denial, Reason};
    ///
    /// assert_eq!(Denial::from(Reason::TokenExpired).grpc_code(), 16); // UNAUTHENTICATED
    /// assert_eq!(Denial::from(Reason::KeysUnavailable).grpc_code(), 14); // UNAVAILABLE
    /// ```
    #[must_use]
    pub fn grpc_code(&self) -> i32 {
        grpc_code(self.status())
    }

    /// Makes the response of a gRPC server, with an empty body and with the denial in its extensions.
    ///
    /// It is a Trailers-Only response, whatever the request says that it accepts: status 200, `content-type:
    /// application/grpc`, and
    ///
    /// - `grpc-status`: the [`grpc_code`](Self::grpc_code);
    /// - `grpc-message`: the [`description`](Reason::description) of [`Reason::for_client`], percent-encoded;
    /// - `www-authenticate`, `dpop-nonce`, `retry-after`: as in [`headers`](Self::headers);
    /// - `decision-id`: the id of the decision in the record, if a guard made this denial;
    /// - `grpc-status-details-bin`: a `google.rpc.Status` with one `google.rpc.ErrorInfo`. Its `reason` is the
    ///   [name](Reason::as_str) of [`Reason::for_client`] in capitals, and its `domain` is `unconfused`. Its `metadata`
    ///   are `error`, `scope`, `acr_values`, `max_age` and `resource_metadata` as in the challenge, and `decision`, as
    ///   far as there are any.
    ///
    /// [`Guard::rules`](crate::Guard::rules) answers like this itself. Use it if you call
    /// [`Guard::authorize`](crate::Guard::authorize) in front of a gRPC service without a layer.
    ///
    /// ```
    /// use unconfused::{Denial, Reason};
    ///
    /// let response = Denial::from(Reason::TokenExpired).respond_grpc::<String>();
    /// assert_eq!(response.status(), 200);
    /// assert_eq!(response.headers()["content-type"], "application/grpc");
    /// assert_eq!(response.headers()["grpc-status"], "16");
    /// assert_eq!(response.headers()["grpc-message"], "The access token expired");
    /// assert!(response.body().is_empty());
    /// ```
    #[must_use = "a denial that is not returned refuses nothing"]
    pub fn respond_grpc<B: Default>(self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.headers_mut() = self.grpc_trailers();
        let content_type = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.extensions_mut().insert(self);
        response
    }

    /// Everything that a client is told: status, message, details and metadata.
    pub(crate) fn grpc_trailers(&self) -> HeaderMap {
        let mut trailers = self.grpc_metadata();
        trailers.insert(GRPC_STATUS, self.grpc_code().into());
        // What was encoded is visible ASCII and spaces, so none of these is left out.
        let mut put = |name, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                trailers.insert(name, value);
            }
        };
        put(GRPC_MESSAGE, percent_encoded(&self.to_string()));
        put(GRPC_DETAILS, STANDARD_NO_PAD.encode_to_string(self.grpc_details()));
        trailers
    }

    /// The metadata besides status, message and details.
    pub(crate) fn grpc_metadata(&self) -> HeaderMap {
        let mut metadata = self.headers();
        // An answer to a POST that says nothing of caches is not stored (RFC 9111 section 3).
        metadata.remove(CACHE_CONTROL);
        let decision = self.decision().map(|decision| HeaderValue::try_from(decision.to_string()));
        if let Some(Ok(decision)) = decision {
            metadata.insert(DECISION_ID, decision);
        }
        metadata
    }

    /// The details: a `google.rpc.Status` in protobuf.
    pub(crate) fn grpc_details(&self) -> Vec<u8> {
        let reason = self.reason().for_client();
        let mut info = Message::default();
        info.put_text(REASON, &reason.as_str().to_ascii_uppercase());
        info.put_text(DOMAIN_FIELD, DOMAIN);
        let mut put = |name, value: &str| {
            if !value.is_empty() {
                let mut entry = Message::default();
                entry.put_text(MAP_KEY, name);
                entry.put_text(MAP_VALUE, value);
                info.put_message(METADATA, &entry);
            }
        };
        put("error", reason.oauth_error().unwrap_or_default());
        if let Some(challenge) = self.challenge() {
            let scope: Vec<_> = challenge.scope().iter().map(Scope::as_str).collect();
            let acr_values: Vec<_> = challenge.acr_values().iter().map(Acr::as_str).collect();
            put("scope", &scope.join(" "));
            put("acr_values", &acr_values.join(" "));
            if let Some(age) = challenge.max_age() {
                put("max_age", &age.as_secs().to_string());
            }
            if let Some(url) = challenge.resource_metadata() {
                put("resource_metadata", &url.to_string());
            }
        }
        if let Some(decision) = self.decision() {
            put("decision", &decision.to_string());
        }
        let mut any = Message::default();
        any.put_text(TYPE_URL, ERROR_INFO);
        any.put_message(VALUE, &info);
        let mut status = Message::default();
        status.put_number(CODE, self.grpc_code().unsigned_abs());
        status.put_text(MESSAGE, &self.to_string());
        status.put_message(DETAILS, &any);
        status.0
    }
}

// The tags of the fields in protobuf: the number of the field, and whether it is a number or has a length.

// `google.rpc.Status`
const CODE: u8 = 1 << 3;
const MESSAGE: u8 = 2 << 3 | 2;
const DETAILS: u8 = 3 << 3 | 2;
// `google.protobuf.Any`
const TYPE_URL: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
// `google.rpc.ErrorInfo`
const REASON: u8 = 1 << 3 | 2;
const DOMAIN_FIELD: u8 = 2 << 3 | 2;
const METADATA: u8 = 3 << 3 | 2;
// An entry of a map
const MAP_KEY: u8 = 1 << 3 | 2;
const MAP_VALUE: u8 = 2 << 3 | 2;

/// A message in protobuf, written field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn put_number(&mut self, tag: u8, number: u32) {
        self.0.push(tag);
        self.put_varint(u64::from(number));
    }

    fn put_text(&mut self, tag: u8, text: &str) {
        self.put_bytes(tag, text.as_bytes());
    }

    fn put_message(&mut self, tag: u8, message: &Message) {
        self.put_bytes(tag, &message.0);
    }

    fn put_bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.put_varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// Writes seven bits in each byte, the lowest first. Each byte but the last has its highest bit set.
    fn put_varint(&mut self, number: u64) {
        let mut rest = number;
        while rest > 0x7f {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }
}

/// Encodes what may not stand in a `grpc-message`: all but spaces and visible ASCII, and `%`.
fn percent_encoded(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn a_message_is_percent_encoded_as_grpc_wants_it() {
        assert_eq!(percent_encoded("The token expired"), "The token expired");
        assert_eq!(percent_encoded("100 % \"é\"\n~"), "100 %25 \"%C3%A9\"%0A~");
    }

    #[test]
    fn numbers_are_written_as_varints() {
        // The examples of the protobuf documentation, and the borders.
        for (number, bytes) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (150, &[0x96, 1]),
            (16_384, &[0x80, 0x80, 1]),
        ] {
            let mut message = Message::default();
            message.put_varint(number);
            assert_eq!(message.0, bytes, "{number}");
        }
    }

    #[test]
    fn details_are_the_bytes_that_another_encoder_writes() {
        // Written by the protobuf library for Python, with the messages of googleapis-common-protos.
        let by_python = "CBASGFRoZSBhY2Nlc3MgdG9rZW4gZXhwaXJlZBpfCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3\
                         JJbmZvEjMKDVRPS0VOX0VYUElSRUQSCnVuY29uZnVzZWQaFgoFZXJyb3ISDWludmFsaWRfdG9rZW4";
        let details = Denial::from(Reason::TokenExpired).grpc_details();
        assert_eq!(STANDARD_NO_PAD.encode_to_string(details), by_python);
    }
}
