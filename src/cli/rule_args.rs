//! `--bypass`, `--inspect` and `--block`: three flags that make one list, in the order typed.

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::policy::{Action, RuleSpec};

const FLAGS: [(&str, Action, &str); 3] = [
    ("bypass", Action::Bypass, "Pass connections to these hosts through untouched; repeatable"),
    ("inspect", Action::Inspect, "Inspect these hosts; repeatable"),
    ("block", Action::Block, "Refuse connections to these hosts; repeatable"),
];

const ORDER: &str = "\
Rules of the three flags --bypass, --inspect and --block count in the order in which they are typed, before those of \
--policy. In the native dialect `okta.com` is that host alone, `*.okta.com` every name below it, `.okta.com` both, \
`*` every host, `10.0.0.0/8` a network; `:PORT` behind it binds the port.";

/// The rules of the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleArgs {
    pub(super) rules: Vec<RuleSpec>,
}

impl FromArgMatches for RuleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut typed = Vec::new();
        for (flag, action, _) in FLAGS {
            let indices = matches.indices_of(flag).into_iter().flatten();
            let patterns = matches.get_many::<String>(flag).into_iter().flatten();
            typed.extend(indices.zip(patterns).map(|(index, pattern)| (index, RuleSpec::new(pattern, action))));
        }
        typed.sort_by_key(|(index, _)| *index);
        Ok(Self { rules: typed.into_iter().map(|(_, rule)| rule).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for RuleArgs {
    fn augment_args(command: Command) -> Command {
        FLAGS.into_iter().fold(command, |command, (flag, action, help)| {
            let argument = Arg::new(flag).long(flag).value_name("PATTERN").action(ArgAction::Append);
            let more = if action == Action::Bypass { ORDER } else { "It counts in the order typed; see --bypass." };
            command.arg(argument.help(help).long_help(format!("{help}\n\n{more}")).help_heading("Policy"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_typed_is_kept_across_the_flags() {
        let line = ["x", "--block", "a", "--bypass=b", "--inspect", "c", "--block", "d", "--bypass", "e"];
        let matches = RuleArgs::augment_args(Command::new("x")).get_matches_from(line);
        let rules = RuleArgs::from_arg_matches(&matches).unwrap().rules;
        let told: Vec<_> = rules.iter().map(|rule| format!("{} {}", rule.action, rule.pattern)).collect();
        assert_eq!(told, ["block a", "bypass b", "inspect c", "block d", "bypass e"]);
    }
}
