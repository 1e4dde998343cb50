package dev.jcr.restore;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.linux.Fcntl;
import java.util.ArrayList;
import java.util.List;

/// What of an image refers to processes that are not there in another pid namespace than jcr's.
final class OtherPids {
  private static final int INIT = 1;

  private OtherPids() {}

  /// All of it.
  ///
  /// @param made the namespace is a new one
  static List<Problem> problems(ProcessState state, boolean made) {
    List<Problem> problems = new ArrayList<>();
    Identity identity = state.getIdentity();
    if (identity.getPid() == INIT && !made) {
      problems.add(
          new Problem(
              "namespace",
              "process 1",
              "the namespace to join has its own",
              "have a new one made with --pid-namespace"));
    }
    for (Description description : state.getFiles().getDescriptionsList()) {
      String object = "description " + description.getId();
      if (description.getPidfd().getStartTime() != 0) {
        problems.add(
            new Problem(
                "file",
                object,
                "it is a pidfd of process %d, which is in no other pid namespace"
                    .formatted(description.getPidfd().getPid()),
                "restore it in jcr's pid namespace"));
      }
      Owner owner = description.getOwner();
      if (owner.getType() == Fcntl.F_OWNER_PGRP
          && owner.getPid() != 0
          && owner.getPid() != identity.getPid()) {
        problems.add(
            new Problem(
                "file",
                object,
                "its owner for signals (F_SETOWN) is process group %d, which is in no other pid"
                        .formatted(owner.getPid())
                    + " namespace",
                "restore it in jcr's pid namespace"));
      }
      for (Attachment attachment : description.getUnixSocket().getAttachmentsList()) {
        if (attachment.getPid() != 0 && attachment.getPid() != identity.getPid()) {
          problems.add(
              new Problem(
                  "file",
                  object,
                  "a message that waits is from process %d, which is in no other pid namespace"
                      .formatted(attachment.getPid()),
                  "restore it in jcr's pid namespace"));
        }
      }
    }
    return problems;
  }
}
