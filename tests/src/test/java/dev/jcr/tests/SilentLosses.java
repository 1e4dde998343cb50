package dev.jcr.tests;

import java.util.List;

/// What other checkpoint tools lose without a word: for each the test that shows jcr keeps it, or
/// the line that names it.
final class SilentLosses {
  /// @param what the state
  /// @param shown cases of [TargetProgramsTest] or methods of a test class (`Class#method`); or one
  ///   text that begins with "refused: ", "reported: " or "not kept: "
  record Loss(String what, List<String> shown) {
    static Loss of(String what, String... shown) {
      return new Loss(what, List.of(shown));
    }

    boolean isText() {
      return shown.getFirst().matches("(refused|reported|not kept): .*");
    }
  }

  private SilentLosses() {}

  static List<Loss> all() {
    return List.of(
        Loss.of("personality", "zoo id_personality"),
        Loss.of("CPU affinity", "zoo id_affinity"),
        Loss.of("NUMA policy", "refused: its NUMA policy ... is not supported yet"),
        Loss.of("I/O priority", "zoo id_ioprio"),
        Loss.of("utilization clamps (uclamp)", "not kept: no kernel to test it on yet"),
        Loss.of("timer slack", "zoo id_slack"),
        Loss.of("mlockall, locking on fault", "ranges lockfuture", "ranges lockonfault"),
        Loss.of("names of mappings", "zoo mem_named"),
        Loss.of("protection keys", "refused: it has protection keys, not supported yet"),
        Loss.of("sealed mappings", "ranges sealed"),
        Loss.of("keyrings", "not kept: the session keyring is that of whoever restores"),
        Loss.of("coredump filter", "zoo id_coredump"),
        Loss.of(
            "prctl: deny write execute, KSM, THP, I/O flusher",
            "zoo id_mdwe",
            "zoo mem_merge",
            "zoo id_thp",
            "zoo id_io_flusher"),
        Loss.of("prctl: speculation", "not kept: no CPU to test it on yet"),
        Loss.of("AMX tiles, AVX-512, every XSAVE component", "RegistersTest"),
        Loss.of("SVE, SME, FPMR, pointer authentication", "Arm64RegistersTest"),
        Loss.of("what waits in UDP sockets", "objects udpqueue", "objects udpqueue6"),
        Loss.of(
            "events of inotify", "refused: an inotify instance with unread events, when there are"),
        Loss.of("events of fanotify", "refused: a fanotify group is not restorable"),
        Loss.of("multicast groups", "objects multicast", "objects multicast6"),
        Loss.of("TCP: congestion control, user timeout, deferred accept", "tcp options"),
        Loss.of("TCP: MD5 and AO keys", "OddProcessesTest#everythingThatIsRefused"),
        Loss.of("eBPF socket filters", "OddProcessesTest#everythingThatIsRefused"),
        Loss.of("asynchronous I/O contexts", "OddProcessesTest#everythingThatIsRefused"),
        Loss.of("time left of a relative sleep", "BlockedCallsTest"),
        Loss.of("expirations of a periodic timerfd", "zoo timer_expired"),
        Loss.of("start time of the process", "not kept: the kernel gives every process its own"),
        Loss.of("the wall clock", "not kept: it goes on; timers of it expire when they would have"),
        Loss.of("memory wiped on fork", "zoo mem_advice"),
        Loss.of(
            "signals that wait for a stopped process",
            "OddProcessesTest#signalsOfAStoppedProcessWait"),
        Loss.of("checksums of the image", "RestoreRefusalsTest#damagedState"));
  }
}
