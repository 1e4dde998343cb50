package dev.jcr.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/// `jcr` without a verb: the help.
@Command(
    name = "jcr",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = "Checkpoints a running Linux process to an image, and restores it exactly.",
    synopsisSubcommandLabel = "VERB",
    commandListHeading = "%nVerbs:%n",
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr demo                    see it work on a program of its own",
      "  jcr check 4242              would process 4242 be dumped?",
      "  jcr dump 4242 -D job.jcr    checkpoint it (and end it) into the folder job.jcr",
      "  jcr restore job.jcr         run it on, in the foreground",
      "",
      "Exit codes: 0 ok, 1 failed and the process is unharmed, 2 usage, 3 unsupported resource,",
      "4 image invalid or incompatible, 5 permission, 6 process vanished or changed,",
      "7 failed and the process is not proven healthy, 70 a bug in jcr."
    })
final class JcrCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Override
  public Integer call() {
    spec.commandLine().usage(spec.commandLine().getErr());
    return ExitCode.USAGE;
  }
}
