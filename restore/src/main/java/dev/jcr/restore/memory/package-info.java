@NullMarked
package dev.jcr.restore.memory;

import org.jspecify.annotations.NullMarked;
