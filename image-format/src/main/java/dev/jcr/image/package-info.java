@NullMarked
package dev.jcr.image;

import org.jspecify.annotations.NullMarked;
