package dev.jcr.restore.process;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.stub.InitProgram;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/// PID 1 of a new pid namespace, pid_namespaces(7). It is cloned from the stub, is the parent of
/// the process, and executes [InitProgram] as soon as that is there. Until [#letGo] it dies with
/// jcr, and everybody in the namespace with it.
public final class NamespaceInit implements AutoCloseable {
  /// Its child as well has to be made with this or without.
  private static final long CLONE_VM = 0x100;

  private static final long CLONE_PARENT = 0x8000;
  private static final int SIGKILL = 9;
  private static final int SCRATCH = 4096;
  private static final long ALL_FDS = 0xffffffffL;

  private final OwnedProcess inside;
  private final boolean foreground;
  private Optional<Fd> statuses = Optional.empty();
  private boolean done;

  private NamespaceInit(OwnedProcess inside, boolean foreground) {
    this.inside = inside;
    this.foreground = foreground;
  }

  /// Makes it, stopped.
  ///
  /// @param foreground jcr is its parent, and is told what becomes of the process
  /// @param memory the stub's memory is to be shared (CLONE_VM), for the process to get it
  public static NamespaceInit make(OwnedProcess stub, boolean foreground, boolean memory)
      throws CheckpointException {
    Machine machine = Machine.of(Kernel.HOST);
    long flags = TaskMaker.NEW_PIDS | (foreground ? CLONE_PARENT : 0) | (memory ? CLONE_VM : 0);
    long pid = TaskMaker.clone(stub, machine.sp(stub.base()) - SCRATCH, flags, 1);
    TaskMaker.requireNamespace(pid);
    Tracee tracee = Tracee.attached((int) pid);
    NamespaceInit init = null;
    try {
      TaskMaker.awaitEventStop(tracee);
      init =
          new NamespaceInit(
              new OwnedProcess(
                  machine,
                  tracee,
                  ProcessMemory.open((int) pid),
                  tracee.general(machine.words()),
                  stub.syscallAt(),
                  new OwnedProcess.Ids(1, 1)),
              foreground);
      // Out of the reach of what jcr's terminal or its session's end sends. A detached one leaves
      // the session, as the process would if its parent had; in the foreground the process can be
      // stopped by the terminal only if its parent is in the same session.
      if (foreground) {
        init.inside.require("make a process group", Syscall.SETPGID, 0, 0);
      } else {
        init.inside.require("make a session", Syscall.SETSID);
      }
      return init;
    } catch (CheckpointException | RuntimeException | Error e) {
      if (init != null) {
        init.close();
      } else {
        end(tracee);
      }
      throw e;
    }
  }

  /// For the clone of the process.
  public OwnedProcess inside() {
    return inside;
  }

  /// In jcr's pid namespace.
  public int pid() {
    return inside.tid();
  }

  /// Executes the program.
  ///
  /// @param child pid of the process in the namespace
  public void execute(int child) throws CheckpointException, IOException {
    long scratch = Machine.of(Kernel.HOST).sp(inside.base()) - SCRATCH;
    inside.moveTo(inside.syscallAt(), scratch, SCRATCH);
    put("/");
    inside.require("leave jcr's folder", Syscall.CHDIR, scratch);
    if (foreground) {
      statuses = Optional.of(pipe());
    } else {
      inside.require("close jcr's descriptors", Syscall.CLOSE_RANGE, 0, ALL_FDS, 0);
    }
    // Nothing it could get does anything, and what is blocked would pile up.
    inside.tracee().setSignalMask(0);
    try (Fd file = InitProgram.file(child)) {
      executeAt(path(file), child);
    }
  }

  /// Calls are made one after the other at the same place, so what a call takes is put there first.
  private void put(String text) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      inside.write(inside.scratch(), FileName.allocate(arena, text));
    }
  }

  private static String path(Fd fd) {
    return "/proc/" + ProcessHandle.current().pid() + "/fd/" + fd.number();
  }

  /// Gives it the end to write of a new pipe, without ever waiting, and returns the other.
  private Fd pipe() throws CheckpointException, SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment ends = arena.allocate(JAVA_INT, 2);
      Kernel.call("make a pipe", Syscall.PIPE2, ends.address(), Fd.O_CLOEXEC);
      Fd reader = new Fd(ends.getAtIndex(JAVA_INT, 0));
      try (Fd writer = new Fd(ends.getAtIndex(JAVA_INT, 1))) {
        put(path(writer));
        long fd =
            inside.require(
                "open a pipe to jcr",
                Syscall.OPENAT,
                Fd.AT_FDCWD,
                inside.scratch(),
                Fd.O_WRONLY | OpenFlags.O_NONBLOCK,
                0);
        if (fd != 0) {
          inside.require("duplicate a pipe to jcr", Syscall.DUP3, fd, 0, 0);
        }
        inside.require("close jcr's descriptors", Syscall.CLOSE_RANGE, 1, ALL_FDS, 0);
        return reader;
      } catch (CheckpointException | RuntimeException | Error e) {
        reader.close();
        throw e;
      }
    }
  }

  private void executeAt(String path, int child) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      // The path, its two words, pointers to them and to no environment.
      MemorySegment memory = arena.allocate(1024, 8);
      long at = inside.scratch();
      memory.setString(0, path);
      memory.setString(256, InitProgram.NAME);
      memory.setString(512, Integer.toString(child));
      memory.set(JAVA_LONG, 768, at + 256);
      memory.set(JAVA_LONG, 776, at + 512);
      inside.write(at, memory);
      inside.require("start the init program", Syscall.EXECVE, at, at + 768, at + 784);
    }
  }

  /// Where what wait(2) says of the process arrives, four bytes each; empty for a detached one. The
  /// caller's to close.
  public Optional<Fd> statuses() {
    return statuses;
  }

  /// From here on it lives without jcr.
  public void letGo() throws CheckpointException {
    inside.tracee().setOptions(0);
    inside.tracee().detach(0);
    inside.memory().close();
    done = true;
  }

  /// Ends it, and with it the namespace, if it was not let go. The process must be gone.
  @Override
  public void close() throws CheckpointException {
    if (done) {
      return;
    }
    done = true;
    inside.memory().close();
    statuses.ifPresent(Fd::close);
    end(inside.tracee());
  }

  private static void end(Tracee tracee) throws CheckpointException {
    long result = Kernel.raw(Syscall.KILL, tracee.tid(), SIGKILL);
    if (result == -Errno.ESRCH) {
      return;
    }
    if (Kernel.isError(result)) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot end a new pid namespace: " + Errno.describe((int) -result));
    }
    while (!tracee.await().ended()) {
      // Its exit on the way.
    }
  }
}
