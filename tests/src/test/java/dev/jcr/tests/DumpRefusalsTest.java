package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What cannot be dumped: one message with object, reason and remedy, the right exit code, the
/// process as it was, and no image nor a piece of one.
@Tag("badinput")
@Timeout(120)
class DumpRefusalsTest {
  private static void expectRefusal(Command.Result result, int exitCode, String message) {
    result.expectExit(exitCode);
    assertThat(result.err()).isEqualTo("jcr: " + message + "\n");
    assertThat(result.out()).isEmpty();
  }

  /// Nothing in the folder but what the target itself put there.
  private static void expectNoImage(Path folder) throws IOException {
    try (Stream<Path> entries = Files.list(folder)) {
      assertThat(entries.map(entry -> String.valueOf(entry.getFileName())))
          .noneMatch(name -> name.contains("image"));
    }
  }

  @Test
  void noSuchProcess() throws Exception {
    Path folder = Target.newFolder();
    // Above the highest pid there can be.
    expectRefusal(
        Jcr.dump(4194305, folder.resolve("image")),
        6,
        "cannot dump process 4194305: ESRCH (no such process)");
    expectNoImage(folder);
    Target.delete(folder);
  }

  @Test
  void kernelThread() throws Exception {
    Assumptions.assumeTrue(
        new Proc(2).read("comm").strip().equals("kthreadd"), "kernel threads are not visible here");
    Path folder = Target.newFolder();
    expectRefusal(
        Jcr.dump(2, folder.resolve("image")),
        3,
        "cannot dump process 2 (kthreadd): it is a kernel thread");
    expectNoImage(folder);
    Target.delete(folder);
  }

  @Test
  void zombie() throws Exception {
    try (Target parent = Target.start("family", "zombie")) {
      long pid = Long.parseLong(parent.read("other").strip());
      expectRefusal(
          Jcr.dump(pid, parent.image("zombie")),
          6,
          "cannot dump process %d (zombie): it is a zombie; its parent %d has not waited for it"
              .formatted(pid, parent.pid()));
      expectNoImage(parent.folder());
      parent.expectPass();
    }
  }

  @Test
  void jcrItself() throws Exception {
    Path folder = Target.newFolder();
    List<String> words =
        new ArrayList<>(
            List.of("sh", "-c", "echo $$ >\"$0/pid\" && exec \"$@\" $$ -D \"$0/image\""));
    words.add(folder.toString());
    words.addAll(Jcr.command("dump").words());
    Command.Result result = Command.of(words).run();
    String pid = Files.readString(folder.resolve("pid")).strip();
    expectRefusal(result, 2, "cannot dump process " + pid + ": it is jcr itself");
    expectNoImage(folder);
    Target.delete(folder);
  }

  @Test
  void tracedByAnother() throws Exception {
    try (Target tracer = Target.start("family", "traced")) {
      long pid = Long.parseLong(tracer.read("other").strip());
      expectRefusal(
          Jcr.dump(pid, tracer.image("traced")),
          1,
          "cannot dump process %d (traced): it is traced by process %d (family); detach that first"
              .formatted(pid, tracer.pid()));
      expectNoImage(tracer.folder());
      tracer.expectPass();
    }
  }

  @Test
  void processWithChildren() throws Exception {
    try (Target parent = Target.start("family", "child")) {
      String child = parent.read("other").strip();
      String problem =
          "child %s (child): process trees are not supported; wait for it to end, or dump it by itself"
              .formatted(child);
      expectRefusal(
          Jcr.dump(parent.pid(), parent.image("child")),
          3,
          "cannot dump process %d: %s".formatted(parent.pid(), problem));
      expectNoImage(parent.folder());
      parent.expectPass();
    }
  }

