//! The texts of `--help` and `--version`, and the reference in docs/cli.md.

/// Returns what `--version` prints. A commit would change the binary with each commit of another file, and the binaries
/// in dist/ are built before they are committed, so the version names the hash of the sources in dist/BUILT-FROM.
pub(super) fn long_version() -> String {
    let system = match std::env::consts::OS {
        "macos" => "apple-darwin",
        _ if cfg!(target_env = "musl") => "unknown-linux-musl",
        _ => "unknown-linux-gnu",
    };
    format!(
        "{}\nsources: {}\ntarget: {}-{system}\ndefault BuildKit image: {}\nbuildx: 0.15 or newer",
        env!("CARGO_PKG_VERSION"),
        option_env!("REMOTE_BUILDKIT_SOURCES").unwrap_or("not recorded (built without `cargo xtask dist`)"),
        std::env::consts::ARCH,
        crate::agent::DEFAULT_IMAGE,
    )
}

/// Returns the reference of all commands, in Markdown, for docs/cli.md.
#[cfg(test)]
pub fn reference() -> String {
    let mut command = super::command().term_width(100);
    command.build();
    let mut text = String::new();
    for subcommand in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        let help = subcommand.render_long_help().to_string();
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        text += &format!(
            "## {}\n\n```text\n{}\n```\n\n",
            subcommand.get_name(),
            help.join("\n")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::{Cli, command};

    #[test]
    fn help_names_the_default_image() {
        let cli = Cli::command();
        let connect = cli.find_subcommand("connect").expect("connect");
        let image = connect
            .get_arguments()
            .find(|arg| arg.get_long() == Some("image"));
        let help = image.and_then(|arg| arg.get_help()).expect("help").to_string();
        assert!(help.contains(crate::agent::DEFAULT_IMAGE), "{help}");
    }

    #[test]
    fn help_of_each_command() {
        let mut command = command().term_width(100);
        command.build();
        let mut text = command.render_help().to_string();
        for subcommand in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
            let help = subcommand.render_help();
            text += &format!("\n=== {}\n{help}", subcommand.get_name());
        }
        let text: Vec<&str> = text.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn help_and_usage_errors_are_colored() {
        let help = command().render_help().ansi().to_string();
        assert!(help.contains("\u{1b}[1m\u{1b}[32mUsage:\u{1b}[0m "), "{help:?}");
        assert!(help.contains("\u{1b}[1m\u{1b}[36m--verbose\u{1b}[0m"), "{help:?}");
        let line = ["remote-buildkit", "connct"];
        let error = command().try_get_matches_from(line).expect_err("a usage error");
        let error = error.render().ansi().to_string();
        assert!(
            error.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "),
            "{error:?}"
        );
    }

    #[test]
    fn usage_errors() {
        let lines: [&[&str]; 5] = [
            &["connct"],
            &["connect", "--clutser=shop"],
            &["doctor", "-o", "xml"],
            &["runner", "--remove", "--install-only"],
            &["man"],
        ];
        let errors = lines.map(|line| {
            let line_with_program = [&["remote-buildkit"], line].concat();
            let error = Cli::try_parse_from(line_with_program).expect_err("a usage error");
            assert_eq!(error.exit_code(), 2);
            format!("$ remote-buildkit {}\n{}", line.join(" "), error.render())
        });
        insta::assert_snapshot!(errors.join("\n"));
    }
}
