@NullMarked
package dev.jcr.parasite.stub;

import org.jspecify.annotations.NullMarked;
