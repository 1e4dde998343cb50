package dev.jcr.parasite.procfs;

import java.util.List;

/// `/proc/PID/stat`, proc_pid_stat(5). Addresses read 0 without the right to ptrace the process.
///
/// @param comm one character per byte; may hold blanks, parentheses, newlines
/// @param ttyNr controlling terminal, 0 for none
/// @param startTime clock ticks after boot; with the pid it identifies a process
/// @param processor CPU it last ran on
/// @param exitSignal signal to the parent at its end
/// @param exitCode of a zombie, as wait(2) gives it
public record ProcStat(
    int pid,
    String comm,
    char state,
    int ppid,
    int pgrp,
    int session,
    int ttyNr,
    int tpgid,
    long flags,
    long startTime,
    int numThreads,
    int processor,
    long startCode,
    long endCode,
    long startStack,
    long startData,
    long endData,
    long startBrk,
    long argStart,
    long argEnd,
    long envStart,
    long envEnd,
    int exitSignal,
    int exitCode) {

  public static ProcStat parse(String text) {
    int open = text.indexOf('(');
    int close = text.lastIndexOf(')');
    if (open <= 0 || close < open) {
      throw Scan.bad("a name in parentheses", text);
    }
    int pid = new Scan(text.substring(0, open)).integer();
    String tail = text.substring(close + 1).strip();
    List<String> words = Scan.words(tail);
    // Fields are counted from 1 in proc_pid_stat(5); the first of words is field 3.
    if (words.size() < 50) {
      throw Scan.bad("52 fields", text);
    }
    return new ProcStat(
        pid,
        text.substring(open + 1, close),
        words.get(0).charAt(0),
        integer(words, 4),
        integer(words, 5),
        integer(words, 6),
        integer(words, 7),
        integer(words, 8),
        number(words, 9),
        number(words, 22),
        integer(words, 20),
        integer(words, 39),
        number(words, 26),
        number(words, 27),
        number(words, 28),
        number(words, 45),
        number(words, 46),
        number(words, 47),
        number(words, 48),
        number(words, 49),
        number(words, 50),
        number(words, 51),
        integer(words, 38),
        integer(words, 52));
  }

  private static long number(List<String> words, int field) {
    return new Scan(words.get(field - 3)).decimal();
  }

  private static int integer(List<String> words, int field) {
    return new Scan(words.get(field - 3)).integer();
  }
}
