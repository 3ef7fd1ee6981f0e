//! Lines of JSON: what a writer that fails, hangs or panics costs, and that it is always said.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;
use unconfused::audit::JsonLines;

use super::kinds::{assert_valid, schema};
use super::*;

/// Records so many events, and returns the ids of their decisions.
fn record(sink: &JsonLines, events: usize) -> Vec<String> {
    let guard = guard().audit(sink.clone());
    let denied = |_| guard.authorize(&mut head(None), READ).now().unwrap().unwrap_err();
    (0..events).map(|event| denied(event).decision().unwrap().to_string()).collect()
}

/// The decisions of these lines, and for a note how many lines are missing and why.
fn read(lines: &[String]) -> Vec<String> {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let read = |line: &String| {
        let line = json(line);
        assert_valid(&validator, &line);
        match line["outcome"].as_str().unwrap() {
            "lost" => format!("{} {}", line["lines"], line["cause"].as_str().unwrap()),
            _ => line["decision"].as_str().unwrap().to_owned(),
        }
    };
    lines.iter().map(read).collect()
}

/// What a scripted writer does with the next call.
#[derive(Clone, Copy)]
enum Does {
    /// Accepts at most so many bytes.
    Accepts(usize),
    Fails(io::ErrorKind),
    Panics,
    /// Claims more than it was given.
    Lies,
}

use Does::{Accepts, Fails, Lies, Panics};

/// Follows its script, and then accepts everything.
struct Scripted(Buffer, Vec<Does>);

