package dev.jcr.image;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// The one failure of dump, restore and image work. Its [Outcome] says what the user's process is
/// like afterwards and is the exit code of the command line.
///
/// Messages read `cannot <verb> <object>: <ERRNO> (<text>); <what to do>`, lower case, no full
/// stop. Several problems found together (a pre-flight) are carried as [#problems()].
public final class CheckpointException extends Exception {
  private static final long serialVersionUID = 1L;

  /// What kind of failure it was. The code is documented and does not change.
  public enum Outcome {
    /// The operation failed; the target is as it was.
    FAILED(1),
    /// A wrong option or argument.
    USAGE(2),
    /// The process holds something that cannot be carried over.
    UNSUPPORTED(3),
    /// The image is missing, damaged, foreign or does not fit this host.
    IMAGE(4),
    /// A permission or capability is missing.
    PERMISSION(5),
    /// The target does not exist, vanished or changed.
    TARGET_LOST(6),
    /// The target could not be proven healthy.
    TARGET_DOUBTFUL(7);

    private final int exitCode;

    Outcome(int exitCode) {
      this.exitCode = exitCode;
    }

    public int exitCode() {
      return exitCode;
    }
  }

  /// One named problem. `kind` is a word of the resource vocabulary ("descriptor", "vma",
  /// "thread"), `object` says which ("fd 7", "0x7f00-0x8000", "tid 12").
  public record Problem(String kind, String object, String reason, String remedy) {
    @Override
    public String toString() {
      return object + ": " + reason + (remedy.isEmpty() ? "" : "; " + remedy);
    }
  }

  private final Outcome outcome;
  private final transient List<Problem> problems;

  public CheckpointException(Outcome outcome, String message) {
    this(outcome, message, List.of(), null);
  }

  public CheckpointException(Outcome outcome, String message, @Nullable Throwable cause) {
    this(outcome, message, List.of(), cause);
  }

  public CheckpointException(
      Outcome outcome, String message, List<Problem> problems, @Nullable Throwable cause) {
    super(message, cause);
    this.outcome = outcome;
    this.problems = List.copyOf(problems);
  }

  public Outcome outcome() {
    return outcome;
  }

  public List<Problem> problems() {
    return problems;
  }
}
