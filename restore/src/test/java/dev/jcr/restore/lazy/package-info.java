@NullMarked
package dev.jcr.restore.lazy;

import org.jspecify.annotations.NullMarked;
