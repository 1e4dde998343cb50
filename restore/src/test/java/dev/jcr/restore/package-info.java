@NullMarked
package dev.jcr.restore;

import org.jspecify.annotations.NullMarked;
