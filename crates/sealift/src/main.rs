//! The binary: reads the surroundings of the process and runs one command line in them.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use sealift::{
    cli,
    shell::{Shell, Stream},
};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match (runtime, surroundings()) {
        (Ok(runtime), Ok(shell)) => ExitCode::from(runtime.block_on(cli::run(std::env::args_os(), &shell))),
        _ => ExitCode::FAILURE,
    }
}

fn surroundings() -> io::Result<Shell> {
    let columns = |stream: &dyn Fn() -> Option<usize>, terminal: bool| terminal.then(|| stream().unwrap_or(100));
    let width =
        || rustix::termios::tcgetwinsize(io::stderr()).ok().map(|size| usize::from(size.ws_col)).filter(|c| *c > 0);
    Ok(Shell {
        // Names and values that are not Unicode are nothing that any part of the program asks for.
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        // Whoever stands in a directory that is gone can still do what needs none.
        directory: std::env::current_dir().unwrap_or_default(),
        stdout: Stream::new(io::stdout()),
        stderr: Stream::new(io::stderr()),
        stdout_terminal: columns(&width, io::stdout().is_terminal()),
        stderr_terminal: columns(&width, io::stderr().is_terminal()),
        stdin_terminal: io::stdin().is_terminal(),
        program: std::env::current_exe()?,
        wrap_log: None,
    })
}
