package exporter.spark

import java.io.PrintWriter
import java.util.concurrent.TimeUnit.NANOSECONDS

import org.apache.spark.sql.SparkSession
import org.junit.platform.engine.TestExecutionResult
import org.junit.platform.engine.discovery.ClassNameFilter.includeClassNamePatterns
import org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage
import org.junit.platform.launcher.{TestExecutionListener, TestIdentifier}
import org.junit.platform.launcher.core.{LauncherDiscoveryRequestBuilder, LauncherFactory}
import org.junit.platform.launcher.listeners.SummaryGeneratingListener

/**
 * The tests of this module inside of one Spark application, on whatever master it was submitted to: what the build runs
 * in one JVM is run here where rows and models really travel.
 *
 * Arguments: regular expressions of the class names to run; by default all tests, and those for clusters only. Exit status
 * 1 when a test failed or none ran.
 */
object ClusterSuite {
  def main(patterns: Array[String]): Unit = {
    val classes = if (patterns.isEmpty) Array(".*Test", ".*OnCluster") else patterns
    // with the settings of the submission: the session of the tests has others where it is the first
    val context = SparkSession.builder().getOrCreate().sparkContext
    val request = LauncherDiscoveryRequestBuilder
      .request()
      .selectors(selectPackage("exporter.spark"))
      .filters(includeClassNamePatterns(classes: _*))
      .build()
    val out = new PrintWriter(System.out, true)
    val listener = new SummaryGeneratingListener
    LauncherFactory.create().execute(request, listener, new Progress(out))
    val summary = listener.getSummary
    summary.printFailuresTo(out, 30)
    val counts = Seq(
      "found" -> summary.getTestsFoundCount,
      "passed" -> summary.getTestsSucceededCount,
      "failed" -> summary.getTotalFailureCount,
      "skipped" -> (summary.getTestsSkippedCount + summary.getTestsAbortedCount))
    out.println(counts.map { case (name, count) => s"$name=$count" }.mkString(s"cluster-suite: ${context.master} ", " ", ""))
    context.stop()
    sys.exit(if (summary.getTotalFailureCount > 0 || summary.getTestsSucceededCount == 0) 1 else 0)
  }

  /** Prints how long each class took, and which tests had nothing to test on this master. */
  private final class Progress(out: PrintWriter) extends TestExecutionListener {
    private var started = 0L

    override def executionStarted(test: TestIdentifier): Unit = if (test.isContainer) started = System.nanoTime

    override def executionFinished(test: TestIdentifier, result: TestExecutionResult): Unit = {
      if (test.isContainer && test.getParentIdObject.isPresent) {
        out.println(f"cluster-suite: ${NANOSECONDS.toMillis(System.nanoTime - started) / 1000.0}%.1f s ${test.getDisplayName}")
      }
      if (result.getStatus == TestExecutionResult.Status.ABORTED) {
        out.println(s"cluster-suite: skipped ${test.getDisplayName}: ${result.getThrowable.get.getMessage}")
      }
    }
  }
}
