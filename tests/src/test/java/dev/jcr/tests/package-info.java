/// Tests with real processes: C programs that check themselves, real programs, wrong input, kill
/// -9.
///
/// jcr runs as a process of its own here ([Jcr]), the programs under test are detached from the
/// test JVM ([Target]), because a JVM's child cannot be traced by that JVM.
@NullMarked
package dev.jcr.tests;

import org.jspecify.annotations.NullMarked;
