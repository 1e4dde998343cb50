/// The descriptor table of a process as a value: which descriptors share an open file description,
/// what each description is, and content that lives in no file.
///
/// Nothing here changes the process: descriptors are duplicated into jcr (pidfd_getfd) and asked
/// with calls that do not consume (tee, MSG_PEEK) and do not move offsets.
@NullMarked
package dev.jcr.dump.files;

import org.jspecify.annotations.NullMarked;
