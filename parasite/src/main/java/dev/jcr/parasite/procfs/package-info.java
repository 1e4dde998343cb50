/// Texts of `/proc/PID`: pure parsers from text to records, and [Proc], the thin reader.
///
/// Parsers take the bytes of a file as ISO-8859-1 text, one character per byte, as [Proc#text]
/// gives them, and throw IllegalArgumentException naming the line that they cannot read. Formats:
/// proc(5) and its parts, and `fs/proc/` of the kernel.
@NullMarked
package dev.jcr.parasite.procfs;

import org.jspecify.annotations.NullMarked;
