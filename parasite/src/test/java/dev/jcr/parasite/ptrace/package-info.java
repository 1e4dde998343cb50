@NullMarked
package dev.jcr.parasite.ptrace;

import org.jspecify.annotations.NullMarked;
