/// Registers as values with names. Everything here decodes on every host: no class asks what CPU it
/// runs on, the layouts come with the data. Immutable, safe for any thread.
@NullMarked
package dev.jcr.image.registers;

import org.jspecify.annotations.NullMarked;
