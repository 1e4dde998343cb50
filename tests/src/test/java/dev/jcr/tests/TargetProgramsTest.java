package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every self-checking target: undisturbed, dumped with `-R`, dumped and restored, and that three
/// times in a row. Each time what /proc shows must be the same before and after.
@Timeout(180)
class TargetProgramsTest {
  private static final String LARGE_FILE =
      Arm64.IS_HOST ? "flags:\t02 -> flags:\t0400002" : "flags:\t02 -> flags:\t0100002";

  /// A target program, its arguments, the signal that tells it to check (empty: the file), a part
  /// of /proc that changes by itself (empty: none), what `jcr dump` needs to be told, and whether
  /// it holds something that jcr does not restore yet.
  record Case(
      String program,
      List<String> arguments,
      String signal,
      String varying,
      List<String> options,
      boolean pending) {
    static Case of(String program, String... arguments) {
      return new Case(program, List.of(arguments), "", "", List.of(), false);
    }

    /// Not in the arm64 machine, where a file tells every target: Linux 6.12 may lose FPMR when a
    /// signal handler returns.
    Case toldBy(String newSignal) {
      return Arm64.IS_HOST
          ? this
          : new Case(program, arguments, newSignal, varying, options, pending);
    }

    Case varying(String entry) {
      return new Case(program, arguments, signal, entry, options, pending);
    }

    Case dumpedWith(String... words) {
      return new Case(program, arguments, signal, varying, List.of(words), pending);
    }

    Case later() {
      return new Case(program, arguments, signal, varying, options, true);
    }

    Command.Result dump(Target target, Path image, String... more) {
      List<String> words = new ArrayList<>(options);
      words.addAll(List.of(more));
      return Jcr.dump(target.pid(), image, words.toArray(String[]::new));
    }

    /// Not left out by the system property `jcr.cases`, a regular expression.
    boolean isWanted() {
      return Pattern.matches(System.getProperty("jcr.cases", ".*"), toString());
    }

    Target start() {
      return Target.start(program, arguments.toArray(String[]::new));
    }

    void expectPass(Target target) {
      if (signal.isEmpty()) {
        target.expectPass();
      } else {
        target.expectPassAfterSignal(signal);
      }
    }

    @Override
    public String toString() {
      return program + (arguments.isEmpty() ? "" : " " + String.join(" ", arguments));
    }
  }

  private static final Path HUGE_PAGES = Path.of("/proc/sys/vm/nr_hugepages");
  private static String hugePages = "";

  /// Huge TLB pages for those who want some, where there are none; they may be too few.
  @BeforeAll
  static void reserve() throws IOException {
    if (Files.isWritable(HUGE_PAGES) && !Arm64.IS_HOST) {
      hugePages = Files.readString(HUGE_PAGES).strip();
      Files.writeString(HUGE_PAGES, Integer.toString(Integer.parseInt(hugePages) + 16));
    }
  }

  @AfterAll
  static void giveBack() throws IOException {
    if (!hugePages.isEmpty()) {
      Files.writeString(HUGE_PAGES, hugePages);
    }
  }

