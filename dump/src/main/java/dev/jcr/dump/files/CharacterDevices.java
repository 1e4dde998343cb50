package dev.jcr.dump.files;

import dev.jcr.image.v1.CharacterDevice;
import dev.jcr.image.v1.Description;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FileStat;
import java.io.IOException;

/// /dev/null and its like, and the way to the terminals. Numbers: `Documentation/admin-guide/
/// devices.txt` of the kernel.
final class CharacterDevices {
  private static final int MEM = 1;
  private static final int NULL = 3;
  private static final int ZERO = 5;
  private static final int FULL = 7;
  private static final int RANDOM = 8;
  private static final int URANDOM = 9;
  private static final int CONSOLE_TTY = 4;
  private static final int TTY = 5;
  private static final int PTMX_MINOR = 2;
  private static final int SERIAL_FIRST = 204;
  private static final int PTS_FIRST = 136;
  private static final int PTS_LAST = 143;

  private CharacterDevices() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    FileStat stat = file.stat();
    int major = stat.rdevMajor();
    int minor = stat.rdevMinor();
    boolean harmless =
        major == MEM
            && (minor == NULL
                || minor == ZERO
                || minor == FULL
                || minor == RANDOM
                || minor == URANDOM);
    if (harmless) {
      description.setDevice(
          CharacterDevice.newBuilder()
              .setPath(PlainFiles.path(file))
              .setMajor(major)
              .setMinor(minor));
    } else if (major == TTY && minor == PTMX_MINOR) {
      Terminals.master(scene, file, description);
    } else if (isSlave(stat)) {
      Terminals.slave(scene, file, description);
    } else if (major == TTY || major == CONSOLE_TTY || major == SERIAL_FIRST) {
      Terminals.outside(scene, file, description);
    } else {
      throw new Refusal(
          "the device " + file.link() + " (" + major + ":" + minor + ") is not restorable",
          "close it");
    }
  }

  static boolean isSlave(FileStat stat) {
    return stat.is(Fcntl.S_IFCHR) && stat.rdevMajor() >= PTS_FIRST && stat.rdevMajor() <= PTS_LAST;
  }

  /// N of /dev/pts/N.
  static int slaveIndex(FileStat stat) {
    return stat.rdevMinor();
  }
}
