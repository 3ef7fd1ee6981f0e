//! The allocations of one pass: `allocations PATH...`. Not in `counts`, since the counting takes instructions.

#[path = "../shared/allocations.rs"]
mod allocations;
#[path = "../paths.rs"]
mod paths;

fn main() {
    println!("# {}", openssl::version::version());
    allocations::run(paths::named);
}
