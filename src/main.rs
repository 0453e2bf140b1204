//! The program. All code is in the library.

fn main() -> std::process::ExitCode {
    remote_buildkit::main()
}
