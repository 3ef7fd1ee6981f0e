//! One path so many times: `counts PATH TIMES`.

#[path = "../../../counts/src/shared/instructions.rs"]
mod instructions;
#[path = "../paths.rs"]
mod paths;

fn main() {
    instructions::run(paths::named);
}