impl io::Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match if self.1.is_empty() { Accepts(usize::MAX) } else { self.1.remove(0) } {
            Accepts(most) => self.0.write(&bytes[..bytes.len().min(most)]),
            Fails(kind) => Err(kind.into()),
            Panics => panic!("as it is meant to"),
            Lies => self.0.write(bytes).map(|written| written + 7),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

const FULL: Does = Fails(io::ErrorKind::StorageFull);

#[test]
fn every_event_is_one_line() {
    let buffer = Buffer::default();
    let sink = JsonLines::new(buffer.clone());
    let decisions = record(&sink, 3);
    sink.flush(secs(1)).unwrap();
    assert_eq!(read(&buffer.lines()), decisions);
    assert_eq!((sink.lost(), sink.last_error()), (0, None));
    assert!(buffer.text().ends_with('\n'));
}

#[test]
fn a_writer_that_fails_loses_lines_that_are_counted_and_said_at_their_place() {
    let buffer = Buffer::default();
    let script = vec![Accepts(usize::MAX), FULL, FULL];
    let sink = JsonLines::new(Scripted(buffer.clone(), script));
    let decisions = record(&sink, 4);
    // The third was not written since the note before it was not.
    assert_eq!(read(&buffer.lines()), [&*decisions[0], "2 write_failed", &decisions[3]]);
    assert_eq!(sink.lost(), 2);
    let note = json(&buffer.lines()[1]);
    assert_eq!(note["error"], sink.last_error().unwrap());
    assert!(sink.last_error().unwrap().contains("no storage space"), "{note}");
}

#[test]
fn a_line_that_was_written_in_part_ends_before_the_next_begins() {
    let buffer = Buffer::default();
    let script = vec![Accepts(10), FULL, Accepts(4), FULL];
    let sink = JsonLines::new(Scripted(buffer.clone(), script));
    let decisions = record(&sink, 3);
    let lines = buffer.lines();
    assert_eq!(lines[0], r#"{"outcome""#);
    // The note was written in part too: the end of the line, and three bytes.
    assert_eq!(lines[1], r#"{"o"#);
    assert_eq!(read(&lines[2..]), ["2 write_failed", &decisions[2]]);
    assert_eq!(sink.lost(), 2);
}

#[test]
fn a_writer_that_is_interrupted_or_writes_little_or_claims_too_much_loses_nothing() {
    let buffer = Buffer::default();
    let script = vec![Accepts(1), Fails(io::ErrorKind::Interrupted), Accepts(100), Lies, Lies];
    let sink = JsonLines::new(Scripted(buffer.clone(), script));
    let decisions = record(&sink, 2);
    assert_eq!(read(&buffer.lines()), decisions);
    assert_eq!(sink.lost(), 0);
}

#[test]
fn a_writer_that_panics_or_accepts_nothing_does_not_reach_the_request() {
    for does in [Panics, Accepts(0)] {
        for is_queued in [false, true] {
            let buffer = Buffer::default();
            let writer = Scripted(buffer.clone(), vec![does]);
            let sink = match is_queued {
                true => JsonLines::queued(writer, JsonLines::QUEUE_BYTES).unwrap(),
                false => JsonLines::new(writer),
            };
            record(&sink, 1);
            sink.flush(secs(60)).unwrap();
            assert_eq!(sink.lost(), 1);
            let decision = record(&sink, 1).remove(0);
            sink.flush(secs(60)).unwrap();
            assert_eq!(read(&buffer.lines()), ["1 write_failed", &decision]);
        }
    }
}

/// Says when it is called, and then waits until it may write.
struct Gate {
    called: Sender<()>,
    open: Receiver<()>,
    buffer: Buffer,
}

fn gate() -> (Gate, Receiver<()>, Sender<()>) {
    let (called, is_called) = channel();
    let (opens, open) = channel();
    (Gate { called, open, buffer: Buffer::default() }, is_called, opens)
}

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.called.send(());
        // Open for good once the sender is dropped.
        let _ = self.open.recv();
        self.buffer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_queue_drops_lines_that_are_counted_and_said_and_no_request_waits() {
    let (gate, is_called, open) = gate();
    let buffer = gate.buffer.clone();
    let room = NonZeroUsize::new(2_000).unwrap();
    let sink = JsonLines::queued(gate, room).unwrap();
    let first = record(&sink, 1);
    // From here on the writer hangs, and these requests are answered all the same.
    is_called.recv().unwrap();
    let rest = record(&sink, 1_000);
    let lost = sink.lost();
    assert!(lost > 900 && lost < 1_000, "{lost}");
    let late = sink.flush(Duration::ZERO).unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);

    drop(open);
    sink.flush(secs(60)).unwrap();
    let after = record(&sink, 1);
    sink.flush(secs(60)).unwrap();
    assert_eq!(sink.lost(), lost);
    let written = read(&buffer.lines());
    let kept = 1_000 - usize::try_from(lost).unwrap();
    let note = format!("{lost} queue_full");
    let expected = [&first[..], &rest[..kept], &[note], &after[..]].concat();
    assert_eq!(written, expected);
}

#[test]
fn a_queue_whose_writer_fails_says_both_causes() {
    let (gate, is_called, open) = gate();
    struct FailsAfter(Gate, usize);
    impl io::Write for FailsAfter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 {
                2 => Err(io::ErrorKind::BrokenPipe.into()),
                _ => self.0.write(bytes),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let buffer = gate.buffer.clone();
    let room = NonZeroUsize::new(2_000).unwrap();
    let sink = JsonLines::queued(FailsAfter(gate, 0), room).unwrap();
    let first = record(&sink, 1).remove(0);
    is_called.recv().unwrap();
    record(&sink, 50);
    drop(open);
    sink.flush(secs(60)).unwrap();
    let lines = buffer.lines();
    let written = read(&lines);
    assert_eq!(written[0], first);
    let [failed, full] = [1, 2].map(|at| json(&lines[at]));
    assert_eq!((&failed["cause"], &full["cause"]), (&json!("write_failed"), &json!("queue_full")));
    let missing = failed["lines"].as_u64().unwrap() + full["lines"].as_u64().unwrap();
    assert_eq!((missing, sink.lost()), (50, 50));
}

#[test]
fn a_line_that_is_longer_than_the_queue_is_dropped_and_said() {
    let buffer = Buffer::default();
    let sink = JsonLines::queued(buffer.clone(), NonZeroUsize::MIN).unwrap();
    record(&sink, 2);
    sink.flush(secs(60)).unwrap();
    assert_eq!(sink.lost(), 2);
    let said: u64 = buffer.lines().iter().map(|line| json(line)["lines"].as_u64().unwrap()).sum();
    assert_eq!(said, 2);
}

#[test]
fn what_was_recorded_before_a_flush_is_written_when_it_returns() {
    let buffer = Buffer::default();
    // A buffered writer, which writes only when it is flushed.
    let writer = io::BufWriter::with_capacity(1 << 20, buffer.clone());
    let sink = JsonLines::queued(writer, JsonLines::QUEUE_BYTES).unwrap();
    for round in 1..=20 {
        record(&sink, 10);
        sink.flush(secs(60)).unwrap();
        assert_eq!(buffer.lines().len(), 10 * round);
    }
}

#[test]
fn a_flush_says_what_the_writer_answered() {
    struct CannotFlush;
    impl io::Write for CannotFlush {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let queued = JsonLines::queued(CannotFlush, JsonLines::QUEUE_BYTES).unwrap();
    for sink in [JsonLines::new(CannotFlush), queued] {
        assert_eq!(sink.flush(secs(60)).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(sink.last_error().as_deref(), Some("broken pipe"));
        assert_eq!(sink.lost(), 0);
    }
}

#[test]
fn the_thread_writes_what_is_queued_and_ends_when_the_last_clone_is_dropped() {
    /// Tells when it is dropped, which the thread does when it ends.
    struct Watched(Gate, #[expect(dead_code, reason = "dropped with it")] Sender<()>);
    impl io::Write for Watched {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (gate, is_called, open) = gate();
    let buffer = gate.buffer.clone();
    let (alive, ended) = channel();
    let sink = JsonLines::queued(Watched(gate, alive), JsonLines::QUEUE_BYTES).unwrap();
    let mut decisions = record(&sink, 1);
    is_called.recv().unwrap();
    decisions.extend(record(&sink, 5));
    drop(sink);
    drop(open);
    assert!(ended.recv().is_err());
    assert_eq!(read(&buffer.lines()), decisions);
}
