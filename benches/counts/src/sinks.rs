//! The sinks, each with something behind it that throws away what it gets.

use std::hint::black_box;
use std::io;

use metrics_exporter_prometheus::PrometheusBuilder;
use unconfused::audit::{JsonLines, MetricsAudit, Signals, TracingAudit};
use unconfused::{Audit, AuditEvent};

/// Does nothing: what it takes to make an event.
pub(super) fn closure() -> impl Audit {
    |event: &AuditEvent<'_>| {
        let _ = black_box(event);
    }
}

pub(super) fn signals() -> Signals {
    Signals::new()
}

pub(super) fn json() -> JsonLines {
    JsonLines::new(io::sink())
}

/// Its thread is not counted.
pub(super) fn queued() -> JsonLines {
    JsonLines::queued(io::sink(), JsonLines::QUEUE_BYTES).expect("a thread")
}

pub(super) fn tracing() -> impl Audit {
    let subscriber = tracing_subscriber::fmt().without_time().with_writer(io::sink).finish();
    tracing::subscriber::set_global_default(subscriber).expect("the first");
    TracingAudit
}

pub(super) fn metrics() -> impl Audit {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::set_global_recorder(recorder).expect("the first");
    MetricsAudit::new()
}
