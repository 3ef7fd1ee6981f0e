//! Mistakes that do not compile.

use std::process::Command;

/// The compiler whose messages are written down beside the cases: others word them differently.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn a_mistake_with_authority_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("the compiler runs").stdout;
    if !version.starts_with(COMPILER.as_bytes()) {
        eprintln!("skipped: the messages are those of {COMPILER}x");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
