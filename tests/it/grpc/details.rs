//! A decoder of `grpc-status-details-bin`, which shares nothing with the encoder.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderMap;

/// A `google.rpc.Status` with one `google.rpc.ErrorInfo`.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) code: u64,
    pub(super) message: String,
    pub(super) reason: String,
    pub(super) domain: String,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Details {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let bytes = STANDARD_NO_PAD.decode(&headers["grpc-status-details-bin"]).expect("base64");
        let mut status = Fields::read(&bytes);
        let mut any = Fields::read(status.one(3).bytes());
        assert_eq!(any.one(1).text(), "type.googleapis.com/google.rpc.ErrorInfo");
        let value = any.one(2);
        let mut info = Fields::read(value.bytes());
        let mut metadata = BTreeMap::new();
        for entry in info.take(3) {
            let mut entry = Fields::read(entry.bytes());
            let other = metadata.insert(entry.one(1).text(), entry.one(2).text());
            assert_eq!(other, None, "an entry stands twice");
            entry.end();
        }
        let details = Details {
            code: status.one(1).number(),
            message: status.one(2).text(),
            reason: info.one(1).text(),
            domain: info.one(2).text(),
            metadata,
        };
        [status, any, info].into_iter().for_each(Fields::end);
        details
    }
}

#[derive(Debug, PartialEq)]
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl<'b> Value<'b> {
    fn number(self) -> u64 {
        let Value::Number(number) = self else { panic!("a number, not {self:?}") };
        number
    }

    fn bytes(self) -> &'b [u8] {
        let Value::Bytes(bytes) = self else { panic!("bytes, not {self:?}") };
        bytes
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

/// The fields of a message, by number.
struct Fields<'b>(Vec<(u64, Value<'b>)>);

impl<'b> Fields<'b> {
    fn read(mut bytes: &'b [u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let value = match tag & 7 {
                0 => Value::Number(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Value::Bytes(value)
                }
                other => panic!("wire type {other}"),
            };
            fields.push((tag >> 3, value));
        }
        Fields(fields)
    }

    fn take(&mut self, number: u64) -> Vec<Value<'b>> {
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition(|(n, _)| *n == number);
        self.0 = left;
        let taken: Vec<(u64, Value<'b>)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    fn one(&mut self, number: u64) -> Value<'b> {
        let mut taken = self.take(number);
        assert_eq!(taken.len(), 1, "field {number}");
        taken.remove(0)
    }

    fn end(self) {
        assert_eq!(self.0, [], "fields that are not known");
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return number;
        }
    }
    unreachable!()
}

#[test]
fn the_decoder_reads_what_another_encoder_wrote() {
    // Written by the protobuf library for Python: code 16, a message of 200 characters, two entries.
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status-details-bin", BY_PYTHON.parse().unwrap());
    let details = Details::of(&headers);
    assert_eq!((details.code, details.message), (16, "m".repeat(200)));
    assert_eq!((&*details.reason, &*details.domain), ("TOKEN_EXPIRED", "unconfused"));
    let entries = [("error", "invalid_token"), ("scope", "orders:read")];
    assert_eq!(details.metadata, entries.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

const BY_PYTHON: &str = "\
    CBASyAFtbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1t\
    bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1t\
    bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1t\
    bW1tbW1tbW1tbW1tbW1tbRp1Cih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3JJbmZvEkkK\
    DVRPS0VOX0VYUElSRUQSCnVuY29uZnVzZWQaFAoFc2NvcGUSC29yZGVyczpyZWFkGhYKBWVycm9yEg1pbnZh\
    bGlkX3Rva2Vu";