  @Test
  void process32Bit() throws Exception {
    Path folder = Target.newFolder();
    String program = Programs.compiled("tiny32", "-m32", "-nostdlib", "-static").toString();
    Command.Result tried = Command.of("timeout", "-s", "KILL", "0.2", program).run();
    Assumptions.assumeTrue(
        tried.exitCode() == 137,
        "this kernel does not run 32-bit programs: " + tried.err().strip());
    try (Target target = Target.launch(folder, "tiny32", Map.of(), List.of(program))) {
      while (!target.proc().read("comm").strip().equals("tiny32")) {
        Target.nap(2);
      }
      String problem =
          "process %d: it is a 32-bit process; only 64-bit processes can be dumped"
              .formatted(target.pid());
      expectRefusal(
          Jcr.dump(target.pid(), target.image("32")),
          3,
          "cannot dump process %d: %s".formatted(target.pid(), problem));
      expectNoImage(folder);
      target.expectRunning();
    }
  }

  @Test
  void noPermission() throws Exception {
    try (Target target = Target.start("counter")) {
      Command.of("chmod", "777", target.folder().toString()).run().expectExit(0);
      expectRefusal(
          Unprivileged.run(
              "dump", Long.toString(target.pid()), "-D", target.image("denied").toString()),
          5,
          "cannot dump process %1$d: cannot read the link /proc/%1$d/ns/user: EACCES (permission denied); needs CAP_SYS_PTRACE, or the same uid as the process"
              .formatted(target.pid()));
      expectNoImage(target.folder());
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void imageFolderNotEmpty() throws Exception {
    try (Target target = Target.start("counter")) {
      Path image = target.image("full");
      Files.createDirectory(image);
      Files.writeString(image.resolve("mine"), "keep");
      expectRefusal(
          Jcr.dump(target.pid(), image),
          1,
          "cannot write image "
              + image
              + ": ENOTEMPTY (directory not empty); remove it or choose another folder with -D");
      assertThat(Files.readString(image.resolve("mine"))).isEqualTo("keep");
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void imageFolderMissingParent() throws Exception {
    try (Target target = Target.start("counter")) {
      Path image = target.folder().resolve("no/such/image");
      expectRefusal(
          Jcr.dump(target.pid(), image),
          1,
          "cannot create "
              + image
              + ": ENOENT (no such file or directory); create the folder above it first or choose"
              + " another folder with -D");
      expectNoImage(target.folder());
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void imageFolderNotWritable() throws Exception {
    // Root may write everywhere, but not into a read-only file system.
    try (Target target = Target.start("counter")) {
      Path disk = target.folder().resolve("disk");
      Files.createDirectory(disk);
      Command.Result mounted =
          Command.of("mount", "-t", "tmpfs", "-o", "ro", "jcr-test", disk.toString()).run();
      Assumptions.assumeTrue(
          mounted.exitCode() == 0, "cannot mount a tmpfs: " + mounted.err().strip());
      try {
        Command.Result result = Jcr.dump(target.pid(), disk.resolve("image")).expectExit(1);
        assertThat(result.err())
            .matches(
                "jcr: cannot create "
                    + disk
                    + "/\\.image\\.\\d+\\.tmp: EROFS \\(read-only file system\\); choose another folder"
                    + " with -D\n");
      } finally {
        Command.of("umount", disk.toString()).run();
      }
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void imageFolderOfAnother() throws Exception {
    try (Target target = Target.start("counter")) {
      Command.Result result =
          Unprivileged.run(
              "dump", Long.toString(target.pid()), "-D", target.image("denied").toString());
      result.expectExit(5);
      expectNoImage(target.folder());
      target.expectPass();
    }
  }

  @Test
  void twoFatesAtOnce() throws Exception {
    try (Target target = Target.start("counter")) {
      expectRefusal(
          Jcr.dump(target.pid(), target.image("both"), "-R", "-s"),
          2,
          "cannot read the command line: -R and -s exclude each other; see jcr dump --help");
      expectNoImage(target.folder());
      target.expectPass();
    }
  }

  @Test
  void notANumber() {
    Command.Result result = Jcr.run("dump", "abc");
    expectRefusal(
        result,
        2,
        "cannot read the command line: invalid value for positional parameter at index 0 (PID):"
            + " 'abc' is not an int; see jcr dump --help");
  }
}
