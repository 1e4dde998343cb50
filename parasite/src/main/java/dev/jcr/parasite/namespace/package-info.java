/// Namespaces that a process lives in and jcr does not: told from one another, found by a path,
/// entered.
@NullMarked
package dev.jcr.parasite.namespace;

import org.jspecify.annotations.NullMarked;
