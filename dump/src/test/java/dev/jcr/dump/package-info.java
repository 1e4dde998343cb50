@NullMarked
package dev.jcr.dump;

import org.jspecify.annotations.NullMarked;
