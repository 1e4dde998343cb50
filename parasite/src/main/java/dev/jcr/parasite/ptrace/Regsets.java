package dev.jcr.parasite.ptrace;

import java.lang.foreign.MemorySegment;

/// Register sets of one stopped thread, by note type (`<linux/elf.h>`). A [Tracee] has those of the
/// kernel; tests have recorded ones.
public interface Regsets {
  /// PTRACE_GETREGSET into `buffer`, whose size is a multiple of the set's element; returns the
  /// length the kernel gave or a negated errno (EINVAL and ENODEV: the thread or the machine lacks
  /// this set).
  long getRegset(int note, MemorySegment buffer);

  /// PTRACE_SETREGSET; zero or a negated errno.
  long setRegset(int note, MemorySegment bytes);

  /// The thread, for messages.
  int tid();
}
