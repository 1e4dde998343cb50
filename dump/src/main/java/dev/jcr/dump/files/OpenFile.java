package dev.jcr.dump.files;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.procfs.FdInfo;
import java.util.List;

/// An open file description of the target while it is being looked at.
///
/// @param id from 1, in order of the lowest descriptor
/// @param fds all descriptors that share it, ascending; none of a file that is only on its way
///   through the queue of a unix socket
/// @param link what `/proc/PID/fd/N` points to
/// @param duplicate jcr's own descriptor of it
record OpenFile(int id, List<Integer> fds, String link, FdInfo info, FileStat stat, Fd duplicate) {

  static final int STANDARD_ERROR = 2;

  /// The lowest descriptor, -1 for none.
  int fd() {
    return fds.isEmpty() ? -1 : fds.getFirst();
  }

  boolean passing() {
    return fds.isEmpty();
  }

  /// For messages.
  String label() {
    return passing() ? "a descriptor in the queue of a unix socket (" + link + ")" : "fd " + fd();
  }

  /// Access mode and status flags, without O_CLOEXEC, which belongs to the descriptor.
  int flags() {
    return info.flags() & ~Fd.O_CLOEXEC;
  }

  int accessMode() {
    return info.flags() & 3;
  }

  boolean readable() {
    return accessMode() != Fd.O_WRONLY;
  }

  boolean writable() {
    return accessMode() != Fd.O_RDONLY;
  }

  /// One of its descriptors is standard input, output or error, which a restored process takes from
  /// jcr when the original cannot be had.
  boolean standard() {
    return !passing() && fd() <= STANDARD_ERROR;
  }
}
