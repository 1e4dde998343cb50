@NullMarked
package dev.jcr.dump.signals;

import org.jspecify.annotations.NullMarked;
