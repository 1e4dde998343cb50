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
public record NamespaceChanges(Map<NamespaceKind, String> paths) {
  public static final NamespaceChanges NONE = new NamespaceChanges(Map.of());

  public NamespaceChanges {
    paths = Map.copyOf(paths);
  }

  /// `state` with these changes. A kind that is not in the image is joined as well.
  ProcessState applied(ProcessState state) {
    if (paths.isEmpty()) {
      return state;
    }
    Map<Namespace.Kind, Namespace> all = new TreeMap<>();
    Identity.Builder identity = state.getIdentity().toBuilder();
    identity.getNamespacesList().forEach(namespace -> all.put(namespace.getKind(), namespace));
    paths.forEach((kind, path) ->
        all.put(
            kind.recorded(),
            Namespace.newBuilder().setKind(kind.recorded()).setPath(path).build()));
    identity.clearNamespaces().addAllNamespaces(all.values());
    return state.toBuilder().setIdentity(identity).build();
  }
}
