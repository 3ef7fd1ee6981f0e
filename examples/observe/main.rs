//! The record, and the metrics for Prometheus, of the quickstart's story.
//!
//!     cargo run --example observe
//!
//! It runs the story with two more sinks: lines of JSON from a queue, and metrics. Then it scrapes its own exporter and
//! compares every line of it with the record. It ends by itself, with 1 if anything is not as expected.
//!
//! Beside this file are alert rules for Prometheus (`alerts.yml`, tested by `promtool test rules alerts.test.yml`) and a
//! dashboard for Grafana (`dashboard.json`).

mod compare;
#[allow(dead_code, reason = "has a `main` of its own")]
#[path = "../quickstart/main.rs"]
mod quickstart;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tokio::net::TcpListener;
use unconfused::audit::{JsonLines, MetricsAudit};
use unconfused::{AuditEvent, Guard};

use quickstart::agents;

/// The issuer of the story.
const LOGIN: &str = "https://login.example";

/// Up to where the time of the guard is counted, in seconds.
const BUCKETS: [f64; 7] = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0];

/// What your service does: a recorder, a sink for it, and a page that Prometheus scrapes. It is not for the public, so it
/// has a port of its own.
async fn observed() -> Result<(), Box<dyn Error>> {
    let buckets = Matcher::Full("unconfused_guard_seconds".to_owned());
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(buckets, &BUCKETS)?;
    let recorder = recorder.build_recorder();
    let exporter = recorder.handle();
    metrics::set_global_recorder(recorder)?;

    // Only these agents have a series of their own.
    let metrics = MetricsAudit::new().actors([(LOGIN, "support-agent")]);
    let file = File::default();
    let record = JsonLines::queued(file.clone(), JsonLines::QUEUE_BYTES)?;
    let seen = Arc::new(compare::Seen::default());

    let guard = Arc::new(OnceLock::new());
    let observe = |before: Guard| {
        let keeper = seen.clone();
        let observed = before
            .audit(metrics.clone())
            .audit(record.clone())
            .audit(move |event: &AuditEvent<'_>| keeper.keep(event));
        guard.get_or_init(|| observed).clone()
    };
    agents::story(observe).await?;

    let scrape = {
        let (guard, record) = (guard.clone(), record.clone());
        move || {
            if let Some(guard) = guard.get() {
                metrics.report_readiness(&guard.readiness());
            }
            metrics.report_lost(&record);
            exporter.run_upkeep();
            std::future::ready(exporter.render())
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    let page = Router::new().route("/metrics", get(scrape));
    tokio::spawn(axum::serve(listener, page).into_future());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let scraped = http.get(url).send().await?.text().await?;

    // At the end of a service, too: what is in the queue is written.
    record.flush(Duration::from_secs(10))?;
    let lines = file.text();
    println!("\nThe last two lines of the record:\n");
    for line in lines.lines().skip(lines.lines().count().saturating_sub(2)) {
        println!("{line}");
    }
    println!("\nThe exporter:\n\n{scraped}");
    let compared = compare::compare(&lines, &seen, &scraped)?;
    println!("{compared} lines of the exporter say what the record says.");
    Ok(())
}

/// Stands in for a file, or a pipe to what collects logs.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl File {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match observed().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observe: {error}");
            ExitCode::FAILURE
        }
    }
}
