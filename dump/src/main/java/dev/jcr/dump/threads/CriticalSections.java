package dev.jcr.dump.threads;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.ProcessMemory;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// Restartable sequences (rseq(2)) that threads were in when they were stopped.
///
/// Injected calls run outside the sequence, so the kernel clears the thread's `rseq_cs`; without it
/// the interrupted sequence would later go on as if nothing had happened. It is put back after the
/// injection, and the kernel aborts the sequence when the thread runs: the live one, and the one
/// that is restored with the same memory.
public final class CriticalSections {
  /// offsetof(struct rseq, rseq_cs), `<linux/rseq.h>`.
  private static final int RSEQ_CS = 8;

  @SuppressWarnings("ArrayRecordComponent") // bytes on their way back; never compared
  private record Section(long address, byte[] pointer) {}

  private final ProcessMemory memory;
  private final Map<Integer, Section> open = new HashMap<>();

  private CriticalSections(ProcessMemory memory) {
    this.memory = memory;
  }

  /// Before any injection.
  public static CriticalSections read(Freeze freeze, ProcessMemory memory)
      throws CheckpointException {
    CriticalSections sections = new CriticalSections(memory);
    for (StoppedThread thread : freeze.threads()) {
      Optional<Tracee.RseqConfiguration> rseq = thread.tracee().rseq();
      if (rseq.isPresent()) {
        long address = rseq.get().address() + RSEQ_CS;
        byte[] pointer = memory.bytes(address, 8);
        for (byte b : pointer) {
          if (b != 0) {
            sections.open.put(thread.tid(), new Section(address, pointer));
            break;
          }
        }
      }
    }
    return sections;
  }

  /// After the last injection into a thread.
  public void putBack(int tid) throws CheckpointException {
    Section section = open.get(tid);
    if (section != null) {
      memory.writeForced(section.address(), section.pointer());
    }
  }
}
