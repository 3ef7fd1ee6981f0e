//! The allocations of one pass: `allocations PATH...`. Not in `counts`, since the counting takes instructions.

#[path = "../../../counts/src/shared/allocations.rs"]
mod allocations;
#[path = "../paths.rs"]
mod paths;

fn main() {
    allocations::run(paths::named);
}
