@NullMarked
package dev.jcr.dump.timers;

import org.jspecify.annotations.NullMarked;
