@NullMarked
package dev.jcr.cli;

import org.jspecify.annotations.NullMarked;
