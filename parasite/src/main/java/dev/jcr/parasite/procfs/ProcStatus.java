package dev.jcr.parasite.procfs;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// `/proc/PID/status` or `/proc/PID/task/TID/status`. A getter of a field that this kernel does not
/// show, or shows in another form, throws IllegalArgumentException.
///
/// @param fields value by name, without blanks around it
public record ProcStatus(Map<String, String> fields) {
  public ProcStatus {
    fields = Map.copyOf(fields);
  }

  public static ProcStatus parse(String text) {
    Map<String, String> fields = new LinkedHashMap<>();
    for (String line : Scan.lines(text)) {
      int colon = line.indexOf(':');
      if (colon <= 0) {
        throw Scan.bad("a field name and a colon", line);
      }
      // The name of the task is data: only the tab after the colon is no part of it.
      String value = line.substring(colon + 1);
      fields.put(
          line.substring(0, colon),
          line.startsWith("Name:\t") ? value.substring(1) : value.strip());
    }
    return new ProcStatus(fields);
  }

  public Optional<String> field(String name) {
    return Optional.ofNullable(fields.get(name));
  }

  private String require(String name) {
    return field(name)
        .orElseThrow(() -> new IllegalArgumentException("no line '" + name + ":' in status"));
  }

  private long number(String name, int radix) {
    String value = require(name);
    try {
      return Long.parseUnsignedLong(value, radix);
    } catch (NumberFormatException e) {
      throw Scan.bad("a number", name + ": " + value);
    }
  }

  private int integer(String name) {
    long value = number(name, 10);
    if (value < 0 || value > Integer.MAX_VALUE) {
      throw Scan.bad("a small number", name + ": " + value);
    }
    return (int) value;
  }

  private int[] integers(String name) {
    String value = require(name);
    try {
      // Ids are unsigned: 4294967295 is -1.
      return Scan.words(value).stream().mapToInt(Integer::parseUnsignedInt).toArray();
    } catch (NumberFormatException e) {
      throw Scan.bad("numbers", name + ": " + value);
    }
  }

  private int[] four(String name) {
    int[] values = integers(name);
    if (values.length != 4) {
      throw Scan.bad("4 ids", name + ": " + require(name));
    }
    return values;
  }

  /// One character per byte; the kernel's escapes of newline and backslash are undone.
  public String name() {
    String raw = require("Name");
    StringBuilder name = new StringBuilder(raw.length());
    for (int i = 0; i < raw.length(); i++) {
      char c = raw.charAt(i);
      if (c == '\\' && i + 1 < raw.length()) {
        char next = raw.charAt(++i);
        name.append(next == 'n' ? '\n' : next);
      } else {
        name.append(c);
      }
    }
    return name.toString();
  }

  public int tgid() {
    return integer("Tgid");
  }

  public int ppid() {
    return integer("PPid");
  }

  /// 0 when nobody traces it.
  public int tracerPid() {
    return integer("TracerPid");
  }

  /// `R` running, `S` sleeping, `T` stopped, `t` traced, `Z` zombie ...
  public char state() {
    String value = require("State");
    if (value.isEmpty()) {
      throw Scan.bad("a state", "State:");
    }
    return value.charAt(0);
  }

  /// Real, effective, saved, file system.
  public int[] uids() {
    return four("Uid");
  }

  /// Real, effective, saved, file system.
  public int[] gids() {
    return four("Gid");
  }

  public int[] groups() {
    return integers("Groups");
  }

  public int umask() {
    return (int) number("Umask", 8);
  }

  public int threads() {
    return integer("Threads");
  }

  /// Pending for this thread; bit n-1 is signal n, as in all signal sets here.
  public long sigPnd() {
    return number("SigPnd", 16);
  }

  /// Pending for the process.
  public long shdPnd() {
    return number("ShdPnd", 16);
  }

  public long sigBlk() {
    return number("SigBlk", 16);
  }

  public long sigIgn() {
    return number("SigIgn", 16);
  }

  public long sigCgt() {
    return number("SigCgt", 16);
  }

  public long capInh() {
    return number("CapInh", 16);
  }

  public long capPrm() {
    return number("CapPrm", 16);
  }

  public long capEff() {
    return number("CapEff", 16);
  }

  public long capBnd() {
    return number("CapBnd", 16);
  }

  public long capAmb() {
    return number("CapAmb", 16);
  }

  public boolean noNewPrivs() {
    return integer("NoNewPrivs") != 0;
  }

  /// 0 off, 1 strict, 2 filters. VmLck; 0 where a kernel thread has no memory.
  public int lockedKilobytes() {
    return field("VmLck").map(value -> new Scan(value).integer()).orElse(0);
  }

  public int seccomp() {
    return integer("Seccomp");
  }

  public int seccompFilters() {
    return fields.containsKey("Seccomp_filters") ? integer("Seccomp_filters") : 0;
  }

  /// From the reader's pid namespace inwards.
  public List<Integer> nspid() {
    return list("NSpid");
  }

  /// Process groups, as [#nspid]; 0 where the group is none of that namespace.
  public List<Integer> nspgid() {
    return list("NSpgid");
  }

  /// Sessions, as [#nspgid].
  public List<Integer> nssid() {
    return list("NSsid");
  }

  private List<Integer> list(String name) {
    return Arrays.stream(integers(name)).boxed().toList();
  }

  /// False as well where the kernel is too old to say (before 6.8).
  public boolean kthread() {
    return fields.containsKey("Kthread") && integer("Kthread") != 0;
  }
}
