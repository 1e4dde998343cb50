/// Page contents: written in chunks of 1 MiB by two threads, read back chunk by chunk.
///
/// ```
/// pages      | chunk | chunk | chunk | ...            no gaps, no header
/// chunk      one zstd frame, or the pages as they are when that is not larger
/// pagemap    spaces (runs of stored and of zero pages), and per chunk offset, stored length,
///            pages, CRC32C of the stored bytes and of the pages, codec
/// ```
///
/// The stored runs of all spaces, in order, cut at the chunks' page counts, say where each page of
/// a chunk belongs. [dev.jcr.image.pages.PageWriter] has one caller and two threads of its own;
/// [dev.jcr.image.pages.PageReader] may be called from any thread.
@NullMarked
package dev.jcr.image.pages;

import org.jspecify.annotations.NullMarked;
