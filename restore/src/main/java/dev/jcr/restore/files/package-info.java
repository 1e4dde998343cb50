/// The descriptor table of a new process: checked against this host, planned as steps, and built by
/// calls made inside the process.
@NullMarked
package dev.jcr.restore.files;

import org.jspecify.annotations.NullMarked;
