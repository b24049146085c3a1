//! `cupola completions SHELL`.

use super::Syntax;
use crate::exit;
use crate::failure::Failure;
use crate::show;
use clap::Args;
use clap_complete::Shell;

pub(crate) const HELP: &str = "\
Examples:
  cupola completions bash > ~/.local/share/bash-completion/completions/cupola
  cupola completions zsh > ~/.zfunc/_cupola
  cupola completions fish > ~/.config/fish/completions/cupola.fish";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(flags: &Flags, syntax: Syntax) -> Result<u8, Failure> {
    // Generated into memory first: the generator panics when its writer fails, and a reader may go away.
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut (syntax.definition)(), "cupola", &mut script);
    show::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn each_shell_gets_a_script_that_knows_the_flags() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut (crate::arguments::SYNTAX.definition)(), "cupola", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("user-isolation-key"), "{shell} does not know --user-isolation-key");
        }
    }
}
