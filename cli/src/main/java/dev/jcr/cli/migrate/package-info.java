/// A process moves from one host to another: [dev.jcr.cli.migrate.Source] sends,
/// [dev.jcr.cli.migrate.Destination] takes up. What they say to each other is in
/// [dev.jcr.cli.migrate.Link], what survives a crash in [dev.jcr.cli.migrate.Journal].
@NullMarked
package dev.jcr.cli.migrate;

import org.jspecify.annotations.NullMarked;
