package dev.jcr.image.codec;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.NumaPolicy;
import java.util.List;
import java.util.function.Predicate;

/// What the validators are written with. Paths are put together only when something is wrong.
final class Rules {
  /// Signals of Linux: 1 to 64.
  static final int SIGNALS = 64;

  /// PID_MAX_LIMIT of `<linux/threads.h>`.
  static final int MAX_PID = 1 << 22;

  /// MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES, MPOL_F_NUMA_BALANCING.
  private static final int NUMA_FLAGS = 7 << 13;

  private Rules() {}

  /// A field that is wrong; on its way up it gets the path to it.
  static final class Invalid extends Exception {
    private static final long serialVersionUID = 1L;

    Invalid(String message) {
      super(message, null, false, false);
    }

    Invalid within(String prefix) {
      String message = String.valueOf(getMessage());
      return new Invalid(
          prefix + (message.startsWith("[") || message.startsWith(" ") ? "" : ".") + message);
    }
  }

  /// Checks one value.
  interface Rule<T> {
    void check(T value) throws Invalid;
  }

  /// @param problem "field must ..."
  static void that(boolean condition, String problem) throws Invalid {
    if (!condition) {
      throw new Invalid(problem);
    }
  }

  static <T> void in(String name, T value, Rule<T> rule) throws Invalid {
    try {
      rule.check(value);
    } catch (Invalid e) {
      throw e.within(name);
    }
  }

  static <T> void each(String name, List<T> values, Rule<T> rule) throws Invalid {
    for (int i = 0; i < values.size(); i++) {
      try {
        rule.check(values.get(i));
      } catch (Invalid e) {
        throw e.within(name + "[" + i + "]");
      }
    }
  }

  /// For repeated numbers: no path below the element.
  static <T> void eachIs(String name, List<T> values, Predicate<T> rule) throws Invalid {
    for (int i = 0; i < values.size(); i++) {
      if (!rule.test(values.get(i))) {
        throw new Invalid(name + "[" + i + "] has a value that cannot be");
      }
    }
  }

  /// `uint32` from 0 to `max`.
  static boolean upTo(int value, int max) {
    return value >= 0 && value <= max;
  }

  static boolean between(int value, int min, int max) {
    return value >= min && value <= max;
  }

  /// MPOL_DEFAULT to MPOL_WEIGHTED_INTERLEAVE, and the mode flags; MAX_NUMNODES.
  static void numaPolicy(NumaPolicy policy) throws Invalid {
    that(
        policy.getMode() != 0 && upTo(policy.getMode() & ~NUMA_FLAGS, 6),
        "mode is none of <linux/mempolicy.h>");
    that(policy.getNodesCount() <= 16, "nodes are more than 1024");
  }

  static boolean isPid(int value) {
    return between(value, 1, MAX_PID);
  }

  /// 0 where the other process is not to be seen from the namespace.
  static boolean isPidOrNone(int value) {
    return upTo(value, MAX_PID);
  }

  static boolean hasNul(ByteString text) {
    for (int i = 0; i < text.size(); i++) {
      if (text.byteAt(i) == 0) {
        return true;
      }
    }
    return false;
  }

  /// Finds out of order and doubled keys.
  static final class Ascending {
    private long previous;

    Ascending(long first) {
      previous = first - 1;
    }

    void next(String field, long value) throws Invalid {
      if (value <= previous) {
        throw new Invalid(field + " is out of order or there twice");
      }
      previous = value;
    }
  }
}
