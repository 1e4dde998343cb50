package dev.jcr.cli;

import dev.jcr.cli.migrate.Credentials;
import dev.jcr.image.CheckpointException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// Where this host's key and the certificates it trusts are.
final class CredentialOptions {
  @Option(
      names = "--dir",
      paramLabel = "DIR",
      defaultValue = "/var/lib/jcr",
      description = "Keys, journals and arriving images (default: ${DEFAULT-VALUE}).")
  Path folder;

  @Option(
      names = "--key",
      paramLabel = "FILE",
      description = "Private key, PEM of PKCS 8 (default: DIR/key.pem).")
  private @Nullable Path key;

  @Option(
      names = "--cert",
      paramLabel = "FILE",
      description = "Its certificate, PEM (default: DIR/cert.pem).")
  private @Nullable Path certificate;

  @Option(
      names = "--trusted",
      paramLabel = "FILE",
      description =
          "Certificates that are let in: PEM, or SHA-256 fingerprints (default: DIR/trusted).")
  private @Nullable Path trusted;

  Credentials load() throws CheckpointException {
    return Credentials.load(
        key == null ? folder.resolve("key.pem") : key,
        certificate == null ? folder.resolve("cert.pem") : certificate,
        trusted == null ? folder.resolve("trusted") : trusted);
  }

  /// HOST, HOST:PORT or [ADDRESS]:PORT.
  static java.net.InetSocketAddress address(String text) throws CheckpointException {
    int colon = text.lastIndexOf(':');
    boolean port =
        colon > 0
            && text.substring(colon + 1).matches("[0-9]{1,5}")
            && (text.indexOf(':') == colon || text.charAt(colon - 1) == ']');
    String host = port ? text.substring(0, colon) : text;
    int number = port ? Integer.parseInt(text.substring(colon + 1)) : DEFAULT_PORT;
    if (number > 65535 || host.isEmpty()) {
      throw new CheckpointException(
          CheckpointException.Outcome.USAGE,
          "cannot read the command line: " + text + " is not HOST or HOST:PORT");
    }
    return java.net.InetSocketAddress.createUnresolved(
        host.startsWith("[") && host.endsWith("]") ? host.substring(1, host.length() - 1) : host,
        number);
  }

  static final int DEFAULT_PORT = 7479;
}
