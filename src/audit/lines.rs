//! The audit record as lines of JSON.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::event::AuditEvent;
use super::ocsf::Ocsf;
use super::queue::Queue;
use super::sink::Audit;
use super::stream::Stream;
use super::written::{WithUnverified, line};

/// A sink that writes one line of JSON for each event, to any [`io::Write`].
///
/// Each line is [`AuditEvent::to_json`], or the event in OCSF if [`ocsf`](Self::ocsf) says so. Clones share the writer: give
/// one to a guard, and keep another to [`flush`](Self::flush) and to see what was [`lost`](Self::lost).
///
/// [`new`](Self::new) writes while the request waits. If the writer is slow, as a disk or a pipe can be, use
/// [`queued`](Self::queued), which never waits.
///
/// **No line is lost silently.** If the writer fails, or the queue is full, the lines are counted, and the next line that
/// is written says how many are missing at that place:
///
/// ```text
/// {"outcome":"lost","lines":3,"cause":"write_failed","error":"No space left on device (os error 28)"}
/// ```
///
/// A line that was written only in part is ended before the next one begins. The sink does not panic if the writer
/// fails, and the request is answered as it would be. A writer that panics does so in the request, unless it is queued.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use std::time::Duration;
/// use unconfused::audit::JsonLines;
/// use unconfused::{Audience, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let record = JsonLines::new(std::io::stderr());
/// let guard = Guard::new(ORDERS, issuer).audit(record.clone());
/// login.token(&ORDERS).scope("orders:read").granted_by(&guard, READ);
///
/// record.flush(Duration::from_secs(5))?;
/// assert_eq!(record.lost(), 0);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct JsonLines {
    output: Output,
    form: Form,
    with_unverified: bool,
}

#[derive(Clone)]
enum Output {
    /// Written while the request waits.
    Direct(Arc<Stream>),
    /// Written by a thread.
    Queued(Arc<Queue>),
}

#[derive(Clone, Copy)]
enum Form {
    Own,
    Ocsf,
}

impl JsonLines {
    /// How many bytes of lines a queue holds by default: 8 MiB.
    pub const QUEUE_BYTES: NonZeroUsize = NonZeroUsize::new(8 * 1024 * 1024).unwrap();

    /// Makes a sink that writes each line while its request waits, with one call of the writer.
    ///
    /// The sink flushes nothing by itself: a `BufWriter` holds lines back until it is full or [`flush`](Self::flush) is
    /// called.
    pub fn new(writer: impl io::Write + Send + 'static) -> Self {
        JsonLines::with(Output::Direct(Arc::new(Stream::new(writer))))
    }

    /// Makes a sink that puts each line into a queue, from which a thread of its own writes, and never waits for the
    /// writer.
    ///
    /// The queue holds `max_bytes` of lines, and as much again is being written;
    /// [`QUEUE_BYTES`](Self::QUEUE_BYTES) is room for about 10,000 lines. A line that does not fit is
    /// dropped: it counts as [`lost`](Self::lost), and the record says so at its place.
    ///
    /// The thread ends once the last clone is dropped, the guards' included, and all that is in the queue is written. Dropping does not
    /// wait for that, so call [`flush`](Self::flush) at the end of `main`.
    ///
    /// # Errors
    ///
    /// The error of the operating system, if it cannot start the thread.
    ///
    /// ```
    /// use std::time::Duration;
    /// use unconfused::audit::JsonLines;
    ///
    /// let record = JsonLines::queued(std::io::stderr(), JsonLines::QUEUE_BYTES)?;
    /// // The guards record, until the service shuts down.
    /// record.flush(Duration::from_secs(5))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn queued(
        writer: impl io::Write + Send + 'static,
        max_bytes: NonZeroUsize,
    ) -> io::Result<Self> {
        let queue = Queue::start(Stream::new(writer), max_bytes.get())?;
        Ok(JsonLines::with(Output::Queued(Arc::new(queue))))
    }

    fn with(output: Output) -> Self {
        JsonLines { output, form: Form::Own, with_unverified: false }
    }

    /// Writes events in the form of OCSF: [`AuditEvent::to_ocsf`].
    ///
    /// The note about lost lines stays as it is, and so its `outcome` tells it apart.
    #[must_use]
    pub fn ocsf(self) -> Self {
        JsonLines { form: Form::Ocsf, ..self }
    }

    /// Also writes what was found in credentials that were **not verified** ([`AuditEvent::unverified`]), as the member
    /// `unverified`.
    ///
    /// Anyone can write such text into your log, and as often as they like, so turn it on to find out why a token is
    /// refused. OCSF has no place for it, and stays without.
    #[must_use]
    pub fn with_unverified(self) -> Self {
        JsonLines { with_unverified: true, ..self }
    }

    /// Returns how many lines were not written, since the writer failed or the queue was full.
    ///
    /// A line that is in the queue, or in a buffer of the writer, is not lost yet.
    #[must_use]
    pub fn lost(&self) -> u64 {
        match &self.output {
            Output::Direct(stream) => stream.lost(),
            Output::Queued(queue) => queue.lost(),
        }
    }

    /// Returns what the writer answered when it failed last.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        match &self.output {
            Output::Direct(stream) => stream.last_error(),
            Output::Queued(queue) => queue.last_error(),
        }
    }

    /// Flushes the writer, and before that waits until everything is written that was recorded before.
    ///
    /// It blocks its thread. What is recorded meanwhile may be written or not.
    ///
    /// # Errors
    ///
    /// The error of the writer when it was flushed. With a queue, `TimedOut` if it takes longer than `at_most`; the lines
    /// stay in the queue. Without one, `at_most` does not count. That lines were lost is not an error: see
    /// [`lost`](Self::lost).
    pub fn flush(&self, at_most: Duration) -> io::Result<()> {
        match &self.output {
            Output::Direct(stream) => stream.flush(),
            Output::Queued(queue) => queue.flush(at_most),
        }
    }
}

impl Audit for JsonLines {
    fn record(&self, event: &AuditEvent<'_>) {
        let mut line = match self.form {
            Form::Ocsf => line(&Ocsf(event)),
            Form::Own if self.with_unverified => line(&WithUnverified(event)),
            Form::Own => line(event),
        };
        line.push('\n');
        match &self.output {
            Output::Direct(stream) => stream.write(line.as_bytes()),
            Output::Queued(queue) => queue.push(line.as_bytes()),
        }
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").field("lost", &self.lost()).finish_non_exhaustive()
    }
}
