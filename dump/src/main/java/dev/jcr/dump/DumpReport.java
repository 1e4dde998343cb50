package dev.jcr.dump;

import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.Statistics;
import java.nio.file.Path;
import java.util.List;

/// What a successful dump did.
///
/// @param notes for people: for example why a dump that could have been incremental is not
public record DumpReport(
    int pid,
    String comm,
    Path directory,
    Statistics statistics,
    List<Loss> losses,
    List<String> notes) {}
