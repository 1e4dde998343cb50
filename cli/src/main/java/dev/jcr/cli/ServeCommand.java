package dev.jcr.cli;

import dev.jcr.cli.migrate.Credentials;
import dev.jcr.cli.migrate.Destination;
import dev.jcr.image.CheckpointException;
import dev.jcr.restore.NamespaceChanges;
import java.io.PrintWriter;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `jcr serve`.
@Command(
    name = "serve",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Takes up processes that other hosts send with jcr migrate.",
      "",
      "Only paired hosts are let in, over TLS 1.3. Once on each host: jcr serve --init, then jcr serve"
          + " --trust with what the other one printed."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr serve --init                        make a key, print its fingerprint",
      "  jcr serve --trust 3f0c...               let the host with that fingerprint in",
      "  jcr serve --listen 10.0.0.2:7479        take processes up"
    })
final class ServeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Mixin private CredentialOptions credentials = new CredentialOptions();

  @Option(names = "--init", description = "Make key and certificate, once; print the fingerprint.")
  private boolean init;

  @Option(
      names = "--trust",
      paramLabel = "FINGERPRINT",
      description = "Let the host with this certificate in.")
  private @Nullable String trust;

  @Option(
      names = "--listen",
      paramLabel = "HOST[:PORT]",
      defaultValue = "localhost",
      description = "Where to listen (default: ${DEFAULT-VALUE}, port 7479).")
  private String listen;

  @Option(
      names = "--pid-namespace",
      description =
          "Make a pid namespace for each process that comes, in which it has its pid and tids"
              + " whoever has them on this host (see jcr restore --help).")
  private boolean ownPids;

  @Override
  public Integer call() throws CheckpointException {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    if (init) {
      out.println(Credentials.create(credentials.folder));
    }
    if (trust != null) {
      Credentials.trust(credentials.folder, trust);
    }
    if (init || trust != null) {
      return ExitCode.OK;
    }
    InetSocketAddress address = CredentialOptions.address(listen);
    try (Destination destination =
        new Destination(
            credentials.folder,
            new NamespaceChanges(Map.of(), ownPids),
            line -> {
              err.println("jcr: " + line);
              err.flush();
            })) {
      Credentials loaded = credentials.load();
      destination.recover();
      destination.serve(loaded, new InetSocketAddress(address.getHostString(), address.getPort()));
    }
    return ExitCode.OK;
  }
}
