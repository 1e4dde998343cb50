package dev.jcr.dump.memory;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Tracking;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.stub.KeeperProgram;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// The process that holds a userfaultfd between two runs of jcr: when its last descriptor is
/// closed, tracking ends.
///
/// An image names its keeper by pid and by a random token on the keeper's command line. Every image
/// gets a keeper of its own, and taking the descriptor over ends the one before: two images cannot
/// both believe that they know what was written since. A keeper that was killed, or that belongs to
/// another image, makes the next dump a full one and harms nothing.
public final class Keeper {
  private static final int TOKEN = 16;
  private static final int SIGKILL = 9;
  private static final int WALL = 0x40000000;
  private static final long SETTLE_NANOS = 5_000_000_000L;

  private Keeper() {}

  /// Starts one for a process.
  public static Tracking start(Userfault userfault, int pid) throws IOException {
    byte[] token = new byte[TOKEN];
    new SecureRandom().nextBytes(token);
    try (Fd process = Fd.ofProcess(pid)) {
      Tracking tracking =
          Tracking.newBuilder()
              .setKeeper(KeeperProgram.start(userfault.fd(), process, words(pid, token)))
              .setToken(ByteString.copyFrom(token))
              .setStartTime(Proc.of(pid).stat().startTime())
              .build();
      settle(tracking, pid);
      return tracking;
    }
  }

  /// Waits until it has closed what it inherited and can be told by its command line: vfork(2)'s
  /// parent goes on before the new program's arguments are laid out. One that cannot be told later
  /// costs a full dump, so this gives up without an error.
  private static void settle(Tracking tracking, int pid) throws IOException {
    long deadline = System.nanoTime() + SETTLE_NANOS;
    Proc keeper = Proc.of(tracking.getKeeper());
    while (!(isKeeper(tracking, pid) && keeper.fds().size() == 2) && System.nanoTime() < deadline) {
      LockSupport.parkNanos(100_000);
    }
  }

  private static List<String> words(int pid, byte[] token) {
    return List.of(Integer.toString(pid), HexFormat.of().formatHex(token));
  }

  /// Takes the descriptor over and ends the keeper; empty when there is no such keeper, or the
  /// process is another.
  public static Optional<Userfault> take(Tracking tracking, int pid) throws IOException {
    if (Proc.of(pid).stat().startTime() != tracking.getStartTime()) {
      return Optional.empty();
    }
    try (Fd keeper = Fd.ofProcess(tracking.getKeeper())) {
      if (!isKeeper(tracking, pid)) {
        return Optional.empty();
      }
      Optional<Userfault> found = Optional.empty();
      Proc proc = Proc.of(tracking.getKeeper());
      for (int fd : proc.fds()) {
        if (found.isEmpty() && proc.link("fd/" + fd).equals("anon_inode:[userfaultfd]")) {
          found = Fd.duplicateOf(keeper, fd).map(Userfault::new);
        }
      }
      end(tracking.getKeeper(), keeper);
      return found;
    } catch (SyscallException _) {
      return Optional.empty();
    }
  }

  /// Ends a keeper whose image was not published.
  public static void end(Tracking tracking, int pid) {
    try (Fd keeper = Fd.ofProcess(tracking.getKeeper())) {
      if (isKeeper(tracking, pid)) {
        end(tracking.getKeeper(), keeper);
      }
    } catch (IOException _) {
      // It is gone.
    }
  }

  private static void end(int pid, Fd keeper) {
    Kernel.raw(Syscall.PIDFD_SEND_SIGNAL, keeper.number(), SIGKILL, 0, 0);
    // Where this very jcr started it; else ECHILD.
    Kernel.raw(Syscall.WAIT4, pid, 0, WALL, 0);
  }

  /// An image may be made up: nothing but a keeper of jcr's own user is touched.
  private static boolean isKeeper(Tracking tracking, int pid) throws IOException {
    Proc proc = Proc.of(tracking.getKeeper());
    String line =
        KeeperProgram.NAME
            + "\0"
            + String.join("\0", words(pid, tracking.getToken().toByteArray()))
            + "\0";
    return line.equals(new String(proc.bytes("cmdline"), StandardCharsets.ISO_8859_1))
        && proc.status().uids()[0] == Proc.at("/proc/self").status().uids()[0];
  }
}
