package dev.jcr.dump.threads;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.ProcessMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/// Restartable sequences (rseq(2)) that threads were in when they were stopped.
///
/// Injected calls run outside the sequence, so the kernel would forget it, and the interrupted
/// sequence would later go on as if nothing had happened. Therefore it is aborted right after the
/// stop, as the kernel does whenever it preempts a thread inside one.
public final class CriticalSections {
  /// offsetof(struct rseq, rseq_cs), `<linux/rseq.h>`.
  private static final int RSEQ_CS = 8;

  private static final int DESCRIPTOR_SIZE = 32;

  private CriticalSections() {}

  /// Registers at the abort handler of the sequence that `registers` stand in, which is marked as
  /// left in the thread's memory; `registers` themselves when they stand in none.
  public static long[] abort(
      StoppedThread thread, long[] registers, Machine machine, ProcessMemory memory)
      throws CheckpointException {
    Optional<Tracee.RseqConfiguration> rseq = thread.tracee().rseq();
    if (rseq.isEmpty()) {
      return registers;
    }
    long pointer = rseq.get().address() + RSEQ_CS;
    long descriptor =
        ByteBuffer.wrap(memory.bytes(pointer, 8)).order(ByteOrder.LITTLE_ENDIAN).getLong();
    if (descriptor == 0) {
      return registers;
    }
    // struct rseq_cs: version, flags, start, length, abort.
    ByteBuffer fields =
        ByteBuffer.wrap(memory.bytes(descriptor, DESCRIPTOR_SIZE)).order(ByteOrder.LITTLE_ENDIAN);
    long inside = machine.pc(registers) - fields.getLong(8);
    if (Long.compareUnsigned(inside, fields.getLong(16)) >= 0) {
      return registers;
    }
    long[] aborted = machine.withPc(registers, fields.getLong(24));
    thread.tracee().setGeneral(aborted);
    memory.writeForced(pointer, new byte[8]);
    return aborted;
  }
}
