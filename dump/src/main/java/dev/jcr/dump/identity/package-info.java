@NullMarked
package dev.jcr.dump.identity;

import org.jspecify.annotations.NullMarked;
