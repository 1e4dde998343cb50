/// Memory on demand: the process runs, its pages come when they are touched.
@NullMarked
package dev.jcr.restore.lazy;

import org.jspecify.annotations.NullMarked;
