package dev.jcr.parasite.procfs;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.jcr.parasite.host.HostFacts;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

/// Parsers against texts captured from Linux 6.18.
class ProcfsTest {
  @Test
  void mapsLineOfADeletedFileWithANewlineInItsName() {
    assertThat(
            MapsEntry.parse(
                "7f0c28c7e000-7f0c28c7f000 rw-s 00001000 fe:00 2147375                    "
                    + "/tmp/f/a\\012b\\c (deleted)\n"
                    + "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0"
                    + "                  [vsyscall]\n"
                    + "7f0c28a93000-7f0c28a96000 rw-p 00000000 00:00 0 \n"))
        .containsExactly(
            new MapsEntry(
                0x7f0c28c7e000L,
                0x7f0c28c7f000L,
                "rw-s",
                0x1000,
                0xfe,
                0,
                2147375,
                "/tmp/f/a\nb\\c (deleted)"),
            new MapsEntry(
                0xffffffffff600000L, 0xffffffffff601000L, "--xp", 0, 0, 0, 0, "[vsyscall]"),
            new MapsEntry(0x7f0c28a93000L, 0x7f0c28a96000L, "rw-p", 0, 0, 0, 0, ""));
  }

  @Test
  void mapsPathIsUtf8() {
    // The two bytes of é, one per character.
    assertThat(MapsEntry.parse("1000-2000 r--p 0 fe:00 5 /caf\u00c3\u00a9\n").getFirst().path())
        .isEqualTo("/café");
  }

