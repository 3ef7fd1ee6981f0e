//! `traceparent`: carried through all steps of a decision, and believed for nothing.

use super::*;

pub(crate) const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn with_trace(token: &TestToken, field: &str) -> Parts {
    let mut parts = head(Some(token));
    parts.headers.insert("traceparent", field.parse().unwrap());
    parts
}

#[test]
fn every_step_of_a_decision_has_the_trace_of_its_request() {
    let (seen, sink) = kept(|event| (event.step(), event.traceparent().map(|it| it.to_string())));
    let sink = Arc::new(sink);
    let (guard, other) = (guard().audit(sink.clone()), guard().audit(sink));
    let mut parts = with_trace(&token().scope("orders:read"), GOOD);
    let grant = guard.authorize(&mut parts, READ).now().unwrap().unwrap();
    guard.authorize(&mut parts, READ).now().unwrap().unwrap();
    other.authorize(&mut parts, READ).now().unwrap().unwrap();
    assert!(guard.narrow(&grant, WRITE).now().unwrap().is_err());
    assert!(other.narrow(&grant, READ).now().unwrap().is_ok());
    let _ = guard.refuse(&grant);
    let expected: Vec<_> = (0..6).map(|step| (step, Some(GOOD.to_owned()))).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_trace_changes_no_decision() {
    let (seen, sink) = kept(|event| (event.allowed(), event.traceparent().is_some()));
    let guard = guard().audit(sink);
    let token = token().scope("orders:read");
    for (field, is_read) in [(GOOD, true), ("00-0-0-0", false), ("nonsense", false)] {
        for (requirement, allowed) in [(READ, true), (WRITE, false)] {
            let mut parts = with_trace(&token, field);
            let answer = guard.authorize(&mut parts, requirement).now().unwrap();
            assert_eq!(answer.is_ok(), allowed, "{field}");
            assert_eq!(seen.lock().unwrap().pop(), Some((allowed, is_read)), "{field}");
        }
    }
}

#[test]
fn a_step_is_timed_only_if_a_sink_asks() {
    struct Timed(std::sync::mpsc::Sender<Option<Duration>>);
    impl unconfused::Audit for Timed {
        fn record(&self, event: &AuditEvent<'_>) {
            self.0.send(event.took()).unwrap();
        }
        fn wants_time(&self) -> bool {
            true
        }
    }
    let (seen, sink) = kept(|event| event.took());
    let token = token().scope("orders:read");
    let untimed = guard().audit(sink);
    assert!(ask(&untimed, &token, READ).is_ok());
    assert_eq!(*seen.lock().unwrap(), [None]);

    let (took, times) = std::sync::mpsc::channel();
    // Behind an `Arc`, as sinks may be.
    let timed = untimed.audit(Arc::new(Timed(took)));
    let grant = ask(&timed, &token, READ).unwrap();
    assert!(times.recv().unwrap().is_some());
    assert!(ask(&timed, &token, WRITE).is_err());
    assert!(times.recv().unwrap().is_some());
    assert!(timed.narrow(&grant, READ).now().unwrap().is_ok());
    assert!(times.recv().unwrap().is_some());
    // What the handler did before it refused is not the guard's time.
    let _ = timed.refuse(&grant);
    assert_eq!(times.recv().unwrap(), None);
    assert!(seen.lock().unwrap().iter().skip(1).take(3).all(Option::is_some));
}

#[test]
fn the_record_knows_where_a_token_came_from() {
    let (seen, sink) = kept(|event| event.token_source().map(|source| source.as_str()));
    let guard = guard().audit(sink);
    let token = token().scope("orders:read");
    let raw = format!("Bearer {}", token.sign());
    let parts = |field: &str| {
        let mut parts = head(None);
        parts.headers.insert("authorization", field.parse().unwrap());
        parts
    };
    let mut first = parts(&raw);
    let grant = guard.authorize(&mut first, READ).now().unwrap().unwrap();
    guard.authorize(&mut first, READ).now().unwrap().unwrap();
    assert!(guard.narrow(&grant, READ).now().unwrap().is_ok());
    assert!(guard.authorize(&mut parts(&raw), WRITE).now().unwrap().is_err());
    let _ = guard.refuse(&grant);
    assert!(ask(&guard, &token.clone().expired(), READ).is_err());
    let other = TestIssuer::new(LOGIN);
    let forged = token.forged_by(&other).bearer();
    assert!(guard.authorize(&mut parts(&forged), READ).now().unwrap().is_err());
    assert!(guard.authorize(&mut head(None), READ).now().unwrap().is_err());
    assert_eq!(
        *seen.lock().unwrap(),
        [
            Some("verified"),
            Some("grant"),
            Some("grant"),
            Some("cache"),
            Some("grant"),
            Some("verified"),
            None,
            None
        ]
    );
}
