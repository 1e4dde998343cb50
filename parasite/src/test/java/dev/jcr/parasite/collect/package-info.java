@NullMarked
package dev.jcr.parasite.collect;

import org.jspecify.annotations.NullMarked;
