@NullMarked
package dev.jcr.restore.threads;

import org.jspecify.annotations.NullMarked;
