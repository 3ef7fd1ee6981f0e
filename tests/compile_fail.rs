//! Mistakes that do not compile. The messages are those of the toolchain that wrote them.

#[test]
fn a_mistake_with_authority_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
