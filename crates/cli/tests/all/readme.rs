//! The face of the project: what it tells to run can be run.

const README: &str = include_str!("../../../../README.md");

/// The lines of code blocks that call the command, without `cargo run --release --`.
fn commands() -> Vec<&'static str> {
    let lines = README
        .lines()
        .filter_map(|line| line.split_once("cargo run --release -- "));
    lines.map(|(_, arguments)| arguments).collect()
}

#[test]
fn the_two_commands_stand_on_lines_of_their_own() {
    for command in ["cargo run --release -- lab upper", "cargo test --workspace"] {
        assert_eq!(
            README.lines().filter(|line| *line == command).count(),
            1,
            "{command}"
        );
    }
}

#[test]
fn every_command_is_understood() {
    use clap::Parser;
    assert!(commands().len() >= 4);
    for arguments in commands() {
        let words = std::iter::once("sockeye").chain(arguments.split_whitespace());
        if let Err(error) = sockeye_cli::args::Args::try_parse_from(words) {
            panic!("{arguments}: {error}");
        }
    }
}

/// The commands of docs/programs.md: what stands in backquotes and begins with the command's name.
#[test]
fn commands_of_the_tutorials_programs_are_understood() {
    use clap::Parser;
    let page = include_str!("../../../../docs/programs.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let commands: Vec<&str> = quoted
        .filter(|text| text.starts_with("sockeye ") && !text.contains("..."))
        .collect();
    assert!(commands.len() >= 18, "{commands:?}");
    for command in commands {
        let words = command.replace("$(hostname)", "vm").replace("NAME", "all");
        if let Err(error) = sockeye_cli::args::Args::try_parse_from(words.split_whitespace()) {
            panic!("{command}: {error}");
        }
    }
}
