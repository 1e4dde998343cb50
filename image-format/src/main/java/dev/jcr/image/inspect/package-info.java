/// Images for people and programs: show, compare, check. Driven by the descriptors and options of
/// the schemas, so a new field needs no code here. Asks nothing of the host and needs no privilege.
/// What may depend on it: the command line and tests, never the engine.
@NullMarked
package dev.jcr.image.inspect;

import org.jspecify.annotations.NullMarked;
