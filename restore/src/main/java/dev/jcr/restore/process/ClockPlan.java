package dev.jcr.restore.process;

import static dev.jcr.parasite.host.TimeOffsets.seconds;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Clocks;
import dev.jcr.image.v1.Timers;
import dev.jcr.parasite.host.HostClocks;
import dev.jcr.parasite.host.KernelFeatures.Feature;
import dev.jcr.parasite.host.TimeOffsets;
import dev.jcr.restore.ClockMode;
import java.util.Optional;

/// What becomes of the clocks that count from the start of the host. Pure but for its arguments.
public sealed interface ClockPlan {
  /// Nothing is done: it reads jcr's.
  ///
  /// @param change what that means for the process, if they are not those it had
  record AsHost(Optional<String> change) implements ClockPlan {
    /// They are those it had, or the image does not know any.
    public static final AsHost SAME = new AsHost(Optional.empty());

    @Override
    public Optional<String> note() {
      return change.map("its clocks are those of this host: "::concat);
    }
  }

  /// In a time namespace like that in which it was: they went on with the host's.
  record Keep(TimeOffsets offsets) implements ClockPlan {
    @Override
    public Optional<String> note() {
      return Optional.of("it has a time namespace as before: " + offsets);
    }
  }

  /// In a time namespace in which they go on from these readings, in ns, when it is entered.
  record GoOn(long monotonic, long boottime) implements ClockPlan {
    @Override
    public Optional<String> note() {
      return Optional.of(
          "its clocks go on in a time namespace: CLOCK_MONOTONIC from %s s, CLOCK_BOOTTIME from %s s"
              .formatted(seconds(monotonic), seconds(boottime)));
    }
  }

  /// One line for the user.
  Optional<String> note();

  /// Decides.
  ///
  /// @param timers of the image, with its clocks
  /// @param host as it is now
  static ClockPlan of(Timers timers, HostClocks host, ClockMode mode) {
    if (!timers.hasClocks()) {
      return AsHost.SAME;
    }
    Clocks image = timers.getClocks();
    TimeOffsets offsets = new TimeOffsets(image.getMonotonicOffset(), image.getBoottimeOffset());
    boolean alike = isSameBoot(image, host) && offsets.equals(host.own());
    return switch (mode) {
      case HOST -> alike ? AsHost.SAME : new AsHost(Optional.of(change(image, host)));
      case CONTINUE -> new GoOn(image.getMonotonic(), image.getBoottime());
      case AUTO ->
          alike
              ? AsHost.SAME
              : isSameBoot(image, host)
                  ? new Keep(offsets)
                  : new GoOn(image.getMonotonic(), image.getBoottime());
    };
  }

  /// The host of the dump, not started anew since. A virtual machine that was copied, or put back
  /// to an earlier state, keeps the id of its start: it may be known by clocks that went back.
  private static boolean isSameBoot(Clocks image, HostClocks host) {
    Clocks outside = host.of(TimeOffsets.NONE);
    return image.getBootId().equals(host.bootId())
        && outside.getMonotonic() >= image.getMonotonic() - image.getMonotonicOffset()
        && outside.getBoottime() >= image.getBoottime() - image.getBoottimeOffset();
  }

  private static String change(Clocks image, HostClocks host) {
    return "CLOCK_MONOTONIC jumps from %s s to %s s, CLOCK_BOOTTIME from %s s to %s s; what the program waits for at a time of these clocks comes early or late by that"
        .formatted(
            seconds(image.getMonotonic()),
            seconds(host.monotonic()),
            seconds(image.getBoottime()),
            seconds(host.boottime()));
  }

  /// Why it cannot be done here.
  ///
  /// @param namespaces whether time namespaces can be made
  /// @param otherwise what could be done instead
  default Optional<Problem> problem(Feature namespaces, String otherwise) {
    return this instanceof AsHost || namespaces.available()
        ? Optional.empty()
        : Optional.of(
            new Problem(
                "host",
                "clocks",
                "those of the process are others, and no time namespace can be made here",
                namespaces.remedy() + otherwise));
  }
}
