//! The `kings` program.

fn main() -> std::process::ExitCode {
    kings::main()
}
