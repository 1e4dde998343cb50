package dev.jcr.dump.files;

/// What a dump does about established TCP connections.
public enum ConnectionPolicy {
  /// They forbid it.
  REFUSE,
  /// They are in the image, and the peers notice nothing but silence until the restore.
  KEEP,
  /// They are not: the restored process finds them closed, and the dump lists them as lost.
  CLOSE
}
