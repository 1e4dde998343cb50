@NullMarked
package dev.jcr.parasite.remote;

import org.jspecify.annotations.NullMarked;
