package dev.jcr.tests;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectMethod;

import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/// Runs tests where no build tool is, in the arm64 machine of `tests/run --arm64`.
///
/// Arguments: `-TAG` leaves tests with that tag out, `cases=REGEX` chooses target programs, the
/// others are classes or `class#method`. One line for every test, a failure's trace below it; the
/// last line is `N passed, N failed, N skipped`.
public final class Lane implements TestExecutionListener {
  private static final String CASES = "cases=";

  private final PrintStream out;
  private int passed;
  private int failed;
  private int skipped;
  private long began = System.nanoTime();

  private Lane(PrintStream out) {
    this.out = out;
  }

  /// Runs the tests; status 1 if one failed or none was found.
  public static void main(String[] arguments) {
    List<DiscoverySelector> selectors = new ArrayList<>();
    List<String> without = new ArrayList<>(List.of("next"));
    for (String argument : arguments) {
      if (argument.startsWith("-")) {
        without.add(argument.substring(1));
      } else if (argument.startsWith(CASES)) {
        System.setProperty("jcr.cases", argument.substring(CASES.length()));
      } else if (argument.contains("#")) {
        selectors.add(selectMethod(argument));
      } else {
        selectors.add(selectClass(argument));
      }
    }
    LauncherDiscoveryRequest request =
        LauncherDiscoveryRequestBuilder.request()
            .selectors(selectors)
            .filters(TagFilter.excludeTags(without))
            // They are those of a processor and not of its emulation.
            .configurationParameter("junit.jupiter.execution.timeout.mode", "disabled")
            .build();
    Lane lane = new Lane(System.out);
    LauncherFactory.create().execute(request, lane);
    System.out.printf("%d passed, %d failed, %d skipped%n", lane.passed, lane.failed, lane.skipped);
    System.out.flush();
    System.exit(lane.failed > 0 || lane.passed == 0 ? 1 : 0);
  }

  @Override
  public void executionStarted(TestIdentifier test) {
    if (test.isTest()) {
      began = System.nanoTime();
    }
  }

  @Override
  public void executionSkipped(TestIdentifier test, String reason) {
    skipped++;
    out.println("skipped: " + name(test) + ": " + reason);
  }

  @Override
  public void executionFinished(TestIdentifier test, TestExecutionResult result) {
    Throwable thrown = result.getThrowable().orElse(null);
    switch (result.getStatus()) {
      case SUCCESSFUL -> {
        if (test.isTest()) {
          passed++;
          Duration took = Duration.ofNanos(System.nanoTime() - began);
          out.println("passed: " + name(test) + " in " + took.toMillis() + " ms");
        }
      }
      case ABORTED -> {
        skipped++;
        String reason = thrown == null ? "no reason" : String.valueOf(thrown.getMessage());
        out.println("skipped: " + name(test) + ": " + reason.replace("Assumption failed: ", ""));
      }
      case FAILED -> {
        failed++;
        out.println("failed: " + name(test) + ": " + firstLine(thrown));
        if (thrown != null) {
          thrown.printStackTrace(out);
        }
      }
    }
  }

  @Override
  public void testPlanExecutionFinished(TestPlan plan) {
    out.flush();
  }

  private static String firstLine(@org.jspecify.annotations.Nullable Throwable thrown) {
    return String.valueOf(thrown).lines().findFirst().orElse("");
  }

  /// `Class.method [what it was called with]`.
  private static String name(TestIdentifier test) {
    return test.getSource()
        .map(source ->
            source instanceof MethodSource method
                ? method.getJavaClass().getSimpleName() + "." + method.getMethodName()
                : "")
        .map(name -> name + " " + test.getDisplayName())
        .orElse(test.getDisplayName());
  }
}