  @Test
  void aBadMapsLineIsNamed() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> MapsEntry.parse("1000-2000 r--p\n"))
        .withMessageContaining("1000-2000 r--p");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> MapsEntry.parse("2000-1000 r--p 0 0:0 0\n"));
  }

  @Test
  void smaps() {
    List<Smaps> all =
        Smaps.parse(
            """
            558100990000-558100992000 r--p 00000000 fe:00 260131                     /usr/bin/cat
            Size:                  8 kB
            KernelPageSize:        4 kB
            MMUPageSize:           4 kB
            Rss:                   8 kB
            Swap:                 12 kB
            THPeligible:           0
            ProtectionKey:         3
            VmFlags: rd mr mw me\s
            7f0c28c7f000-7f0c28c81000 rw-s 00000000 00:01 25                         /dev/zero (deleted)
            KernelPageSize:     2048 kB
            VmFlags: rd wr sh mr mw me ms\s
            7f0c28c7f000-7f0c28c81000 rw-p 00000000 00:00 0                          [anon:a: b]
            """);
    assertThat(all).hasSize(3);
    assertThat(all.get(0).vmFlags()).containsExactly("rd", "mr", "mw", "me");
    assertThat(all.get(0).rssKb()).isEqualTo(8);
    assertThat(all.get(0).swapKb()).isEqualTo(12);
    assertThat(all.get(0).protectionKey()).isEqualTo(3);
    assertThat(all.get(1).kernelPageSizeKb()).isEqualTo(2048);
    assertThat(all.get(1).path()).isEqualTo("/dev/zero (deleted)");
    assertThat(all.get(2).path()).isEqualTo("[anon:a: b]");
  }

  @Test
  void whoTracksWritesIsNoPropertyOfAMapping() {
    Smaps mapping = mapping("rd wr mr mw me ac");
    assertThat(mapping.sameMapping(mapping("rd wr mr mw me ac uw sd"))).isTrue();
    assertThat(mapping.sameMapping(mapping("rd wr mr mw me dc ac"))).isFalse();
  }

  private static Smaps mapping(String flags) {
    return Smaps.parse(
            """
            7f0c28c7f000-7f0c28c81000 rw-p 00000000 00:00 0
            VmFlags: %s\s
            """
                .formatted(flags))
        .getFirst();
  }

  @Test
  void status() {
    ProcStatus status =
        ProcStatus.parse(
            """
            Name:	a\\nb\\\\c)
            Umask:	0022
            State:	S (sleeping)
            Tgid:	5339
            PPid:	5328
            TracerPid:	0
            Uid:	0	1	2	3
            Gid:	4	5	6	4294967295
            Groups:	 27 100
            NSpid:	5339	7
            Kthread:	1
            Threads:	2
            SigQ:	3/96343
            SigBlk:	8000000000000200
            CapPrm:	000001fffeffffff
            NoNewPrivs:	1
            Seccomp:	2
            Seccomp_filters:	3
            """);
    assertThat(status.name()).isEqualTo("a\nb\\c)");
    assertThat(status.umask()).isEqualTo(0022);
    assertThat(status.state()).isEqualTo('S');
    assertThat(status.uids()).containsExactly(0, 1, 2, 3);
    assertThat(status.gids()).containsExactly(4, 5, 6, -1);
    assertThat(status.groups()).containsExactly(27, 100);
    assertThat(status.nspid()).containsExactly(5339, 7);
    assertThat(status.kthread()).isTrue();
    assertThat(status.sigBlk()).isEqualTo(0x8000000000000200L);
    assertThat(status.noNewPrivs()).isTrue();
    assertThat(status.seccompFilters()).isEqualTo(3);
    assertThat(status.field("SigQ")).contains("3/96343");
    assertThat(status.field("None")).isEmpty();
    assertThatIllegalArgumentException().isThrownBy(status::sigPnd).withMessageContaining("SigPnd");
  }

  @Test
  void statOfAProcessWithAnUglyName() {
    ProcStat stat =
        ProcStat.parse(
            "5339 (cap) (x\n y) S 5328 5328 3183 0 -1 4194304 108 0 0 0 0 0 0 0 20 0 1 0 89634"
                + " 2412544 255 18446744073709551615 94087879090176 94087879091669 140733280979584"
                + " 0 0 0 0 6 0 1 0 0 17 1 0 0 0 0 0 94087879101904 94087879102656 94087944941568"
                + " 140733280987878 140733280987890 140733280987890 140733280989164 0\n");
    assertThat(stat.comm()).isEqualTo("cap) (x\n y");
    assertThat(stat.state()).isEqualTo('S');
    assertThat(stat.session()).isEqualTo(3183);
    assertThat(stat.tpgid()).isEqualTo(-1);
    assertThat(stat.startTime()).isEqualTo(89634);
    assertThat(stat.numThreads()).isEqualTo(1);
    assertThat(stat.processor()).isEqualTo(1);
    assertThat(stat.exitSignal()).isEqualTo(17);
    assertThat(stat.startBrk()).isEqualTo(94087944941568L);
    assertThat(stat.envEnd()).isEqualTo(140733280989164L);
  }

  @Test
  void syscall() {
    assertThat(BlockedIn.parse("running\n").running()).isTrue();
    BlockedIn outside = BlockedIn.parse("-1 0x7fff053887a8 0x7f0c28b69dd0\n");
    assertThat(outside.number()).isEqualTo(-1);
    assertThat(outside.sp()).isEqualTo(0x7fff053887a8L);
    BlockedIn blocked =
        BlockedIn.parse(
            "34 0xffffffffffffff9c 0x1000 0x3 0x7f0c28aaffa0 0xc 0x0 0x7fff053887a8 0x7f0c\n");
    assertThat(blocked.number()).isEqualTo(34);
    assertThat(blocked.arguments()).containsExactly(-100, 0x1000, 3, 0x7f0c28aaffa0L, 12, 0);
    assertThat(blocked.pc()).isEqualTo(0x7f0c);
    assertThatIllegalArgumentException().isThrownBy(() -> BlockedIn.parse("34 0x1 0x2"));
    assertThatIllegalArgumentException().isThrownBy(() -> BlockedIn.parse(""));
  }

  @Test
  void sched() {
    assertThat(
            SchedFile.parse(
                    """
                    cat (4650, #threads: 1)
                    -------------------------------------------------------------------
                    se.exec_start                                :        877676.524447
                    se.vruntime                                  :           121.913120
                    """)
                .execStartNanos())
        .isEqualTo(OptionalLong.of(877676524447L));
    assertThat(SchedFile.parse("cat (1, #threads: 1)\n").execStartNanos()).isEmpty();
  }

  @Test
  void timerList() {
    TimerList list =
        TimerList.parse(
            """
            Timer List Version: v0.10
            HRTIMER_MAX_CLOCK_BASES: 8
            now at 48811818206239 nsecs

            cpu: 0
             clock 0:
              .base:       00000000f28d038e
              .offset:     0 nsecs
            active timers:
             #0: <00000000e8394b6e>, tick_nohz_handler, S:01
             # expires at 48811820000000-48811820000000 nsecs [in 1793761 to 1793761 nsecs]
             #1: <00000000447614e0>, hrtimer_wakeup, S:01
             # expires at 48811863698822-48811863753821 nsecs [in 45492583 to 45547582 nsecs]
             #2: <0000000044761400>, hrtimer_wakeup, S:01
             # expires at 48811818206039-48811818206039 nsecs [in -200 to -200 nsecs]
             clock 1:
              .offset:     1795215511572024990 nsecs
            active timers:
             #0: <00000000447614aa>, hrtimer_wakeup, S:01
             # expires at 1795264323390231240-1795264323390231240 nsecs [in 11 to 11 nsecs]
            """);
    assertThat(list.now()).isEqualTo(48811818206239L);
    assertThat(list.sleepers())
        .containsExactly(
            new TimerList.Sleeper("00000000447614e0", 48811863698822L),
            new TimerList.Sleeper("0000000044761400", 48811818206039L),
            new TimerList.Sleeper("00000000447614aa", 48811818206250L));
    assertThatIllegalArgumentException().isThrownBy(() -> TimerList.parse("cpu: 0\n"));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> TimerList.parse("now at 5 nsecs\n #0: <1>, hrtimer_wakeup, S:01\n x\n"));
  }

  @Test
  void timers() {
    assertThat(
            PosixTimerEntry.parse(
                """
                ID: 2
                signal: 35/0000000000000000
                notify: signal/tid.5339
                ClockID: -6
                ID: 1
                signal: 0/00007f00deadbeef
                notify: none/pid.12
                ClockID: 1
                """))
        .containsExactly(
            new PosixTimerEntry(2, 35, 0, "signal", true, 5339, -6),
            new PosixTimerEntry(1, 0, 0x7f00deadbeefL, "none", false, 12, 1));
    assertThatIllegalArgumentException().isThrownBy(() -> PosixTimerEntry.parse("ID: 2\n"));
  }

  @Test
  void fdInfo() {
    FdInfo eventfd =
        FdInfo.parse(
            """
            pos:	7
            flags:	02000002
            mnt_id:	17
            ino:	26
            eventfd-count:               1f
            eventfd-id: 1
            eventfd-semaphore: 1
            """);
    assertThat(eventfd.position()).isEqualTo(7);
    assertThat(eventfd.flags()).isEqualTo(02000002);
    assertThat(eventfd.closeOnExec()).isTrue();
    assertThat(eventfd.inode()).isEqualTo(26);
    assertThat(eventfd.eventfdCount()).isEqualTo(0x1f);
    assertThat(eventfd.eventfdSemaphore()).contains(true);

    FdInfo timerfd =
        FdInfo.parse(
            """
            pos:	0
            flags:	02
            clockid: 1
            ticks: 3
            settime flags: 01
            it_value: (99, 669388395)
            it_interval: (1, 5)
            """);
    assertThat(timerfd.timerfdClock()).isEqualTo(1);
    assertThat(timerfd.timerfdTicks()).isEqualTo(3);
    assertThat(timerfd.timerfdSettimeFlags()).isEqualTo(1);
    assertThat(timerfd.timerfdRemaining()).isEqualTo(99_669388395L);
    assertThat(timerfd.timerfdInterval()).isEqualTo(1_000000005L);

    FdInfo epoll =
        FdInfo.parse(
            """
            pos:	0
            flags:	02
            tfd:        3 events: 80000019 data:     deadbeefcafe  pos:0 ino:1a sdev:10
            tfd:       40 events:       19 data: ffffffffffffffff
            """);
    assertThat(epoll.epollTargets())
        .containsExactly(
            new FdInfo.EpollLine(3, 0x80000019, 0xdeadbeefcafeL, 0, 0x1a, 0x10),
            new FdInfo.EpollLine(40, 0x19, -1, 0, 0, 0));

    FdInfo others =
        FdInfo.parse(
            """
            pos:	0
            flags:	00
            inotify wd:1 ino:3f7e8 sdev:fe00000 mask:100 ignored_mask:0 fhandle-bytes:8
            sigmask:	0000000000000200
            Pid:	-1
            lock:	1: FLOCK  ADVISORY  WRITE 5339 fe:00:2147374 0 EOF
            """);
    assertThat(others.inotify()).hasSize(1);
    assertThat(others.sigmask()).isEqualTo(0x200);
    assertThat(others.pidfdPid()).contains(-1);
    assertThat(others.locks()).hasSize(1);
    assertThatIllegalArgumentException()
        .isThrownBy(others::eventfdCount)
        .withMessageContaining("eventfd-count");
  }

  @Test
  void limits() {
    Limits limits =
        Limits.parse(
            """
            Limit                     Soft Limit           Hard Limit           Units    \s
            Max stack size            8388608              unlimited            bytes    \s
            Max nice priority         0                    5                   \s
            """);
    assertThat(limits.byName().get("Max stack size")).isEqualTo(new Limits.Limit(8388608, -1));
    assertThat(limits.byName().get("Max nice priority")).isEqualTo(new Limits.Limit(0, 5));
  }

  @Test
  void auxv() {
    ByteBuffer bytes = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(33).putLong(0x7fff0000L).putLong(6).putLong(4096);
    Auxv auxv = Auxv.parse(bytes.array());
    assertThat(auxv.entries()).containsEntry(33L, 0x7fff0000L).containsEntry(6L, 4096L);
    assertThat(auxv.size()).isEqualTo(48);
    assertThatIllegalArgumentException().isThrownBy(() -> Auxv.parse(new byte[0]));
  }

  @Test
  void theFilesOfThisProcessParse() throws Exception {
    int pid = (int) ProcessHandle.current().pid();
    Proc proc = Proc.of(pid);
    assertThat(proc.exists()).isTrue();
    assertThat(proc.tasks()).contains(pid);
    assertThat(proc.maps()).isNotEmpty();
    assertThat(proc.smaps()).isNotEmpty();
    assertThat(proc.status().tgid()).isEqualTo(pid);
    assertThat(proc.stat().pid()).isEqualTo(pid);
    assertThat(proc.status(pid).kthread()).isFalse();
    assertThat(proc.stat(pid).session()).isEqualTo(proc.stat().session());
    assertThat(proc.limits().byName()).containsKey("Max open files");
    assertThat(proc.auxv().entries()).containsEntry(6L, (long) HostFacts.pageSize());
    for (int fd : proc.fds()) {
      // The descriptor of the listing itself is closed by now.
      if (proc.optionalText("fdinfo/" + fd).isPresent()) {
        proc.fdInfo(fd);
      }
    }
    assertThat(proc.link("exe")).endsWith("java");
    assertThat(proc.optionalText("no-such-file")).isEmpty();
  }
}
