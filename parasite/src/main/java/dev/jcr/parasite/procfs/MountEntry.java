package dev.jcr.parasite.procfs;

import dev.jcr.parasite.linux.FileName;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// A mount of `/proc/PID/mountinfo`, proc_pid_mountinfo(5).
///
/// @param device "98:0"
/// @param place where it is mounted, text as of [FileName]
/// @param type of the file system
public record MountEntry(String device, String place, String type) {
  /// All mounts of the file.
  ///
  /// @param text one character per byte
  public static List<MountEntry> parse(String text) {
    List<MountEntry> mounts = new ArrayList<>();
    for (String line : text.lines().toList()) {
      // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
      String[] words = line.split(" ", -1);
      int dash = 6;
      while (dash < words.length && !words[dash].equals("-")) {
        dash++;
      }
      if (dash + 1 >= words.length) {
        throw Scan.bad("a mount", line);
      }
      mounts.add(new MountEntry(words[2], unescaped(words[4]), words[dash + 1]));
    }
    return mounts;
  }

  /// Blanks and their like are \040.
  public static String unescaped(String path) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < path.length(); i++) {
      if (path.charAt(i) == '\\' && i + 3 < path.length()) {
        text.append((char) Integer.parseInt(path.substring(i + 1, i + 4), 8));
        i += 3;
      } else {
        text.append(path.charAt(i));
      }
    }
    return FileName.text(text.toString().getBytes(StandardCharsets.ISO_8859_1));
  }
}
