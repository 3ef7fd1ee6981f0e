//! The authorization server of tests/interop, as a process of its own.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/server/server.mjs");

/// The running server. It ends with this.
pub(crate) struct Peer {
    child: Child,
    /// Kept open, so that the server can write.
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the server on a free port. Returns its name too, which is where it is.
    pub(crate) fn start() -> Result<(Self, String), Box<dyn Error>> {
        // The server ends when its standard input does, even if this process is killed.
        let mut node = Command::new("node");
        let node = node.arg(SERVER).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node.spawn().map_err(|error| format!("node does not start: {error}"))?;
        let output = child.stdout.take().ok_or("node has no output")?;
        let mut peer = Peer { child, output: BufReader::new(output) };
        let mut line = String::new();
        peer.output.read_line(&mut line)?;
        let issuer = line.trim_end().strip_prefix("listening ");
        let problem = "the server does not start: run `npm ci` in tests/interop/server";
        let issuer = issuer.ok_or(problem)?.to_owned();
        Ok((peer, issuer))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails only if the server has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
