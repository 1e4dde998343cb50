@NullMarked
package dev.jcr.dump.threads;

import org.jspecify.annotations.NullMarked;
