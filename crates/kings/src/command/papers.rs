//! `kings papers`: manual pages and completions, written from the command line that they are about. Packages are made with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Every key of the config, each with what it does.
const EXAMPLE: &str = include_str!("../../../../config/kings.toml");

#[derive(Args)]
pub(crate) struct Options {
    /// The folder to write to.
    folder: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let folder = &options.folder;
    write(folder)
        .map_err(|error| Failure::cannot_tell(format!("cannot write to {}: {error}", folder.display())))
}

fn write(folder: &Path) -> io::Result<()> {
    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(Cli::command(), &man)?;
    fs::write(man.join("kings.toml.5"), config_page(EXAMPLE))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "kings", folder)?;
    }
    Ok(())
}

/// kings.toml(5): the commented example as it is.
fn config_page(example: &str) -> String {
    let lines = example.lines().map(|line| format!("{}\n", as_is(line))).collect::<String>();
    format!(
        ".TH KINGS.TOML 5 \"\" \"Kings\" \"Kings\"\n.SH NAME\nkings.toml \\- the config of Kings\n.SH DESCRIPTION\n\
         One text file, /etc/kings\\-smtp/kings.toml, in TOML. A key that is not known is an error;\n\
         .B kings config check\ntells all of them at once.\n.SH EXAMPLE\n.nf\n{lines}.fi\n.SH SEE ALSO\n.BR kings (1)\n"
    )
}

/// A line that roff shows as it stands.
fn as_is(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_command_has_a_page_and_hidden_ones_have_none() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join("man").join(name));
        assert!(page("kings-queue-list.1").unwrap().contains("kings queue list"));
        assert!(page("kings.1").unwrap().contains("A complete mail system in one binary"));
        assert!(page("kings-papers.1").is_err());
        assert!(!page("kings.1").unwrap().contains("papers"));
        assert!(page("kings.toml.5").unwrap().contains("mail_dir = \"/var/mail/vmail\""));
        for (file, word) in
            [("kings.bash", "complete -F"), ("_kings", "#compdef kings"), ("kings.fish", "complete -c kings")]
        {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains(word), "{file}");
        }
    }

    #[test]
    fn no_line_of_the_example_is_taken_for_a_command_of_roff() {
        for (line, expected) in
            [("a = 1", "a = 1"), (".x", "\\&.x"), ("'x", "\\(aqx"), ("\"\\d-\"", "\"\\ed\\-\""), ("", "")]
        {
            assert_eq!(as_is(line), expected, "{line}");
        }
    }
}
