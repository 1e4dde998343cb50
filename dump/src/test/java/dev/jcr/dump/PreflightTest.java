package dev.jcr.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The messages that need no process to be made and no rights.
class PreflightTest {
  private static final int OWN = (int) ProcessHandle.current().pid();

  private static void refused(int pid, Outcome outcome, String message) {
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> Preflight.requireDumpable(pid))
        .withMessage(message)
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(outcome));
    // The entry point says the same.
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> Dump.preflight(pid, LinkPolicy.REFUSE))
        .withMessage(message);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, Integer.MIN_VALUE})
  void noPid(int pid) {
    refused(pid, Outcome.USAGE, "cannot dump process " + pid + ": a pid is a positive number");
  }

  @Test
  void noSuchProcess() throws IOException {
    // The greatest pid is one less.
    int pid = Integer.parseInt(Proc.at("/proc/sys/kernel").text("pid_max").strip());
    refused(pid, Outcome.TARGET_LOST, "cannot dump process " + pid + ": ESRCH (no such process)");
  }

  @Test
  void jcrItself() {
    refused(OWN, Outcome.USAGE, "cannot dump process " + OWN + ": it is jcr itself");
  }

  @Test
  void aThread() throws IOException {
    int tid = Proc.of(OWN).tasks().stream().filter(task -> task != OWN).findFirst().orElseThrow();
    refused(
        tid,
        Outcome.USAGE,
        "cannot dump process %d: it is a thread of process %d; dump that".formatted(tid, OWN));
  }

  @Test
  void aKernelThread() throws IOException {
    Proc two = Proc.of(2);
    assumeTrue(
        two.exists() && two.stat().comm().equals("kthreadd"),
        "no kernel threads in this namespace");
    refused(2, Outcome.UNSUPPORTED, "cannot dump process 2 (kthreadd): it is a kernel thread");
  }

  @Test
  void whatAnErrorOnTheWayMeans() throws IOException {
    check(
        Preflight.lost(OWN, new SyscallException("open /proc/7/mem", Syscall.OPENAT, Errno.EACCES)),
        Outcome.PERMISSION,
        "cannot dump process %d: cannot open /proc/7/mem: EACCES (permission denied); needs CAP_SYS_PTRACE, or the same uid as the process"
            .formatted(OWN));
    check(
        Preflight.lost(OWN, new SyscallException("open /proc/7/mem", Syscall.OPENAT, Errno.EPERM)),
        Outcome.PERMISSION,
        "cannot dump process %d: cannot open /proc/7/mem: EPERM (operation not permitted); needs CAP_SYS_PTRACE, or the same uid as the process"
            .formatted(OWN));
    check(
        Preflight.lost(OWN, new SyscallException("read x", Syscall.READ, Errno.EIO)),
        Outcome.FAILED,
        "cannot dump process %d: cannot read x: EIO (input/output error)".formatted(OWN));
    int gone = Integer.parseInt(Proc.at("/proc/sys/kernel").text("pid_max").strip());
    check(
        Preflight.lost(gone, new SyscallException("read x", Syscall.READ, Errno.ESRCH)),
        Outcome.TARGET_LOST,
        "cannot dump process %d: ESRCH (no such process)".formatted(gone));
  }

  @Test
  void anErrorOfAProcessThatIsEnding() throws IOException, InterruptedException {
    Process parent = new ProcessBuilder("sh", "-c", "true & exec sleep 60").start();
    try {
      int ending = 0;
      for (int i = 0; ending == 0 || Proc.of(ending).stat().state() != 'Z'; i++) {
        assertThat(i).as("attempts to see the zombie").isLessThan(1000);
        Thread.sleep(10);
        String children = Proc.of((int) parent.pid()).text("task/" + parent.pid() + "/children");
        ending = children.isBlank() ? 0 : Integer.parseInt(children.strip());
      }
      check(
          Preflight.lost(
              ending, new SyscallException("duplicate fd 1", Syscall.PIDFD_GETFD, Errno.ESRCH)),
          Outcome.TARGET_LOST,
          "cannot dump process %d: it is ending (cannot duplicate fd 1: ESRCH (no such process))"
              .formatted(ending));
    } finally {
      parent.destroyForcibly();
    }
  }

  private static void check(CheckpointException e, Outcome outcome, String message) {
    assertThat(e).hasMessage(message);
    assertThat(e.outcome()).isEqualTo(outcome);
  }

  @Test
  void childrenAreNamed() throws IOException, CheckpointException {
    Process child = new ProcessBuilder("sleep", "60").start();
    try {
      List<String> problems =
          Preflight.problems(OWN).stream()
              .filter(problem -> problem.kind().equals("process"))
              .map(Object::toString)
              .toList();
      assertThat(problems)
          .contains(
              "child %d (sleep): process trees are not supported; wait for it to end, or dump it by itself"
                  .formatted(child.pid()));
    } finally {
      child.destroyForcibly();
    }
  }
}
