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
        Loss.of("NUMA policy", "huge policies"),
        Loss.of("I/O priority", "zoo id_ioprio"),
        Loss.of(
            "utilization clamps (uclamp)",
            "reported: set again, or the restore fails; not tested, for want of a kernel with them"),
        Loss.of("login uid", "zoo id_login"),
        Loss.of("nice value of the autogroup", "zoo id_autogroup"),
        Loss.of("core scheduling cookie", "reported: core scheduling cookie, when there is one"),
        Loss.of("descriptors in the queues of unix sockets", "passing stream", "passing nested"),
        Loss.of("credentials in the queues of unix sockets", "passing credentials"),
        Loss.of("one-shot epoll registrations that have fired", "zoo epoll_spent"),
        Loss.of("timer slack", "zoo id_slack"),
        Loss.of("mlockall, locking on fault", "ranges lockfuture", "ranges lockonfault"),
        Loss.of("names of mappings", "zoo mem_named"),
        Loss.of("protection keys", "refused: it has a protection key, not supported yet"),
        Loss.of("sealed mappings", "ranges sealed"),
        Loss.of(
            "keyrings of the process and of its leader thread", "OddProcessesTest#aKeyringIsTold"),
        Loss.of("hardware breakpoints", "odd breakpoint"),
        Loss.of(
            "IP_MULTICAST_IF by index",
            "reported: of a socket that sends to groups, when no address of an interface is set"),
        Loss.of("session keyring", "not kept: it is that of whoever restores"),
        Loss.of("Landlock domain", "not kept: no call tells whether there is one"),
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
            "events of inotify",
            "refused: an inotify instance with unread events; or told, with --inotify-overflow"),
        Loss.of(
            "events of fanotify", "refused: a fanotify group with unread events, when there are"),
        Loss.of("multicast groups", "objects multicast", "objects multicast6"),
        Loss.of(
            "packets that wait in packet sockets", "PacketSocketsTest#refused", "packets queued"),
        Loss.of(
            "counters of packet sockets (PACKET_STATISTICS)",
            "reported: reading them would clear them"),
        Loss.of(
            "place in a fanout group of packet sockets, size of the group",
            "reported: no call tells them"),
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
