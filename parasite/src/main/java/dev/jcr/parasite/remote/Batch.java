package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// System calls that run in a task one after the other with one stop for all, instead of two stops
/// for each. Results and memory that they fill are read back together.
public final class Batch {
  /// Bytes of a record: number, six arguments, result.
  public static final int RECORD = 64;

  static final int RECORD_WORDS = RECORD / 8;

  /// Offset of the result in a record.
  static final int RESULT = 56;

  /// Most calls of a batch: what fits before the data.
  public static final int MOST_CALLS = 512;

  /// Bytes for a small batch, of which many lie side by side, and most calls of one.
  static final int SHARE = 1280;

  private static final int SHARED_CALLS = 12;

  private final long data;
  private final int capacity;
  private final int mostCalls;
  private final List<Call> calls = new ArrayList<>();
  private final List<Input> inputs = new ArrayList<>();
  private int used;

  /// One call and what failed if it fails.
  ///
  /// @param what verb and object for a message; empty where an error is a normal answer
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Call(String what, Syscall syscall, long[] arguments) {
    void require(long result) throws CheckpointException {
      if (Kernel.isError(result) && !what.isEmpty()) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot " + what + ": " + Errno.describe((int) -result));
      }
    }
  }

  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Input(int offset, byte[] bytes) {}

  /// @param data address of memory for what calls fill
  /// @param capacity bytes there
  Batch(long data, int capacity) {
    this(data, capacity, MOST_CALLS);
  }

  /// @param mostCalls how many records there is room for
  private Batch(long data, int capacity, int mostCalls) {
    this.data = data;
    this.capacity = capacity;
    this.mostCalls = mostCalls;
  }

  /// A small one, whose records and data lie in [#SHARE] bytes at `address`.
  static Batch sharing(long address) {
    int records = SHARED_CALLS * RECORD;
    return new Batch(address + records, SHARE - records, SHARED_CALLS);
  }

  /// Reserves memory for a result; returns its address in the task.
  public long room(int bytes) {
    long address = data + used;
    used += (bytes + 7) & ~7;
    if (used > capacity) {
      throw new IllegalStateException("a batch with more than " + capacity + " bytes of results");
    }
    return address;
  }

  /// Reserves memory that holds `bytes` when the calls run; returns its address in the task.
  public long put(byte[] bytes) {
    long address = room(bytes.length);
    inputs.add(new Input((int) (address - data), bytes.clone()));
    return address;
  }

  /// What the task's memory must hold before the calls run; empty when nothing was [#put].
  byte[] input() {
    if (inputs.isEmpty()) {
      return new byte[0];
    }
    byte[] all = new byte[used];
    for (Input input : inputs) {
      System.arraycopy(input.bytes(), 0, all, input.offset(), input.bytes().length);
    }
    return all;
  }

  /// The records as the machine code reads them.
  long[] records(Arch arch) {
    long[] words = new long[calls.size() * RECORD_WORDS];
    for (int i = 0; i < calls.size(); i++) {
      Call call = calls.get(i);
      words[i * RECORD_WORDS] = call.syscall().number(arch);
      System.arraycopy(call.arguments(), 0, words, i * RECORD_WORDS + 1, call.arguments().length);
    }
    return words;
  }

  /// Adds a call whose error is a normal answer; returns its index.
  public int add(Syscall syscall, long... arguments) {
    return require("", syscall, arguments);
  }

  /// Adds a call whose error fails the batch with `cannot <what>: ERRNO (text)`.
  public int require(String what, Syscall syscall, long... arguments) {
    if (calls.size() == mostCalls) {
      throw new IllegalStateException("a batch with more than " + mostCalls + " calls");
    }
    calls.add(new Call(what, syscall, arguments));
    return calls.size() - 1;
  }

  /// Writes what its share of memory must hold before the calls run.
  ///
  /// @param at where the share is in `shares`
  void store(ByteBuffer shares, int at, Arch arch) {
    shares.position(at);
    for (long word : records(arch)) {
      shares.putLong(word);
    }
    shares.put(at + SHARED_CALLS * RECORD, input());
  }

  /// What the kernel answered, from its share of memory.
  Results results(ByteBuffer shares, int at) throws CheckpointException {
    long[] values = new long[calls.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = shares.getLong(at + i * RECORD + RESULT);
    }
    byte[] filled = new byte[used];
    shares.get(at + SHARED_CALLS * RECORD, filled);
    return new Results(this, values, filled);
  }

  List<Call> calls() {
    return calls;
  }

  int used() {
    return used;
  }

  long data() {
    return data;
  }

  /// What the kernel answered.
  public static final class Results {
    private final long[] values;
    private final long data;
    private final ByteBuffer memory;

    Results(Batch batch, long[] values, byte[] memory) throws CheckpointException {
      this.values = values;
      this.data = batch.data;
      this.memory = ByteBuffer.wrap(memory).order(ByteOrder.LITTLE_ENDIAN);
      for (int i = 0; i < values.length; i++) {
        batch.calls.get(i).require(values[i]);
      }
    }

    /// Result of the call with this index, or a negated errno.
    public long value(int index) {
      return values[index];
    }

    /// A 64-bit word that a call filled.
    public long word(long address) {
      return memory.getLong((int) (address - data));
    }

    /// A 32-bit word that a call filled.
    public int integer(long address) {
      return memory.getInt((int) (address - data));
    }
  }
}
