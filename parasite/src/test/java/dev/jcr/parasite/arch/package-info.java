@NullMarked
package dev.jcr.parasite.arch;

import org.jspecify.annotations.NullMarked;
