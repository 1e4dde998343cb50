@NullMarked
package dev.jcr.parasite.procfs;

import org.jspecify.annotations.NullMarked;
