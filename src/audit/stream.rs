//! Lines on their way to a writer that may fail. What is lost is counted, and said at its place.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::written::line;
use crate::printable::Printable;

/// A writer of lines.
pub(super) struct Stream {
    state: Mutex<State>,
    // Not in the state: they are read while the writer hangs.
    lost: AtomicU64,
    last_error: Mutex<Option<String>>,
}

struct State {
    writer: Box<dyn Write + Send>,
    /// How many lines are missing here, since the writer failed.
    failed: u64,
    /// How many lines are missing here, since the queue was full.
    dropped: u64,
    /// The last line was written in part.
    is_torn: bool,
}

/// The note that lines are missing.
#[derive(Serialize)]
struct Lost<'a> {
    outcome: &'static str,
    lines: u64,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Printable<'a>>,
}

impl Stream {
    pub(super) fn new(writer: impl Write + Send + 'static) -> Self {
        let writer = Box::new(writer);
        let state = State { writer, failed: 0, dropped: 0, is_torn: false };
        Stream { state: Mutex::new(state), lost: AtomicU64::new(0), last_error: Mutex::new(None) }
    }

    /// Writes these lines, and before them what is to be said of those that are missing.
    pub(super) fn write(&self, lines: &[u8]) {
        let mut state = locked(&self.state);
        let notes = self.notes(&state);
        if !notes.is_empty() {
            let (written, problem) = write_all(&mut *state.writer, &notes);
            if written > 0 {
                state.is_torn = is_torn(&notes, written);
            }
            if let Some(problem) = problem {
                return self.fail(&mut state, lines, &problem);
            }
            (state.failed, state.dropped) = (0, 0);
        }
        let (written, problem) = write_all(&mut *state.writer, lines);
        state.is_torn = is_torn(lines, written);
        if let Some(problem) = problem {
            let rest = lines.split_at_checked(written).map_or(lines, |(_, rest)| rest);
            self.fail(&mut state, rest, &problem);
        }
    }

    /// Says at this place that so many lines were dropped. They are counted already.
    pub(super) fn write_dropped(&self, lines: u64) {
        if lines > 0 {
            let mut state = locked(&self.state);
            state.dropped = state.dropped.saturating_add(lines);
            drop(state);
            self.write(b"");
        }
    }

    /// Counts lines that are lost.
    pub(super) fn count_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn last_error(&self) -> Option<String> {
        locked(&self.last_error).clone()
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        let flushed = without_panic(|| state.writer.flush());
        if let Err(problem) = &flushed {
            *locked(&self.last_error) = Some(problem.to_string());
        }
        flushed
    }

    fn fail(&self, state: &mut State, lines: &[u8], problem: &io::Error) {
        let missing = lines.iter().filter(|byte| **byte == b'\n').count();
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        state.failed = state.failed.saturating_add(missing);
        self.count_lost(missing);
        *locked(&self.last_error) = Some(problem.to_string());
    }

    /// The end of a line that was written in part, and what is to be said.
    fn notes(&self, state: &State) -> Vec<u8> {
        let mut notes = Vec::new();
        if state.is_torn {
            notes.push(b'\n');
        }
        let mut say = |lines, cause, error| {
            if lines > 0 {
                let note = line(&Lost { outcome: "lost", lines, cause, error });
                notes.extend_from_slice(note.as_bytes());
                notes.push(b'\n');
            }
        };
        let error = self.last_error();
        say(state.failed, "write_failed", error.as_deref().map(Printable::from));
        say(state.dropped, "queue_full", None);
        notes
    }
}

/// Writes all of it, or as much as the writer accepts. Returns how much that is, and why it is not all.
fn write_all(writer: &mut dyn Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0_usize;
    while let Some((_, rest)) = bytes.split_at_checked(written)
        && !rest.is_empty()
    {
        match without_panic(|| writer.write(rest)) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => written = written.saturating_add(more).min(bytes.len()),
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
            Err(problem) => return (written, Some(problem)),
        }
    }
    (written, None)
}

/// True if what was written ends within a line.
fn is_torn(lines: &[u8], written: usize) -> bool {
    let last = written.checked_sub(1).and_then(|last| lines.get(last));
    last.is_some_and(|byte| *byte != b'\n')
}

/// A writer that panics is one that fails.
fn without_panic<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(write))
        .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
}

/// What a mutex holds is whole, also if a thread panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
