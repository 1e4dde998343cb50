package dev.jcr.restore.lazy;

/// What one server of pages did. Times in microseconds.
///
/// @param bytes that were to come on demand when it began
/// @param faults messages of threads that waited for a page
/// @param zeroFaults of them for pages that are zero
/// @param demanded pages given because of a fault: the one asked for and the rest of its block
/// @param prefetched pages given before anybody asked
/// @param discarded pages that the process gave up before they came
/// @param forks children that got pages
/// @param median half of the faults waited no longer, from message to page
/// @param ninetyNinth 99 % of them
/// @param slowest the longest
/// @param elapsed from the first moment to the last page
public record LazyReport(
    long bytes,
    long faults,
    long zeroFaults,
    long demanded,
    long prefetched,
    long discarded,
    long forks,
    long median,
    long ninetyNinth,
    long slowest,
    long elapsed) {}
