package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.Pidfd;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.namespace.NamespaceKind;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class OtherPidsTest {
  private static final int PID = 42;

  private static ProcessState with(int pid, Description.Builder description) {
    return ProcessState.newBuilder()
        .setIdentity(Identity.newBuilder().setPid(pid))
        .setFiles(Files.newBuilder().addDescriptions(description.setId(3)))
        .build();
  }

  private static List<String> problems(Description.Builder description) {
    return OtherPids.problems(with(PID, description), true).stream()
        .map(Problem::toString)
        .toList();
  }

  private static Description.Builder owner(int type, int pid) {
    return Description.newBuilder().setOwner(Owner.newBuilder().setType(type).setPid(pid));
  }

  private static Description.Builder message(int from) {
    return Description.newBuilder()
        .setUnixSocket(
            UnixSocket.newBuilder().addAttachments(Attachment.newBuilder().setPid(from)));
  }

  @Test
  void whatIsTheProcessItselfIsThere() {
    assertThat(problems(owner(Fcntl.F_OWNER_PID, PID))).isEmpty();
    assertThat(problems(owner(Fcntl.F_OWNER_PGRP, PID))).isEmpty();
    assertThat(problems(message(PID))).isEmpty();
    assertThat(problems(message(0))).isEmpty();
    // Itself, or an ended child.
    assertThat(problems(Description.newBuilder().setPidfd(Pidfd.newBuilder().setPid(43))))
        .isEmpty();
  }

  @Test
  void othersAreNot() {
    String where = "which is in no other pid namespace; restore it in jcr's pid namespace";
    assertThat(
            problems(
                Description.newBuilder().setPidfd(Pidfd.newBuilder().setPid(43).setStartTime(1))))
        .containsExactly("description 3: it is a pidfd of process 43, " + where);
    assertThat(problems(owner(Fcntl.F_OWNER_PGRP, 41)))
        .containsExactly(
            "description 3: its owner for signals (F_SETOWN) is process group 41, " + where);
    assertThat(problems(message(44)))
        .containsExactly("description 3: a message that waits is from process 44, " + where);
  }

  @Test
  void processOneNeedsANamespaceOfItsOwn() {
    ProcessState first = with(1, Description.newBuilder());
    assertThat(OtherPids.problems(first, true)).isEmpty();
    assertThat(OtherPids.problems(first, false))
        .singleElement()
        .hasToString(
            "process 1: the namespace to join has its own; have a new one made with"
                + " --pid-namespace");
  }

  /// Whatever the image says of its pid namespace gives way.
  @Test
  void changes() {
    Namespace recorded =
        Namespace.newBuilder()
            .setKind(Namespace.Kind.KIND_PID)
            .setInode(7)
            .setPath("/run/a")
            .build();
    ProcessState state =
        ProcessState.newBuilder()
            .setIdentity(Identity.newBuilder().addNamespaces(recorded))
            .build();
    assertThat(NamespaceChanges.NONE.applied(state)).isEqualTo(state);
    assertThat(
            new NamespaceChanges(Map.of(), true).applied(state).getIdentity().getNamespacesList())
        .singleElement()
        .matches(NamespaceChanges::isNew);
    assertThat(
            new NamespaceChanges(Map.of(NamespaceKind.PID, "/run/b"), false)
                .applied(state)
                .getIdentity()
                .getNamespaces(0)
                .getPath())
        .isEqualTo("/run/b");
  }
}
