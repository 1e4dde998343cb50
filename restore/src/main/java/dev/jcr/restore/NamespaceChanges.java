package dev.jcr.restore;

import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.namespace.NamespaceKind;
import java.util.Map;
import java.util.TreeMap;

/// Which namespaces a process joins other than where the image says they are.
///
/// @param paths a file of the namespace (a bound one, or `/proc/PID/ns/...`), by kind
/// @param newPids a pid namespace is made for it, in which it has its pid and tids, whoever has
///   them outside
public record NamespaceChanges(Map<NamespaceKind, String> paths, boolean newPids) {
  public static final NamespaceChanges NONE = new NamespaceChanges(Map.of(), false);

  public NamespaceChanges {
    paths = Map.copyOf(paths);
    if (newPids && paths.containsKey(NamespaceKind.PID)) {
      throw new IllegalArgumentException("a pid namespace to join, and a new one");
    }
  }

  /// What stands in the state for a namespace that is yet to be made: no image has one like it.
  static boolean isNew(Namespace namespace) {
    return namespace.getKind() == Namespace.Kind.KIND_PID
        && namespace.getInode() == 0
        && namespace.getPath().isEmpty();
  }

  /// `state` with these changes. A kind that is not in the image is joined as well.
  ProcessState applied(ProcessState state) {
    if (paths.isEmpty() && !newPids) {
      return state;
    }
    Map<Namespace.Kind, Namespace> all = new TreeMap<>();
    Identity.Builder identity = state.getIdentity().toBuilder();
    identity.getNamespacesList().forEach(namespace -> all.put(namespace.getKind(), namespace));
    paths.forEach((kind, path) ->
        all.put(
            kind.recorded(),
            Namespace.newBuilder().setKind(kind.recorded()).setPath(path).build()));
    if (newPids) {
      all.put(
          Namespace.Kind.KIND_PID, Namespace.newBuilder().setKind(Namespace.Kind.KIND_PID).build());
    }
    identity.clearNamespaces().addAllNamespaces(all.values());
    return state.toBuilder().setIdentity(identity).build();
  }
}
