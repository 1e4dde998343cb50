/// The command line: one class per verb, rendering, progress, exit codes. Verbs are run in-process
/// by [Main#run], so that tests need no subprocess; only [Main#main] ends the JVM.
///
/// stdout is data, stderr is talk. What a verb does lives in the modules below; here is how it is
/// asked for and shown.
@NullMarked
package dev.jcr.cli;

import org.jspecify.annotations.NullMarked;
