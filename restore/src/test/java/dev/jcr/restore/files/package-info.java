@NullMarked
package dev.jcr.restore.files;

import org.jspecify.annotations.NullMarked;
