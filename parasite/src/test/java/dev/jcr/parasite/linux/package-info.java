@NullMarked
package dev.jcr.parasite.linux;

import org.jspecify.annotations.NullMarked;
