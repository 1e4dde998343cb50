package dev.jcr.parasite.linux;

/// Options of prctl(2), `<linux/prctl.h>`.
public final class Prctl {
  public static final int SET_PDEATHSIG = 1;
  public static final int GET_PDEATHSIG = 2;
  public static final int GET_DUMPABLE = 3;
  public static final int SET_DUMPABLE = 4;
  public static final int SET_KEEPCAPS = 8;
  public static final int SET_NAME = 15;
  public static final int CAPBSET_DROP = 24;
  public static final int GET_TSC = 25;
  public static final int SET_TSC = 26;
  public static final int GET_SECUREBITS = 27;
  public static final int SET_SECUREBITS = 28;
  public static final int SET_TIMERSLACK = 29;
  public static final int GET_TIMERSLACK = 30;
  public static final int MCE_KILL = 33;
  public static final int MCE_KILL_GET = 34;

  /// Second argument of [#MCE_KILL]; the third is 0 late, 1 early or 2 the default.
  public static final int MCE_KILL_SET = 1;

  public static final int SET_MM = 35;
  public static final int SET_CHILD_SUBREAPER = 36;
  public static final int GET_CHILD_SUBREAPER = 37;
  public static final int SET_NO_NEW_PRIVS = 38;
  public static final int GET_TID_ADDRESS = 40;
  public static final int SET_THP_DISABLE = 41;
  public static final int GET_THP_DISABLE = 42;
  public static final int CAP_AMBIENT = 47;
  public static final int SVE_SET_VL = 50;
  public static final int SET_IO_FLUSHER = 57;
  public static final int GET_IO_FLUSHER = 58;
  public static final int SME_SET_VL = 63;
  public static final int SET_MDWE = 65;
  public static final int GET_MDWE = 66;
  public static final int SET_MEMORY_MERGE = 67;
  public static final int GET_MEMORY_MERGE = 68;
  public static final int TIMER_CREATE_RESTORE_IDS = 77;
  public static final int SET_VMA = 0x53564d41;

  public static final int SET_MM_MAP = 14;
  public static final int CAP_AMBIENT_RAISE = 2;
  public static final int CAP_AMBIENT_CLEAR_ALL = 4;

  public static final int SCHED_CORE = 62;
  public static final int SCHED_CORE_GET = 0;

  private Prctl() {}
}
