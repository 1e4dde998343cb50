/// What may depend on what: the module graph and the rules of the code, read from the classes.
@NullMarked
package dev.jcr.tests.architecture;

import org.jspecify.annotations.NullMarked;
