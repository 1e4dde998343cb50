package dev.jcr.parasite.procfs;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;
import org.assertj.core.api.Assertions;

/// Any text is parsed or refused with IllegalArgumentException. Normally replays the inputs in
/// `ParserFuzzTestInputs`; with `JAZZER_FUZZ=1` looks for new ones.
class ParserFuzzTest {
  private static void parse(byte[] data, Function<String, ?> parser) {
    try {
      Assertions.assertThat(parser.apply(new String(data, StandardCharsets.ISO_8859_1)))
          .isNotNull();
    } catch (IllegalArgumentException _) {
      // Refused.
    }
  }

  @FuzzTest(maxDuration = "2m")
  void maps(byte[] data) {
    parse(data, MapsEntry::parse);
    parse(data, Smaps::parse);
  }

  @FuzzTest(maxDuration = "2m")
  void status(byte[] data) {
    parse(
        data,
        text -> {
          ProcStatus status = ProcStatus.parse(text);
          return status.name()
              + status.tgid()
              + status.state()
              + status.uids().length
              + status.groups().length
              + status.sigCgt()
              + status.capEff()
              + status.nspid()
              + status.seccompFilters()
              + status.kthread();
        });
  }

  @FuzzTest(maxDuration = "2m")
  void stat(byte[] data) {
    parse(data, ProcStat::parse);
  }

  @FuzzTest(maxDuration = "2m")
  void task(byte[] data) {
    parse(data, BlockedIn::parse);
    parse(data, SchedFile::parse);
    parse(data, TimerList::parse);
    parse(data, PosixTimerEntry::parse);
    parse(data, Limits::parse);
  }

  @FuzzTest(maxDuration = "2m")
  void fdinfo(byte[] data) {
    parse(data, FdInfo::parse);
    parse(data, text -> FdInfo.parse(text).eventfdCount());
    parse(data, text -> FdInfo.parse(text).timerfdRemaining());
    parse(data, text -> FdInfo.parse(text).sigmask());
    parse(data, text -> FdInfo.parse(text).epollTargets());
    parse(data, text -> FdInfo.parse(text).pidfdPid());
  }

  @FuzzTest(maxDuration = "2m")
  void auxv(byte[] data) {
    try {
      Auxv.parse(data);
    } catch (IllegalArgumentException _) {
      // Refused.
    }
  }
}
