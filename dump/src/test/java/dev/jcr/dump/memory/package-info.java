@NullMarked
package dev.jcr.dump.memory;

import org.jspecify.annotations.NullMarked;
