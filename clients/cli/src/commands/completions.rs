//! `cupola completions SHELL`: clap's script, which knows commands and flags. In bash, zsh and fish it also asks `cupola complete` for
//! agents, sessions, runs, partitions and profiles.

use super::Syntax;
use crate::exit;
use crate::failure::Failure;
use crate::show;
use clap::Args;
use clap_complete::Shell;

pub(crate) const HELP: &str = "\
In bash, zsh and fish, the script completes agents, sessions, runs, partitions and profiles as well. Bash reads the file below \
only if the package bash-completion is installed; otherwise add `source <(cupola completions bash)` to ~/.bashrc.

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
    show::print(&script(flags.shell, syntax))?;
    Ok(exit::OK)
}

fn script(shell: Shell, syntax: Syntax) -> String {
    // Generated into memory first: the generator panics when its writer fails, and a reader may go away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut (syntax.definition)(), "cupola", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // What clap completes with is the name of a function, which is called first.
        Shell::Bash => script.replace("complete -F _cupola ", "complete -F _cupola_with_values ") + BASH,
        // Where clap has nothing, it takes the function that completes files.
        Shell::Zsh => with_values_in_zsh(&script),
        Shell::Fish => script + FISH,
        _ => script,
    }
}

/// `$1` is the command as it was typed. Words of bash end at `=` and `:`; the line does not.
const BASH: &str = r#"
_cupola_with_values() {
    _cupola "$@"
    local value values
    values=$("$1" complete "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if [[ -n "$values" ]]; then
        COMPREPLY=()
        while IFS= read -r value; do
            # Bash puts back what stands before the last `=` or `:` of the word.
            [[ "$value" == --*=* ]] && value="${value#*=}"
            COMPREPLY+=("$value")
        done <<< "$values"
    fi
}
"#;

const ZSH: &str = r#"
_cupola_values() {
    local -a values
    values=("${(@f)$("${(Q)words[1]}" complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    values=(${values:#})
    values=("${(@)values#--*=}")
    if (( $#values )); then
        compadd -a values
    else
        _default
    fi
}
"#;

const FISH: &str = r#"
function __fish_cupola_values
    cupola complete (commandline -cp) 2>/dev/null
end
complete -c cupola -f -n "__fish_seen_subcommand_from show attach cancel use stop delete forget invoke chat doctor" -a "(__fish_cupola_values)"
complete -c cupola -r -f -s n -l agent-name -a "(__fish_cupola_values)"
complete -c cupola -r -f -s s -l session-id -a "(__fish_cupola_values)"
complete -c cupola -r -f -l profile -a "(__fish_cupola_values)"
"#;

/// zsh reads the whole file and then calls its function, so ours comes before that.
fn with_values_in_zsh(script: &str) -> String {
    let script = script.replace(":_default'", ":_cupola_values'");
    let last = "\nif [ \"$funcstack[1]\"";
    script.replace(last, &format!("{ZSH}{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn each_shell_gets_a_script_that_knows_the_flags() {
        for shell in Shell::value_variants() {
            let script = script(*shell, crate::arguments::SYNTAX);
            assert!(script.contains("user-isolation-key"), "{shell} does not know --user-isolation-key");
        }
    }

    #[test]
    fn bash_zsh_and_fish_ask_for_values() {
        for (shell, parts) in [
            (Shell::Bash, &["complete -F _cupola_with_values -o nosort", "\" complete \"${COMP_LINE"][..]),
            (Shell::Zsh, &[":run -- The run:_cupola_values'", "_cupola_values() {"]),
            (Shell::Fish, &["cupola complete (commandline -cp)"]),
        ] {
            let script = script(shell, crate::arguments::SYNTAX);
            for part in parts {
                assert!(script.contains(part), "{shell}: {part}");
            }
        }
    }
}
