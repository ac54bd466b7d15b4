/**
 * The worker protocol: one JSON object per line, requests on file descriptor 3, replies on 4, tensors as files.
 *
 * <p>A worker executes artifacts and never sees expected values. The schema of the records is
 * {@code exporter/protocol/v1.schema.json}.
 */
package exporter.core.protocol;
