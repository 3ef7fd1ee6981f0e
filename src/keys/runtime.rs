//! The Tokio runtime that keys are fetched in.

use tokio::runtime::Handle;

/// Returns the runtime of the caller, or why nothing can be fetched in it.
pub(super) fn current() -> Result<Handle, &'static str> {
    let runtime = Handle::try_current()
        .map_err(|_| "they are fetched in a Tokio runtime, and there is none here")?;
    match has_timer() {
        true => Ok(runtime),
        false => Err("they are fetched in a Tokio runtime, and this one has no timer: enable_time"),
    }
}

/// Returns false if the runtime has no timer. Tokio says so with a panic alone.
#[cfg(panic = "unwind")]
fn has_timer() -> bool {
    std::panic::catch_unwind(|| drop(tokio::time::sleep(std::time::Duration::ZERO))).is_ok()
}

/// Returns true, since a panic cannot be caught. The first fetch ends the process if the runtime has no timer.
#[cfg(not(panic = "unwind"))]
fn has_timer() -> bool {
    true
}
