//! Lines that wait for a thread to write them.

use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::stream::{Stream, locked};

/// A queue of lines, and the thread that writes them. The thread ends after the queue is dropped.
pub(super) struct Queue {
    shared: Arc<Shared>,
    max_bytes: usize,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do for the thread.
    work: Condvar,
    /// A flush is done.
    flushed: Condvar,
    stream: Stream,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// How many lines were dropped since the thread last took lines.
    dropped: u64,
    flushes_asked: u64,
    flushes_done: u64,
    /// What became of the last flush.
    flush_error: Option<(io::ErrorKind, String)>,
    is_closed: bool,
}

impl State {
    fn has_work(&self) -> bool {
        !self.lines.is_empty()
            || self.dropped > 0
            || self.flushes_asked != self.flushes_done
            || self.is_closed
    }
}

impl Queue {
    pub(super) fn start(stream: Stream, max_bytes: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            flushed: Condvar::new(),
            stream,
        });
        let for_thread = shared.clone();
        thread::Builder::new()
            .name("unconfused-record".to_owned())
            .spawn(move || for_thread.write_until_closed())?;
        Ok(Queue { shared, max_bytes })
    }

    /// Adds lines, or drops and counts one that does not fit.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = locked(&self.shared.state);
        let had_work = state.has_work();
        if state.lines.len().saturating_add(line.len()) > self.max_bytes {
            state.dropped = state.dropped.saturating_add(1);
            self.shared.stream.count_lost(1);
        } else {
            state.lines.extend_from_slice(line);
        }
        drop(state);
        if !had_work {
            self.shared.work.notify_one();
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.shared.stream.lost()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.shared.stream.last_error()
    }

    pub(super) fn flush(&self, at_most: Duration) -> io::Result<()> {
        let Shared { state, work, flushed, .. } = &*self.shared;
        let mut state = locked(state);
        state.flushes_asked = state.flushes_asked.wrapping_add(1);
        let ticket = state.flushes_asked;
        work.notify_one();
        let is_pending = |state: &mut State| state.flushes_done < ticket;
        let (state, _) = flushed
            .wait_timeout_while(state, at_most, is_pending)
            .unwrap_or_else(PoisonError::into_inner);
        if state.flushes_done < ticket {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match &state.flush_error {
            None => Ok(()),
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        locked(&self.shared.state).is_closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn write_until_closed(&self) {
        let mut lines = Vec::new();
        loop {
            let (dropped, asked, is_closed) = self.take(&mut lines);
            self.stream.write(&lines);
            // The queue was full after these lines.
            self.stream.write_dropped(dropped);
            lines.clear();
            // A buffer of the writer is emptied when there is nothing to do.
            let is_idle = locked(&self.state).lines.is_empty();
            let is_asked = asked != locked(&self.state).flushes_done;
            if is_idle || is_asked {
                let error = self.stream.flush().err();
                let mut state = locked(&self.state);
                state.flush_error = error.map(|error| (error.kind(), error.to_string()));
                state.flushes_done = asked;
                drop(state);
                self.flushed.notify_all();
            }
            if is_closed && is_idle {
                return;
            }
        }
    }

    /// Waits for work, and takes all lines. Returns how many were dropped, the last flush that was asked for, and whether
    /// no more lines come.
    fn take(&self, lines: &mut Vec<u8>) -> (u64, u64, bool) {
        let state = locked(&self.state);
        let is_idle = |state: &mut State| !state.has_work();
        let mut state =
            self.work.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut state.lines, lines);
        (mem::take(&mut state.dropped), state.flushes_asked, state.is_closed)
    }
}
