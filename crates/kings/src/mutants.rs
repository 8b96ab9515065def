//! The `kings` program with faults planted on purpose, of which `KINGS_MUTANT` chooses one.

fn main() -> std::process::ExitCode {
    kings::main()
}
