package exporter.spark

import java.io.PrintWriter

import org.apache.spark.sql.SparkSession
import org.junit.platform.engine.discovery.ClassNameFilter.includeClassNamePatterns
import org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage
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
    val listener = new SummaryGeneratingListener
    LauncherFactory.create().execute(request, listener)
    val summary = listener.getSummary
    val out = new PrintWriter(System.out, true)
    summary.printFailuresTo(out, 30)
    val counts = Seq(
      "found" -> summary.getTestsFoundCount,
      "passed" -> summary.getTestsSucceededCount,
      "failed" -> summary.getTotalFailureCount,
      "skipped" -> (summary.getTestsSkippedCount + summary.getContainersSkippedCount + summary.getTestsAbortedCount))
    out.println(counts.map { case (name, count) => s"$name=$count" }.mkString(s"cluster-suite: ${context.master} ", " ", ""))
    context.stop()
    sys.exit(if (summary.getTotalFailureCount > 0 || summary.getTestsSucceededCount == 0) 1 else 0)
  }
}