  static Stream<Case> cases() {
    return Stream.of(
        Case.of("counter"),
        Case.of("torture_regs", "spin").toldBy("USR1"),
        Case.of("torture_regs", "nanosleep").toldBy("USR1"),
        Case.of("torture_regs", "futex").toldBy("USR1"),
        Case.of("torture_regs", "poll").toldBy("USR1"),
        Case.of("threads"),
        Case.of("leaderless"),
        Case.of("leaderless", "status"),
        Case.of("signals"),
        Case.of("in_handler"),
        // Signals of its timers wait for a moment.
        Case.of("timers").varying("Pnd"),
        Case.of("clocks"),
        // The memory accounting of mappings that were writable once.
        Case.of("memory").varying(" ac -> VmFlags:"),
        Case.of("identity", "root"),
        Case.of("identity", "user"),
        Case.of("rseq"),
        Case.of("files"),
        Case.of("locks"),
        Case.of("pipes", "pipe"),
        Case.of("pipes", "fifo"),
        Case.of("pipes", "eventfd"),
        Case.of("pipes", "timerfd"),
        Case.of("pipes", "signalfd"),
        Case.of("pipes", "epoll"),
        Case.of("pipes", "memfd"),
        Case.of("sockets", "pairs"),
        Case.of("sockets", "tcp"),
        Case.of("sockets", "udp"),
        Case.of("unixes", "path"),
        Case.of("unixes", "abstract"),
        Case.of("unixes", "unlinked"),
        Case.of("unixes", "seqpacket"),
        Case.of("unixes", "boundclient"),
        Case.of("unixes", "backlog"),
        Case.of("unixes", "clientgone"),
        Case.of("unixes", "servergone"),
        Case.of("unixes", "nolistener"),
        Case.of("external", "datagram"),
        Case.of("external", "gone"),
        Case.of("external", "stream").dumpedWith("--ext-unix-sk"),
        Case.of("external", "seqpacket").dumpedWith("--ext-unix-sk"),
        Case.of("external", "abstract").dumpedWith("--ext-unix-sk"),
        Case.of("external", "unread").dumpedWith("--ext-unix-sk"),
        // The other process may have come back and not be accepted.
        Case.of("external", "server").dumpedWith("--ext-unix-sk", "--skip-in-flight"),
        Case.of("external", "waiting").dumpedWith("--ext-unix-sk"),
        Case.of("inflight").dumpedWith("--skip-in-flight"),
        Case.of("passing", "stream"),
        Case.of("passing", "datagram"),
        Case.of("passing", "seqpacket"),
        Case.of("passing", "nested"),
        Case.of("passing", "itself"),
        Case.of("passing", "pipe"),
        Case.of("passing", "closed"),
        Case.of("passing", "many"),
        Case.of("passing", "large"),
        Case.of("passing", "credentials"),
        Case.of("odd", "trapblocked"),
        Case.of("odd", "trapignored"),
        Case.of("odd", "traphandled"),
        Case.of("odd", "stoppending"),
        Case.of("odd", "vdso"),
        Case.of("vdso"),
        Case.of("odd", "zombies"),
        Case.of("odd", "zombieleft"),
        Case.of("odd", "strict"),
        Case.of("odd", "chroot"),
        Case.of("odd", "breakpoint"),
        Case.of("odd", "dispatch"),
        Case.of("namespaces", "joined"),
        Case.of("pids"),
        Case.of("seccomp", "filter"),
        Case.of("seccomp", "threads"),
        Case.of("seccomp", "log"),
        Case.of("seccomp", "privileged"),
        Case.of("ranges", "guard"),
        Case.of("ranges", "guardfile"),
        Case.of("ranges", "lockfuture"),
        Case.of("ranges", "lockonfault"),
        Case.of("ranges", "sealed"),
        Case.of("huge", "private"),
        Case.of("huge", "shared"),
        Case.of("huge", "memfd"),
        Case.of("huge", "policies"),
        Case.of("ranges", "sysv"),
        Case.of("ranges", "sysvgone"),
        Case.of("ranges", "sysvreadonly"),
        Case.of("objects", "inotify"),
        Case.of("objects", "inotifyfile"),
        Case.of("objects", "overflow").dumpedWith("--inotify-overflow"),
        Case.of("objects", "fanotify"),
        Case.of("objects", "secret"),
        Case.of("objects", "secretclosed"),
        Case.of("objects", "pidfd"),
        Case.of("objects", "pidfdother"),
        Case.of("objects", "mq"),
        Case.of("objects", "lease"),
        Case.of("objects", "udpqueue"),
        Case.of("objects", "udpqueue6"),
        Case.of("objects", "udpany"),
        Case.of("objects", "filter"),
        Case.of("objects", "raw"),
        Case.of("objects", "ping"),
        Case.of("objects", "netlink"),
        Case.of("objects", "netlinkgroup"),
        Case.of("objects", "multicast"),
        Case.of("objects", "multicast6"),
        Case.of("packets", "raw"),
        Case.of("packets", "datagram"),
        Case.of("packets", "unbound"),
        Case.of("packets", "silent"),
        Case.of("packets", "all"),
        Case.of("packets", "fanout"),
        Case.of("packets", "queued").dumpedWith("--skip-in-flight"),
        Case.of("tcp", "queues4").dumpedWith("--tcp-established"),
        Case.of("tcp", "queues6").dumpedWith("--tcp-established"),
        Case.of("tcp", "queuesmapped").dumpedWith("--tcp-established"),
        Case.of("tcp", "empty").dumpedWith("--tcp-established"),
        Case.of("tcp", "half").dumpedWith("--tcp-established"),
        Case.of("tcp", "closing").dumpedWith("--tcp-established"),
        Case.of("tcp", "options").dumpedWith("--tcp-established"),
        Case.of("tcp", "many").dumpedWith("--tcp-established"),
        Case.of("tcp", "connecting").dumpedWith("--tcp-established"),
        Case.of("tcp", "peer4").dumpedWith("--tcp-established"),
        Case.of("tcp", "peer6").dumpedWith("--tcp-established"),
        Case.of("tcp", "peermapped").dumpedWith("--tcp-established"),
        // O_LARGEFILE, which says nothing on a 64-bit system.
        Case.of("pty", "quiet").varying(LARGE_FILE),
        Case.of("pty", "many").varying(LARGE_FILE),
        Case.of("pty", "queued").varying(LARGE_FILE));
  }

