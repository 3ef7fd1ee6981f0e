//! Metrics: each sample is what the record says, and no one outside adds a series.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use ::metrics::with_local_recorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use unconfused::audit::{JsonLines, MetricsAudit};
use unconfused::keys::KeySet;
use unconfused::policy::Ask;
use unconfused::replay::{ReplayAnswer, ReplayEntry, ReplayStore, StoreStatus};
use unconfused::{Answer, Issuer};

use super::kinds::every_kind;
use super::*;

/// What is recorded while `run` runs with a sink of its own.
fn rendered(run: impl FnOnce(MetricsAudit)) -> String {
    let recorder = recorder();
    with_local_recorder(&recorder, || run(MetricsAudit::new()));
    recorder.handle().render()
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// The samples of a rendered text, without those of the histogram.
fn samples(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    let counted = samples.filter(|(name, _)| !name.starts_with("unconfused_guard_seconds"));
    counted.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[test]
fn each_counter_is_what_the_record_says() {
    let (seen, sink) = kept(|event| {
        let name = event.operation().name().unwrap_or("unnamed").to_owned();
        (name, json(&event.to_json()), event.token_source().map(|it| it.as_str()))
    });
    let text = rendered(|metrics| {
        let metrics = metrics.actors([(LOGIN, "third")]);
        every_kind(move |event: &AuditEvent<'_>| {
            unconfused::Audit::record(&sink, event);
            unconfused::Audit::record(&metrics, event);
        });
    });
    let found = samples(&text);
    let mut expected = BTreeMap::<String, u64>::new();
    let mut count = |sample: String| *expected.entry(sample).or_default() += 1;
    // Classes are checked by the reasons: see `every_reason_has_the_class_that_it_is_about`.
    let without_class = |sample: &str| match sample.split_once(",class=\"") {
        Some((before, after)) => format!("{before}{}", after.split_once('"').unwrap().1),
        None => sample.to_owned(),
    };
    for (operation, event, source) in &*seen.lock().unwrap() {
        let text = |name: &str| event[name].as_str();
        let outcome = text("outcome").unwrap();
        let delegation = match (text("actor"), source) {
            (Some(_), _) => "delegated",
            (None, Some(_)) => "direct",
            (None, None) => "unknown",
        };
        count(format!(
            r#"unconfused_decisions_total{{operation="{operation}",outcome="{outcome}",delegation="{delegation}"}}"#
        ));
        if let Some(reason) = text("reason") {
            count(format!(r#"unconfused_denials_total{{reason="{reason}"}}"#));
        }
        for (member, metric) in [("step_up", "step_up"), ("approval", "approvals")] {
            if let Some(state @ ("asked" | "met")) = text(member) {
                let labels = format!(r#"operation="{operation}",state="{state}""#);
                count(format!("unconfused_{metric}_total{{{labels}}}"));
            }
        }
        if let Some(actor) = text("actor") {
            let (actor, issuer) = if actor == "third" { (actor, LOGIN) } else { ("other", "") };
            let labels = format!(r#"actor="{actor}",actor_issuer="{issuer}",outcome="{outcome}""#);
            count(format!("unconfused_actor_decisions_total{{{labels}}}"));
        }
        if let Some(source @ ("verified" | "cache")) = source {
            count(format!(r#"unconfused_tokens_total{{source="{source}"}}"#));
        }
        if event["query_token"] == true {
            count("unconfused_query_tokens_total".to_owned());
        }
        if event["client_list_instead_of_audience"] == true && outcome == "allowed" {
            count("unconfused_audience_not_validated_total".to_owned());
        }
    }
    let mut summed = BTreeMap::<String, u64>::new();
    for (sample, value) in found {
        *summed.entry(without_class(&sample)).or_default() += value;
    }
    assert_eq!(summed, expected);
    assert!(text.contains(r#"class="step_up""#) && text.contains(r#"class="none""#), "{text}");
}

#[test]
fn the_time_of_each_step_is_counted_by_its_outcome() {
    let text = rendered(|metrics| {
        let guard = guard().audit(metrics);
        let token = token().scope("orders:read");
        let grant = ask(&guard, &token, READ).unwrap();
        assert!(ask(&guard, &token, WRITE).is_err());
        let _ = guard.refuse(&grant);
    });
    for outcome in ["allowed", "denied"] {
        let count = format!(r#"unconfused_guard_seconds_count{{outcome="{outcome}"}} 1"#);
        assert!(text.contains(&count), "{text}");
    }
}

#[test]
fn no_request_adds_a_series() {
    let series = |requests: usize| {
        let text = rendered(|metrics| {
            let guard = guard().audit(metrics.actors([(LOGIN, "agent-7")]));
            for n in 0..requests {
                let name = format!("x{n}");
                let token =
                    token().subject(&name).client(&name).claim("jti", &name).scope("orders:read");
                let token = token.actor(&name).acr(&name);
                for requirement in [READ, WRITE] {
                    let mut request = http::Request::get(format!("/{name}"));
                    request = request.header("authorization", token.bearer());
                    let mut parts = request.body(()).unwrap().into_parts().0;
                    let _ = guard.authorize(&mut parts, requirement).now().unwrap();
                }
                // The agent of this name at another issuer is another one.
                let token =
                    token.claim("act", serde_json::json!({ "sub": "agent-7", "iss": name }));
                let _ = ask(&guard, &token, READ);
            }
        });
        samples(&text).into_keys().collect::<BTreeSet<_>>()
    };
    let few = series(2);
    assert_eq!(few, series(40));
    assert!(
        few.iter().all(|sample| !sample.contains("x1") && !sample.contains("alice")),
        "{few:?}"
    );
}

#[test]
fn names_of_operations_are_labels_up_to_a_limit_and_if_they_are_plain() {
    let text = rendered(|metrics| {
        let guard = guard().audit(metrics);
        let grant = ask(&guard, &token().scope("orders:read"), READ).unwrap();
        let narrow = |name: &str| {
            assert!(guard.narrow(&grant, Ask::operation(name)).now().unwrap().is_ok());
        };
        narrow("a\nb");
        narrow("a\u{202e}b");
        narrow(&"a".repeat(257));
        for n in 0..MetricsAudit::MAX_OPERATIONS + 10 {
            narrow(&format!("operation-{n}"));
        }
        narrow("operation-0");
    });
    let of = |operation: &str| {
        let labels = format!(r#"operation="{operation}",outcome="allowed""#);
        let of_it = samples(&text).into_iter().filter(|(name, _)| name.contains(&labels));
        of_it.map(|(_, value)| value).sum::<u64>()
    };
    assert_eq!((of("unnamed"), of("operation-0"), of("operation-499")), (1, 2, 1));
    assert_eq!((of("operation-500"), of("other")), (0, 13));
}

#[test]
fn the_state_of_keys_and_stores_and_lost_lines_are_gauges() {
    struct Down;
    impl ReplayStore for Down {
        fn insert(&self, _: ReplayEntry) -> ReplayAnswer {
            Answer::Now(Err(unconfused::replay::StoreUnavailable::new("down")))
        }
        fn status(&self) -> StoreStatus {
            StoreStatus::Unavailable("down".to_owned())
        }
    }
    let record = JsonLines::queued(io::sink(), NonZeroUsize::MIN).unwrap();
    assert!(guard().audit(record.clone()).authorize(&mut head(None), READ).now().unwrap().is_err());
    let text = rendered(|metrics| {
        let empty = Issuer::new("https://partner.example", KeySet::default());
        let login = Issuer::new(LOGIN, login().keys());
        let guard = Guard::new(ORDERS, login).clock(now).trust(empty).replay(Down);
        metrics.report_readiness(&guard.readiness());
        metrics.report_lost(&record);
    });
    let found: Vec<_> = samples(&text).into_iter().collect();
    let expected = [
        (r#"unconfused_key_fetches_total{issuer="https://login.example"}"#, 0),
        (r#"unconfused_key_fetches_total{issuer="https://partner.example"}"#, 0),
        (r#"unconfused_keys_ready{issuer="https://login.example"}"#, 1),
        (r#"unconfused_keys_ready{issuer="https://partner.example"}"#, 0),
        (r#"unconfused_keys{issuer="https://login.example"}"#, 1),
        (r#"unconfused_keys{issuer="https://partner.example"}"#, 0),
        ("unconfused_record_lost_total", 1),
        (r#"unconfused_store_ready{store="spent tokens"}"#, 0),
    ];
    let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(found, expected);
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| word.starts_with("unconfused_"));
    // The parts of a histogram.
    let part = |word: &'static str| move |name: &'_ str| name.ends_with(word);
    let base = |word| {
        let suffix = ["_bucket", "_count", "_sum"].into_iter().find(|suffix| part(suffix)(word));
        match suffix {
            Some(suffix) if word.starts_with("unconfused_guard_seconds") => {
                word.strip_suffix(suffix).unwrap()
            }
            _ => word,
        }
    };
    words.map(base).collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_are_documented() {
    let source = include_str!("../../src/audit/metrics.rs");
    let rows =
        source.lines().map(str::trim_start).filter(|line| line.starts_with("/// | `unconfused_"));
    let rows: String = rows.collect();
    let mut documented = named(&rows);
    documented.insert("unconfused_record_lost_total");
    let described: BTreeSet<_> = named(source.split("fn describe()").nth(1).unwrap());
    assert_eq!(described, documented);
    for (file, text) in [
        ("alerts.yml", include_str!("../../examples/observe/alerts.yml")),
        ("dashboard.json", include_str!("../../examples/observe/dashboard.json")),
    ] {
        let used = named(text);
        assert!(!used.is_empty() && used.is_subset(&documented), "{file}: {used:?}");
    }
}
