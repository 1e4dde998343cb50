package dev.jcr.tests;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Everything that /proc shows of a process and that must be the same before a dump and after the
/// restore, as lines of text. Numbers that the kernel hands out freely (inodes of pipes and
/// sockets, mount ids) are replaced by the order of their first appearance, which keeps what they
/// say: who shares what.
final class VisibleState {
  private static final Set<String> STATUS =
      Set.of(
          "Name",
          "Umask",
          "Tgid",
          "Pid",
          "Uid",
          "Gid",
          "Groups",
          "VmLck",
          "VmPin",
          "VmSize",
          "VmData",
          "VmStk",
          "VmExe",
          "VmLib",
          "CoreDumping",
          "THP_enabled",
          "Threads",
          "SigPnd",
          "ShdPnd",
          "SigBlk",
          "SigIgn",
          "SigCgt",
          "CapInh",
          "CapPrm",
          "CapEff",
          "CapBnd",
          "CapAmb",
          "NoNewPrivs",
          "Seccomp",
          "Seccomp_filters",
          "Cpus_allowed",
          "Mems_allowed",
          "untag_mask");
  // Of /proc/PID/stat, counted from 1 as in proc(5): pgrp session tty_nr, priority nice threads,
  // start and end of code, stack, exit_signal, rt_priority policy, data, brk, arg, env.
  private static final int[] STAT = {
    5, 6, 7, 18, 19, 20, 26, 27, 28, 38, 40, 41, 45, 46, 47, 48, 49, 50, 51
  };
  private static final Pattern INODE = Pattern.compile("(pipe|socket):\\[(\\d+)]");

  /// Of the kernel's internal tmpfs, and of its hugetlbfs by the names there.
  private static final Pattern OBJECT =
      Pattern.compile(
          "\\b(00:01|00:\\p{XDigit}+(?= \\d+ +/(anon_hugepage|memfd:|secretmem)))"
              + " [1-9]\\d* *");

  /// Each private mapping of huge pages has a file of its own, which nobody else can reach; parts
  /// of one that mprotect(2) has split are made as mappings of their own.
  private static final Pattern PRIVATE_HUGE =
      Pattern.compile("p \\p{XDigit}+ 00:\\p{XDigit}+ \\d+ +(?=/anon_hugepage)");

  private final Map<String, String> entries = new TreeMap<>();
  private final Map<String, String> renamed = new HashMap<>();

  private VisibleState() {}

  static VisibleState of(Proc proc) {
    VisibleState state = new VisibleState();
    state.collect(proc);
    return state;
  }

  private void collect(Proc process) {
    Proc proc = process.sharing();
    for (String file :
        List.of(
            "limits",
            "cmdline",
            "environ",
            "auxv",
            "personality",
            "oom_score_adj",
            "coredump_filter",
            "timers",
            "timerslack_ns",
            "cgroup")) {
      put(file, proc.read(file).replaceAll("Timeslack.*", ""));
    }
    for (String link : List.of("exe", "cwd", "root")) {
      put(link, proc.link(link));
    }
    for (String line : proc.read("maps").split("\n", -1)) {
      put("maps " + line.split(" ", 2)[0], renameObject(line));
    }
    flagsOfMappings(proc);
    for (String fd : proc.names("fd")) {
      put("fd " + fd, rename(proc.link("fd/" + fd)));
      descriptor(proc, fd);
    }
    for (String tid : process.threads()) {
      String task = "task/" + tid + "/";
      put(task + "comm", proc.read(task + "comm"));
      for (Map.Entry<String, String> field : proc.fields(task + "status").entrySet()) {
        if (STATUS.contains(field.getKey())) {
          put(task + field.getKey(), field.getValue());
        }
      }
      statistics(task, proc.read(task + "stat"));
    }
  }

  private void statistics(String task, String line) {
    if (line.isEmpty()) {
      return;
    }
    String[] words = line.substring(line.lastIndexOf(')') + 2).split(" ", -1);
    for (int field : STAT) {
      put(task + "stat." + field, words[field - 3].strip());
    }
  }

  private void flagsOfMappings(Proc proc) {
    String range = "";
    for (String line : proc.read("smaps").split("\n", -1)) {
      if (line.matches("[0-9a-f]+-[0-9a-f]+ .*")) {
        range = line.split(" ", 2)[0];
      } else if (line.startsWith("VmFlags:")) {
        put("smaps " + range, line);
      }
    }
  }

  private void descriptor(Proc proc, String fd) {
    for (String line : proc.read("fdinfo/" + fd).split("\n", -1)) {
      // The time left of a timerfd goes on; ids of mounts, inodes and eventfds are free.
      String text =
          line.replaceAll("^(mnt_id|ino|eventfd-id):.*", "$1")
              .replaceAll("(it_value|ticks): .*", "$1")
              .replaceAll("(tfd:\\s+\\d+ events:\\s+\\S+ data:\\s+\\S+).*", "$1");
      String key = text.contains("tfd:") ? "tfd " + text : text.split(":", 2)[0];
      if (!text.isEmpty()) {
        put("fdinfo " + fd + " " + key, text);
      }
    }
  }

  /// Shared anonymous memory and memfds lie on the kernel's own tmpfs, device 00:01.
  private String renameObject(String line) {
    Matcher huge = PRIVATE_HUGE.matcher(line);
    if (huge.find()) {
      return huge.replaceFirst("p ");
    }
    Matcher object = OBJECT.matcher(line);
    return object.find()
        ? object.replaceFirst(
            "00:01 " + renamed.computeIfAbsent(object.group(), _ -> "object " + renamed.size()))
        : line;
  }

  private String rename(String link) {
    Matcher inode = INODE.matcher(link);
    return inode.matches()
        ? renamed.computeIfAbsent(link, _ -> inode.group(1) + " number " + renamed.size())
        : link;
  }

  private void put(String key, String value) {
    entries.put(key, value);
  }

  /// Lines `key: before -> after`.
  List<String> differences(VisibleState after) {
    Map<String, String> all = new TreeMap<>(entries);
    after.entries.forEach(all::putIfAbsent);
    List<String> differences = new ArrayList<>();
    for (String key : all.keySet()) {
      String before = entries.getOrDefault(key, "(absent)");
      String now = after.entries.getOrDefault(key, "(absent)");
      if (!before.equals(now)) {
        differences.add(key + ": " + before.strip() + " -> " + now.strip());
      }
    }
    return differences;
  }
}
