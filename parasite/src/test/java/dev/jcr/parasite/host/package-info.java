@NullMarked
package dev.jcr.parasite.host;

import org.jspecify.annotations.NullMarked;
