package dev.jcr.dump.threads;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.ProcessMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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

  /// Registers for another process: a thread inside a section is moved to its abort handler, as the
  /// kernel would do, because registering rseq there makes the kernel forget the section.
  public long[] aborted(int tid, long[] registers, Machine machine) throws CheckpointException {
    Section section = open.get(tid);
    if (section == null) {
      return registers;
    }
    long descriptor = ByteBuffer.wrap(section.pointer()).order(ByteOrder.LITTLE_ENDIAN).getLong();
    // struct rseq_cs: version, flags, start, length, abort.
    ByteBuffer fields =
        ByteBuffer.wrap(memory.bytes(descriptor, 32)).order(ByteOrder.LITTLE_ENDIAN);
    long inside = machine.pc(registers) - fields.getLong(8);
    return Long.compareUnsigned(inside, fields.getLong(16)) < 0
        ? machine.withPc(registers, fields.getLong(24))
        : registers;
  }

  /// After the last injection into a thread.
  public void putBack(int tid) throws CheckpointException {
    Section section = open.get(tid);
    if (section != null) {
      memory.writeForced(section.address(), section.pointer());
    }
  }
}
