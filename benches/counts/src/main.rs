//! One path so many times: `counts PATH TIMES`.

#[path = "shared/instructions.rs"]
mod instructions;
mod paths;

fn main() {
    instructions::run(paths::named);
}
