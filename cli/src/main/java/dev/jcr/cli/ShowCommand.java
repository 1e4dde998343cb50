package dev.jcr.cli;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.inspect.Describe;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.Part;
import dev.jcr.image.v1.ProcessState;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr show DIR [PART]`.
@Command(
    name = "show",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Shows what is in an image: a summary, or one part in full.",
      "",
      "Needs no privilege and no matching host."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr show job.jcr                  a summary",
      "  jcr show job.jcr threads          the threads, with their registers",
      "  jcr show job.jcr state --json     the whole process but for its pages"
    })
final class ShowCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "DIR", index = "0", description = "Image folder.")
  private Path directory;

  @Parameters(
      paramLabel = "PART",
      index = "1",
      arity = "0..1",
      completionCandidates = Parts.class,
      description = "${COMPLETION-CANDIDATES} (default: a summary).")
  private @Nullable String part;

  @Option(
      names = "--json",
      description = "Print JSON, on one line; without PART the manifest and the state.")
  private boolean json;

  /// The manifest, the index of the pages, the whole state, and each field of the state.
  static final class Parts implements Iterable<String> {
    @Override
    public Iterator<String> iterator() {
      List<String> names = new ArrayList<>(List.of("manifest", "pagemap", "state"));
      ProcessState.getDescriptor().getFields().forEach(field -> names.add(field.getName()));
      return names.iterator();
    }
  }

  @Override
  public Integer call() throws CheckpointException {
    PrintWriter out = spec.commandLine().getOut();
    try (ImageReader image = ImageReader.open(directory)) {
      Arch arch = image.manifest().getArch();
      if (part != null) {
        Message message = message(image, part);
        if (json) {
          out.println(Describe.json(message, arch));
        } else {
          out.print(Describe.text(message, arch));
        }
      } else if (json) {
        out.println(
            "{\"manifest\":%s,\"state\":%s}"
                .formatted(
                    Describe.json(image.manifest(), arch), Describe.json(image.state(), arch)));
      } else {
        summary(out, image);
      }
    }
    return ExitCode.OK;
  }

  private static Message message(ImageReader image, String part) throws CheckpointException {
    return switch (part) {
      case "manifest" -> image.manifest();
      case "pagemap" -> image.pagemap();
      case "state" -> image.state();
      default -> partOf(image.state(), part);
    };
  }

  /// One field of the state; a list alone in an otherwise empty state.
  private static Message partOf(ProcessState state, String part) throws CheckpointException {
    FieldDescriptor field = ProcessState.getDescriptor().findFieldByName(part);
    if (field == null) {
      throw new CheckpointException(
          Outcome.USAGE,
          "cannot show part %s: there is no such part; the parts are %s"
              .formatted(part, String.join(", ", new Parts())));
    }
    if (field.isRepeated()) {
      return ProcessState.newBuilder().setField(field, state.getField(field)).build();
    }
    return (Message) state.getField(field);
  }

  private static void summary(PrintWriter out, ImageReader image) {
    Manifest manifest = image.manifest();
    ProcessState state = image.state();
    out.println(
        "process      %d (%s), %s, parent %d, session %d"
            .formatted(
                manifest.getPid(),
                manifest.getComm(),
                manifest.getArch() == Arch.ARCH_AARCH64 ? "aarch64" : "x86_64",
                state.getIdentity().getParentPid(),
                state.getIdentity().getSession()));
    out.println(
        "executable   "
            + state.getIdentity().getExecutable().getPath()
            + " in "
            + state.getIdentity().getWorkingDirectory());
    out.println(
        "dumped       %s on %s (Linux %s) by jcr %s, frozen for %s"
            .formatted(
                Instant.EPOCH
                    .plusNanos(manifest.getCreation().getTime())
                    .truncatedTo(ChronoUnit.SECONDS),
                manifest.getCreation().getHostName(),
                state.getHost().getKernelRelease(),
                manifest.getCreation().getJcrVersion(),
                Units.microseconds(manifest.getCreation().getStatistics().getFrozenTime())));
    out.println(
        "threads      "
            + String.join(
                ", ",
                state.getThreadsList().stream()
                    .map(t ->
                        "%d (%s)%s"
                            .formatted(
                                t.getTid(),
                                t.getComm().toStringUtf8(),
                                t.hasEnded() ? " ended" : ""))
                    .toList()));
    long mapped =
        state.getMemory().getVmasList().stream().mapToLong(v -> v.getEnd() - v.getStart()).sum();
    out.println(
        "memory       %s in %s, %d pages stored%s"
            .formatted(
                Units.bytes(mapped),
                Units.count(state.getMemory().getVmasCount(), "mapping"),
                image.pagemap().getSpacesList().stream()
                    .flatMap(space -> space.getRunsList().stream())
                    .filter(run -> run.getKind() == PageKind.PAGE_STORED)
                    .mapToLong(PageRun::getPages)
                    .sum(),
                image.pages().depth() == 1
                    ? ""
                    : " in a chain of %s from %s on"
                        .formatted(
                            Units.count(image.pages().depth(), "image"),
                            manifest.getParent().getPath())));
    out.println(
        "descriptors  "
            + (state.getFiles().getDescriptorsCount() == 0
                ? "none"
                : String.join(
                    ", ",
                    state.getFiles().getDescriptorsList().stream()
                        .map(d -> "" + d.getFd())
                        .toList())));
    out.println(
        "image        format %d.%d, %s: %s"
            .formatted(
                manifest.getFormatMajor(),
                manifest.getFormatMinor(),
                Units.bytes(manifest.getPartsList().stream().mapToLong(Part::getSize).sum()),
                String.join(
                    ", ",
                    manifest.getPartsList().stream()
                        .map(p -> p.getName() + " " + Units.bytes(p.getSize()))
                        .toList())));
    state
        .getLossesList()
        .forEach(loss ->
            out.println(
                "lost         %s %s: %s"
                    .formatted(loss.getKind(), loss.getObject(), loss.getReason())));
  }
}
