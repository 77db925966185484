//! The binary `atoll`: calls [`atoll::cli`] and nothing else.

fn main() -> std::process::ExitCode {
    atoll::cli::main()
}
