/// Images as folders: written whole or not at all, read only after every check.
///
/// ```
/// NAME/            mode 0700, files 0600
///   manifest       magic, version, length, Manifest, SHA-256 of all before; written last
///   state          ProcessState
///   pagemap        Pagemap
///   pages          chunks, see dev.jcr.image.pages
/// ```
///
/// The manifest has size and SHA-256 of state and pagemap and the size of pages; the pagemap has
/// two CRC32C for every chunk of pages. Nothing here asks about the host.
@NullMarked
package dev.jcr.image.codec;

import org.jspecify.annotations.NullMarked;
