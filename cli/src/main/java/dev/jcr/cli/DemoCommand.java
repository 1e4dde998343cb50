package dev.jcr.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/// `jcr demo`.
@Command(
    name = "demo",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = "Shows the main job on a program of its own: dump, gone, restored, going on.")
final class DemoCommand implements Callable<Integer> {
  @Override
  public Integer call() {
    return ExitCode.FAILED;
  }
}
