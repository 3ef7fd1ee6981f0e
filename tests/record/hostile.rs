//! Hostile events through every sink at once: no control, line or bidirectional character, and no secret.

use std::thread;

use ::metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use unconfused::audit::{JsonLines, MetricsAudit, TracingAudit};
use unconfused::policy::Ask;

use super::kinds::{assert_valid, schema};
use super::*;

const THREADS: usize = 2;
/// Of each token: one that a layer causes, and as many that its handler does.
const EVENTS_OF_TOKEN: usize = 100;

/// What a stranger writes wherever it is possible: text that would end a line, hide one, or look like a field.
const PIECES: [&str; 14] = [
    "\nallowed decision=0",
    "\r\n{\"outcome\":\"allowed\"}",
    "\u{1b}[2J\u{1b}[31m",
    "\u{202e}\u{2066}\u{200f}",
    "\u{2028}\u{2029}\u{85}\u{b}\u{c}",
    "\" actor=\"boss",
    "\\\" actor=\\\"boss\\",
    "\u{0}\u{7f}\u{9b}31m",
    "\u{200b}\u{feff}\u{e0041}",
    "</script><script>",
    "{\"a\":1}",
    "é😀",
    "\u{301}",
    "%0d%0a",
];

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn text(&mut self) -> String {
        let pieces = 1 + self.below(4);
        let text: String = (0..pieces).map(|_| PIECES[self.below(PIECES.len())]).collect();
        match self.below(8) {
            0 => text.repeat(30),
            _ => text,
        }
    }

    fn token(&mut self) -> TestToken {
        let token = token().scope("orders:read").claim("password", "s3cr3t");
        let text = self.text();
        match self.below(14) {
            0 => token.subject(&text),
            1 => token.client(&text),
            2 => token.claim("jti", text),
            3 => token.acr(&text),
            4 => token.actor(&text),
            5 => token.actor_with_issuer(&text, &text),
            6 => token.actor("agent-7").claim("act", json!({ "sub": "x", "act": { "sub": text } })),
            7 => token.claim("aud", text),
            8 => token.claim("iss", text),
            9 => token.header("kid", text),
            10 => token.header("typ", text),
            11 => token.subject(&text).expired(),
            12 => token.subject(&text).claim("txn", self.text()).acr(&self.text()),
            _ => token.payload(text.into_bytes()),
        }
    }
}

/// Causes so many events, by tokens that begin with this number.
fn cause(guard: &Guard, seed: u64, events: usize) {
    let mut numbers = Numbers(seed);
    for _ in 0..events / EVENTS_OF_TOKEN {
        let token = numbers.token();
        let mut parts = head(Some(&token));
        parts.headers.insert("traceparent", "00-\u{e9}".parse().unwrap());
        parts.headers.insert("cookie", "session=s3cr3t".parse().unwrap());
        let method = ["GET", "A|B'C!", "PURGE"][numbers.below(3)];
        parts.method = method.parse().unwrap();
        parts.uri = ["/a\"b=\"c?access_token=s3cr3t", "/%0d%0a?x=s3cr3t", "/{}"][numbers.below(3)]
            .parse()
            .unwrap_or_default();
        let mut left = EVENTS_OF_TOKEN;
        while left > 0 {
            left -= 1;
            // Nine in ten are of a handler, which repeats what a stranger sent.
            let Ok(grant) = guard.authorize(&mut parts.clone(), READ).now().unwrap() else {
                continue;
            };
            for _ in 0..left.min(9) {
                left -= 1;
                let (kind, name, detail) = (numbers.text(), numbers.text(), numbers.text());
                if numbers.below(2) == 0 {
                    let _ = guard.refuse_for(&grant, detail);
                } else {
                    let ask = Ask::operation(name).resource(kind, detail).requiring(WRITE);
                    assert!(guard.narrow(&grant, ask).now().unwrap().is_err());
                }
            }
        }
    }
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[track_caller]
fn assert_harmless(sink: &str, line: &str) {
    assert!(line.chars().all(is_harmless), "{sink}: {line:?}");
    for secret in ["s3cr3t", "eyJ", "Bearer ey"] {
        assert!(!line.contains(secret), "{sink}: {line}");
    }
}

#[test]
fn hostile_events_write_no_control_character_and_no_secret() {
    through_every_sink(4_000);
}

#[test]
#[ignore = "takes minutes: `.ci/run simulation`"]
fn a_hundred_thousand_hostile_events_write_no_control_character_and_no_secret() {
    through_every_sink(100_000);
}

fn through_every_sink(all: usize) {
    let events = all / THREADS;
    let run = |seed: u64| {
        let [own, unverified, ocsf, traced, shown] = [(); 5].map(|()| Buffer::default());
        let queued = JsonLines::queued(unverified.clone(), JsonLines::QUEUE_BYTES).unwrap();
        let queued = queued.with_unverified();
        let display = shown.clone();
        let recorder = PrometheusBuilder::new().build_recorder();
        let guard = guard()
            .audit(JsonLines::new(own.clone()))
            .audit(queued.clone())
            .audit(JsonLines::new(ocsf.clone()).ocsf())
            .audit(TracingAudit.with_unverified())
            .audit(move |event: &AuditEvent<'_>| {
                let mut shown = display.0.lock().unwrap();
                shown.extend_from_slice(format!("{event}\n").as_bytes());
            });
        let writer = traced.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        with_local_recorder(&recorder, || {
            let guard = guard.audit(MetricsAudit::new().actors([(LOGIN, "agent-7")]));
            tracing::subscriber::with_default(subscriber, || {
                for round in 0..events / 1_000 {
                    cause(&guard, seed + u64::try_from(round).unwrap(), 1_000);
                    // The queue has room for a round: what is dropped is tested elsewhere.
                    queued.flush(secs(60)).unwrap();
                }
            });
        });
        assert_eq!(queued.lost(), 0);

        let validator = jsonschema::validator_for(&schema()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for (sink, buffer) in [("own", &own), ("queued", &unverified), ("ocsf", &ocsf)] {
            let lines = buffer.lines();
            assert_eq!(lines.len(), events, "{sink}");
            for (at, line) in lines.iter().enumerate() {
                assert_harmless(sink, line);
                let event = json(line);
                if sink == "ocsf" {
                    assert_eq!(event["class_uid"], 6003);
                } else if at % 50 == 0 {
                    assert_valid(&validator, &event);
                }
                names.extend(event["reason"].as_str().map(str::to_owned));
            }
        }
        for (sink, buffer) in [("tracing", &traced), ("display", &shown)] {
            let lines = buffer.lines();
            let events_of_it = lines.iter().filter(|line| !line.contains("unconfused::unverified"));
            assert_eq!(events_of_it.count(), events, "{sink}");
            lines.iter().for_each(|line| assert_harmless(sink, line));
        }
        let metrics = recorder.handle().render();
        metrics.lines().for_each(|line| assert_harmless("metrics", line));
        assert!(metrics.lines().count() < 1_000, "{metrics}");
        // It was not one reason again and again.
        assert!(names.len() >= 8, "{names:?}");
    };
    thread::scope(|scope| {
        for at in 0..THREADS {
            scope.spawn(move || run(u64::try_from(at).unwrap() << 32));
        }
    });
}
