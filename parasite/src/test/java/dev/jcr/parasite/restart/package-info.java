@NullMarked
package dev.jcr.parasite.restart;

import org.jspecify.annotations.NullMarked;
