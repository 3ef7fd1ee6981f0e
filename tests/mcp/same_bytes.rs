//! What was authorized is what arrives, byte for byte.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::task::Waker;

/// A JSON value with names and strings of all kinds.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
    let tool = select(vec!["search", "delete", "löschen"]);
    let space = select(vec!["", " ", "\n", "\r\n\t "]);
    (id, tool, value(), value(), space, any::<bool>(), any::<u8>()).prop_map(
        |(id, tool, arguments, meta, space, pretty, turn)| {
            let arguments =
                if arguments.is_object() { arguments } else { json!({ "a": arguments }) };
            let mut members = [
                r#""jsonrpc":"2.0""#.to_owned(),
                format!(r#""id":{id}"#),
                r#""method":"tools\/call""#.to_owned(),
                format!(
                    r#""params":{space}{{"name":{},"arguments":{},"_meta":{{"m":{meta}}}}}"#,
                    json!(tool),
                    if pretty { format!("{arguments:#}") } else { arguments.to_string() }
                ),
            ];
            members.rotate_left(usize::from(turn) % 4);
            format!("{space}{{{space}{}{space}}}{space}", members.join(&format!("{space},")))
                .into_bytes()
        },
    )
}

/// A body in pieces.
struct Pieces(Vec<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(Frame::data(self.0.remove(0)))))
    }
}

#[test]
fn the_bytes_that_arrive_are_the_bytes_that_were_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let server = Server::new();
    let service = guard().mcp(tools()).layer(server.clone());
    let bearer = token().scope("notes:read notes:write").bearer();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) };
    proptest::test_runner::TestRunner::new(config)
        .run(&(body(), any::<proptest::sample::Index>()), |(body, cut)| {
            let (one, two) = body.split_at(cut.index(body.len() + 1));
            let pieces = Pieces([one, two].map(Bytes::copy_from_slice).to_vec());
            let request = Request::post("/mcp")
                .header("content-type", "application/json")
                .header("authorization", &bearer);
            let mut response = Box::pin(service.clone().oneshot(request.body(pieces).unwrap()));
            let Poll::Ready(response) =
                response.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            else {
                panic!("it waits for something")
            };
            prop_assert_eq!(response.unwrap().status(), 200);
            let (_, arrived) = server.seen.lock().unwrap().pop().unwrap();
            prop_assert_eq!(arrived, body);
            Ok(())
        })
        .unwrap();
}
