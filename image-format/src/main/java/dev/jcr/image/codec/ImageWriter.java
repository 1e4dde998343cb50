package dev.jcr.image.codec;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.pages.PagemapLayout;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.Part;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Tracking;
import java.io.OutputStream;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// Makes one image: pages first, then the state, then the manifest, then the name.
///
/// Until [#commit] returns nothing is to be seen under the image's name; without it [#close]
/// removes what was written. Not thread-safe.
public final class ImageWriter implements AutoCloseable {
  private final ImageOutput folder;
  private final Compression compression;
  private final int level;
  private @Nullable PageWriter pages;
  private @Nullable ProcessState state;
  private @Nullable ParentImage parent;
  private @Nullable Tracking tracking;

  private ImageWriter(ImageOutput folder, Compression compression, int level) {
    this.folder = folder;
    this.compression = compression;
    this.level = level;
  }

  /// Prepares the folder next to `directory`, so that a wrong name, a missing permission or a
  /// read-only disk shows before a process is stopped.
  ///
  /// @param directory the image's name: must not exist or be an empty folder
  /// @param level zstd level; ignored without compression
  /// @param durable whether [#commit] waits until everything is on the disk
  /// @throws CheckpointException of outcome FAILED or PERMISSION
  public static ImageWriter create(
      Path directory, Compression compression, int level, boolean durable)
      throws CheckpointException {
    return new ImageWriter(ImageFolder.create(directory, durable), compression, level);
  }

  /// Writes the image as an [ImageStream] to somebody else.
  ///
  /// @param out flushed by [#commit], not closed
  public static ImageWriter to(OutputStream out, Compression compression, int level) {
    return new ImageWriter(new ImageStream.Output(out), compression, level);
  }

  /// Where page contents go. Always the same one.
  ///
  /// @param pageSize of the process
  public PageWriter pages(int pageSize) {
    if (pages == null) {
      pages =
          new PageWriter(
              folder.pages(), folder.path(ImageFormat.PAGES), compression, level, pageSize);
    }
    return pages;
  }

  /// Sets the state; nothing is written yet.
  public void state(ProcessState state) {
    this.state = state;
  }

  /// Makes this image continue another one, whose pages it may leave there.
  public void parent(ParentImage parent) {
    this.parent = parent;
  }

  /// Says who knows which pages are written from here on.
  public void tracking(Tracking tracking) {
    this.tracking = tracking;
  }

  /// Publishes an image without a state: the memory of a running process, for later images to
  /// continue. Otherwise as [#commit].
  public Manifest commitMemory(int pid, String comm, Host host, Creation creation)
      throws CheckpointException {
    PageWriter writer = pages(host.getPageSize());
    Pagemap pagemap = writer.finish();
    byte[] pagemapBytes = pagemap.toByteArray();
    folder.write(ImageFormat.PAGEMAP, pagemapBytes);
    Manifest manifest =
        linked(
            manifest(
                pid,
                comm,
                host,
                null,
                writer.storedBytes(),
                pagemapBytes,
                counted(creation, writer, pagemapBytes.length)));
    folder.write(ImageFormat.MANIFEST, ManifestFile.encode(manifest));
    folder.publish();
    return manifest;
  }

  private Manifest linked(Manifest.Builder manifest) {
    if (parent != null) {
      manifest.setParent(parent.reference());
    }
    if (tracking != null) {
      manifest.setTracking(tracking);
    }
    return manifest.build();
  }

  private static Creation counted(Creation creation, PageWriter writer, long metadata) {
    Creation.Builder made = creation.toBuilder();
    made.getStatisticsBuilder()
        .setPagesWritten(writer.storedPages())
        .setPagesZero(writer.zeroPages())
        .setPagesParent(writer.parentPages())
        .setPagesBytesStored(writer.storedBytes())
        .setImageBytes(writer.storedBytes() + metadata);
    return made.build();
  }

  /// Ends the pages, checks the state as a reader would, writes and publishes.
  ///
  /// The statistics' page counts and sizes are filled in here.
  ///
  /// @throws CheckpointException of outcome FAILED: nothing is left under the image's name
  public Manifest commit(int pid, String comm, Creation creation) throws CheckpointException {
    if (state == null) {
      throw new IllegalStateException("no state");
    }
    PageWriter writer = pages(state.getHost().getPageSize());
    Pagemap pagemap = writer.finish();
    long pagesSize = writer.storedBytes();
    byte[] stateBytes = state.toByteArray();
    check(state, stateBytes, pagemap, pagesSize);
    byte[] pagemapBytes = pagemap.toByteArray();
    folder.write(ImageFormat.PAGEMAP, pagemapBytes);
    folder.write(ImageFormat.STATE, stateBytes);
    Manifest.Builder builder =
        manifest(
            pid,
            comm,
            state.getHost(),
            stateBytes,
            pagesSize,
            pagemapBytes,
            counted(creation, writer, pagemapBytes.length + stateBytes.length));
    Manifest manifest = linked(builder);
    folder.write(ImageFormat.MANIFEST, ManifestFile.encode(manifest));
    folder.publish();
    return manifest;
  }

  private void check(ProcessState state, byte[] stateBytes, Pagemap pagemap, long pagesSize)
      throws CheckpointException {
    try {
      PagemapLayout.of(ImageFormat.PAGEMAP, pagemap, pagesSize);
      StateValidator.check(ImageFormat.STATE, state, stateBytes, pagemap);
    } catch (CheckpointException e) {
      // A reader's message, whose remedy is of no use here.
      String problem = String.valueOf(e.getMessage()).replaceFirst("; [^;]*$", "");
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot write image "
              + folder.target()
              + ": what was collected could not be read back: "
              + problem
              + "; this is a bug in jcr",
          e);
    }
  }

  private static Manifest.Builder manifest(
      int pid,
      String comm,
      Host host,
      byte @Nullable [] stateBytes,
      long pagesSize,
      byte[] pagemapBytes,
      Creation creation) {
    Manifest.Builder manifest =
        Manifest.newBuilder()
            .setFormatMajor(ImageFormat.MAJOR)
            .setFormatMinor(ImageFormat.MINOR)
            .setArch(host.getArch())
            .setPid(pid)
            .setComm(comm)
            .setCreation(creation);
    if (stateBytes != null) {
      manifest.addParts(part(ImageFormat.STATE, stateBytes));
    }
    return manifest
        .addParts(part(ImageFormat.PAGEMAP, pagemapBytes))
        .addParts(Part.newBuilder().setName(ImageFormat.PAGES).setSize(pagesSize));
  }

  private static Part part(String name, byte[] bytes) {
    return Part.newBuilder()
        .setName(name)
        .setSize(bytes.length)
        .setSha256(ByteString.copyFrom(ManifestFile.sha256(bytes)))
        .build();
  }

  /// Ends the threads and removes what was not committed.
  @Override
  public void close() {
    if (pages != null) {
      pages.close();
    }
    folder.close();
  }
}
