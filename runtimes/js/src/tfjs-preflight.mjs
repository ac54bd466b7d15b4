/**
 * Before a graph runs: does this backend have what its ops need?
 *
 * TF.js finds out in the middle of a run, op by op. Asking first gives one answer that names every missing op, as
 * "unsupported" rather than as a crash. What the executor does itself (control flow, hash tables, tensor lists and
 * arrays) needs no kernel; what it does not know at all is unknown on every backend.
 */
import { Unsupported } from './runtime.mjs';

// ops that are composed of other kernels; every other op is checked under its own name
const COMPOSED = new Map([
  ['RFFT', ['Complex', 'FFT', 'Real', 'Imag']],
  ['IRFFT', ['Complex', 'IFFT', 'Real', 'Imag']],
  ['UniqueV2', ['Unique']],
]);

// categories of tfjs-converter whose ops are run by the executor or through these same-named kernels
const EXECUTOR_ONLY = new Set(['control', 'hash_table', 'graph']);

/**
 * Refuse a graph whose ops the converter or the backend lacks.
 * @param {typeof import('@tensorflow/tfjs')} tf
 * @param {string} backend
 * @param {import('@tensorflow/tfjs').GraphModel} model
 * @throws {Unsupported} naming the ops and the backend
 */
export function checkOps(tf, backend, model) {
  const nodes = nodesOf(model);
  const unknown = names(nodes.filter(({ category }) => category === undefined));
  if (unknown.length)
    throw new Unsupported(`TF.js ${tf.version['tfjs-converter']} does not know the op ${unknown.join(', ')}`);
  // a name that no backend registers is no kernel: the op is composed of others, and a gap shows when it runs
  const everywhere = new Set([...kernels(tf, 'cpu'), ...kernels(tf, 'webgl')]);
  const here = kernels(tf, backend);
  const missing = names(
    nodes.filter(
      ({ op, category }) =>
        !EXECUTOR_ONLY.has(String(category)) &&
        (COMPOSED.get(op) ?? [op]).some((kernel) => everywhere.has(kernel) && !here.has(kernel)),
    ),
  );
  if (missing.length) throw new Unsupported(missingKernel(missing, backend));
}

/**
 * The same answer for a kernel that turns out to be missing during a run (an op composed of others).
 * @param {unknown} error
 * @returns {unknown} `Unsupported` if that is what the error says, else the error itself
 */
export function explain(error) {
  const found = /Kernel '(\w+)' not registered for backend '(\w+)'/.exec(error instanceof Error ? error.message : '');
  return found ? new Unsupported(missingKernel([found[1]], found[2])) : error;
}

/**
 * @param {string[]} ops
 * @param {string} backend
 */
const missingKernel = (ops, backend) => `the ${backend} backend of TF.js has no kernel for ${ops.join(', ')}`;

/**
 * @param {typeof import('@tensorflow/tfjs')} tf
 * @param {string} backend
 */
const kernels = (tf, backend) => new Set(tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName));

/** @param {{op: string}[]} nodes */
const names = (nodes) => [...new Set(nodes.map(({ op }) => op))].sort();

/**
 * Every node of the graph, its functions and its initializer, with the category the converter gave it.
 *
 * The executor is a private member; the package's version is pinned and a test fails when this finds nothing.
 * @param {import('@tensorflow/tfjs').GraphModel} model
 * @returns {{op: string, category?: string}[]}
 */
function nodesOf(model) {
  const { executor, initializer } = /** @type {any} */ (model);
  return [executor?.graph, initializer?.graph]
    .filter((graph) => graph !== undefined)
    .flatMap((graph) => [graph, ...Object.values(graph.functions ?? {})])
    .flatMap((graph) => Object.values(graph.nodes));
}
