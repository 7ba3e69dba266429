// completion: what a shell needs to complete the command line, made from the command line's own
// description.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "tools/command.h"

namespace quorate::tools {
namespace {

std::string Flags(const CLI::App& app) {
  std::string flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags += " --" + name;
  }
  for (const CLI::App* group :
       app.get_subcommands([](const CLI::App* a) { return a->get_name().empty(); })) {
    flags += Flags(*group);
  }
  return flags;
}

std::string Function(const CLI::App& root) {
  std::string commands;
  std::string cases;
  for (const CLI::App* command : root.get_subcommands([](const CLI::App*) { return true; })) {
    commands += " " + command->get_name();
    cases += "    " + command->get_name() + ") words=\"" + Flags(*command) + "\" ;;\n";
  }
  return "_quorate() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} word "
         "command= words=\n"
         "  COMPREPLY=()\n"
         "  case $previous in\n"
         "    --read) COMPREPLY=($(compgen -W 'strong eventual bounded: session:' -- "
         "\"$current\")); return ;;\n"
         "    --on-unmet) COMPREPLY=($(compgen -W 'wait refuse serve' -- \"$current\")); return "
         ";;\n"
         "    --workload) COMPREPLY=($(compgen -W 'put get ycsb-a ycsb-b ycsb-c incr append txn' "
         "-- "
         "\"$current\")); return ;;\n"
         "    --format) COMPREPLY=($(compgen -W 'debian lines jsonl' -- \"$current\")); return ;;\n"
         "    --config|import|backup|txn) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
         "    completion) COMPREPLY=($(compgen -W 'bash zsh' -- \"$current\")); return ;;\n"
         "  esac\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \" " +
         commands.substr(1) +
         " \" in *\" $word \"*) command=$word; break ;; esac\n"
         "  done\n"
         "  case $command in\n" +
         cases + "    '') words='" + commands.substr(1) +
         "' ;;\n"
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words" +
         Flags(root) +
         "\" -- \"$current\"))\n"
         "}\n"
         "complete -F _quorate quorate\n";
}

}  // namespace

Command AddCompletion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script for a shell");
  completion->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->configurable(false)
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion->footer(
      "Examples:\n  source <(quorate completion bash)\n  quorate completion zsh >> ~/.zshrc");
  return {.app = completion, .run = [shell, &app](const Settings&, Interrupt&) {
            if (*shell == "zsh") std::cout << "autoload -Uz bashcompinit && bashcompinit\n";
            std::cout << Function(app);
            return kExitOk;
          }};
}

}  // namespace quorate::tools