  /// The cases of `zoo.c`, as the program lists them, each with what changes by itself.
  static Stream<Case> zoo() {
    return Command.of(Programs.compiled("zoo").toString(), ".", "list")
        .run()
        .expectExit(0)
        .out()
        .lines()
        .map(name -> Case.of("zoo", name))
        .map(program ->
            switch (program.arguments.getFirst()) {
              // The memory accounting of mappings that were writable once.
              case "mem_none", "mem_readonly", "mem_exec", "mem_many" ->
                  program.varying(" ac -> VmFlags:");
              // Its name is the number of its inode.
              case "file_tmpfile" -> program.varying("/#");
              default -> program;
            });
  }

  static Stream<Case> all() {
    return Stream.concat(cases(), zoo());
  }

  static Stream<Case> wanted() {
    return all().filter(Case::isWanted);
  }

  static Stream<Case> restorable() {
    return wanted().filter(program -> !program.pending);
  }

  @Tag("process")
  @ParameterizedTest
  @MethodSource("wanted")
  void plain(Case program) {
    try (Target target = program.start()) {
      target.expectRunning();
      program.expectPass(target);
    }
  }

  @Tag("process")
  @ParameterizedTest
  @MethodSource("restorable")
  void leaveRunning(Case program) {
    try (Target target = program.start()) {
      VisibleState before = VisibleState.of(target.proc());
      program.dump(target, target.image("r"), "-R").expectExit(0);
      target.expectRunning();
      expectSame(before, target, program);
      program.expectPass(target);
    }
  }

  /// What [#threeTimesInARow] begins with; alone where machines are slow.
  @Tag("once")
  @ParameterizedTest
  @MethodSource("restorable")
  void dumpAndRestore(Case program) {
    try (Target target = program.start()) {
      cycle(program, target, "1");
      program.expectPass(target);
    }
  }

  @Tag("process")
  @ParameterizedTest
  @MethodSource("restorable")
  void threeTimesInARow(Case program) {
    try (Target target = program.start()) {
      for (String which : List.of("1", "2", "3")) {
        cycle(program, target, which);
      }
      program.expectPass(target);
    }
  }

  private static void cycle(Case program, Target target, String which) {
    VisibleState before = VisibleState.of(target.proc());
    Path image = target.image(which);
    program.dump(target, image).expectExit(0);
    target.awaitGone();
    Jcr.restore(image).expectExit(0);
    target.expectRunning();
    expectSame(before, target, program);
  }

  private static void expectSame(VisibleState before, Target target, Case program) {
    List<String> differences = before.differences(VisibleState.of(target.proc()));
    assertThat(differences)
        .filteredOn(line -> program.varying.isEmpty() || !line.contains(program.varying))
        .isEmpty();
  }
}
