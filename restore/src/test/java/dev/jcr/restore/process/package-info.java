@NullMarked
package dev.jcr.restore.process;

import org.jspecify.annotations.NullMarked;
