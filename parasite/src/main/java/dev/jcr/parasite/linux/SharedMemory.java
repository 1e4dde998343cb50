package dev.jcr.parasite.linux;

/// System V shared memory, `<linux/shm.h>`: struct shmid64_ds is laid out the same on x86_64 and
/// arm64.
public final class SharedMemory {
  public static final int IPC_CREAT = 01000;
  public static final int IPC_EXCL = 02000;
  public static final int IPC_RMID = 0;
  public static final int IPC_SET = 1;
  public static final int IPC_STAT = 2;
  public static final int SHM_DEST = 01000;
  public static final int SHM_RDONLY = 010000;
  public static final int SHM_EXEC = 0100000;

  /// Bytes of struct shmid64_ds, and offsets in it.
  public static final int INFO_SIZE = 112;

  public static final int KEY = 0;
  public static final int UID = 4;
  public static final int GID = 8;
  public static final int MODE = 20;
  public static final int SIZE = 48;
  public static final int ATTACHED = 88;

  private SharedMemory() {}
}
