/**
 * TF.js in Node, shared by the cpu and the wasm runtime: graph and layers models, fed and read by name.
 *
 * TF.js carries float32, int32, bool and string, and on the cpu backend complex64. Other integers are cast to int32,
 * range-checked; a graph that declares such an output returns int32. Everything else is refused, because TF.js would
 * silently compute in float32.
 *
 * @typedef {typeof import('@tensorflow/tfjs')} Tf
 * @typedef {import('@tensorflow/tfjs').Tensor} TfTensor
 * @typedef {import('./runtime.mjs').Model} Model
 * @typedef {import('./runtime.mjs').Spec} Spec
 * @typedef {import('./tensor.mjs').Tensor} Tensor
 * @typedef {import('./tfjs-artifact.mjs').SignatureEntry} SignatureEntry
 */
import { TO_INT32 } from './casts.mjs';
import { Unsupported, WorkerError, packageDirectory, requirePackage, timed, versionsOf } from './runtime.mjs';
import { caller } from './tfjs-call.mjs';
import { diskHandler, dtypeOf, readModelJson, shapeOf } from './tfjs-artifact.mjs';
import { checkOps, explain } from './tfjs-preflight.mjs';
import { installWasmKernels } from './wasm-kernels/index.mjs';

// wasm has no kernel that makes a complex tensor
const DTYPES = {
  cpu: ['float32', 'int32', 'bool', 'string', 'complex64'],
  wasm: ['float32', 'int32', 'bool', 'string'],
};

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/**
 * A TF.js runtime on one backend.
 * @param {'cpu' | 'wasm'} backend
 * @returns {import('./runtime.mjs').Runtime}
 */
export function tfjsRuntime(backend) {
  /** @type {Tf} */
  let tf;
  return {
    formats: ['tfjs-graph', 'tfjs-layers'],
    dtypes: DTYPES[backend],
    casts: TO_INT32,
    async start() {
      quietConsole();
      tf = requirePackage('@tensorflow/tfjs');
      const packages = ['@tensorflow/tfjs'];
      if (backend === 'wasm') {
        packages.push('@tensorflow/tfjs-backend-wasm');
        startWasm(tf);
      }
      if (!(await tf.setBackend(backend))) {
        throw new WorkerError('backend', `TF.js could not start its ${backend} backend; the log says why`);
      }
      await tf.ready();
      return versionsOf(...packages);
    },
    async load(artifact, format) {
      const json = readModelJson(artifact);
      return format === 'tfjs-graph' ? loadGraph(tf, backend, artifact, json) : loadLayers(tf, artifact, json);
    },
  };
}

/** @param {Tf} tf */
function startWasm(tf) {
  const wasm = requirePackage('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(`${packageDirectory('@tensorflow/tfjs-backend-wasm')}dist/`);
  // threads do not work in Node, and in browsers they start workers that then do nothing
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  // what a page has that does not load them: for tests, and for who wants to see it
  if (process.env.EXPORTER_WASM_KERNELS !== 'none') installWasmKernels(tf);
}

/** TF.js advises against `executeAsync` at every single run, which would push real messages out of the log's tail. */
function quietConsole() {
  const { warn } = console;
  console.warn = (...args) => {
    if (!String(args[0]).startsWith('This model execution did not contain any nodes with control flow')) warn(...args);
  };
}

/**
 * @param {Tf} tf
 * @param {string} backend
 * @param {string} path
 * @param {import('./tfjs-artifact.mjs').ModelJson} json
 * @returns {Promise<Model>}
 */
async function loadGraph(tf, backend, path, json) {
  const { inputs = {}, outputs = {} } = json.signature ?? {};
  if (Object.keys(outputs).length === 0) {
    throw new WorkerError(
      'no-signature',
      `${path} has no signature with outputs, so there are no names to feed and read`,
    );
  }
  const model = await tf.loadGraphModel(diskHandler(path, json));
  try {
    checkOps(tf, backend, model);
  } catch (error) {
    model.dispose();
    throw error;
  }
  // an input with a resource is a table that the model fills itself
  const fed = inPosition(inputs, model.inputs).filter(([, entry]) => entry.resourceId == null);
  const read = inPosition(outputs, model.outputs);
  const call = caller(model);
  return {
    inputs: fed.map(([name, entry]) => ({ name, dtype: dtypeOf(entry.dtype), shape: shapeOf(entry) })),
    outputs: read.map(([name, entry]) => {
      const dtype = dtypeOf(entry.dtype);
      return { name, dtype: TO_INT32[/** @type {'int64'} */ (dtype)] ?? dtype, shape: shapeOf(entry) };
    }),
    async run(values) {
      const feeds = Object.fromEntries(fed.map(([name, entry]) => [entry.name, toTf(tf, need(values, name))]));
      return execute(
        tf,
        feeds,
        read.map(([name]) => name),
        weightsOf(model),
        () =>
          call(
            feeds,
            read.map(([, entry]) => entry.name),
          ),
      );
    },
    dispose: () => model.dispose(),
  };
}

/**
 * The entries of a signature's side, in the order in which the loaded model takes or gives tensors without names.
 * @param {Record<string, SignatureEntry>} entries
 * @param {readonly {name: string}[]} nodes `inputs` or `outputs` of the model
 * @returns {[string, SignatureEntry][]} what the model does not list comes last
 */
function inPosition(entries, nodes) {
  const left = new Map(Object.entries(entries));
  /** @type {[string, SignatureEntry][]} */
  const ordered = [];
  for (const { name } of nodes) {
    const found = [...left].find(([, entry]) => entry.name.split(':')[0] === name);
    if (found === undefined) continue;
    ordered.push(found);
    left.delete(found[0]);
  }
  return [...ordered, ...left];
}

/**
 * @param {Tf} tf
 * @param {string} path
 * @param {import('./tfjs-artifact.mjs').ModelJson} json
 * @returns {Promise<Model>}
 */
async function loadLayers(tf, path, json) {
  const model = await tf.loadLayersModel(diskHandler(path, json));
  // a Sequential model knows its names only once it is built, which TF.js puts off until the first run
  if (model instanceof tf.Sequential) model.build();
  const names = distinct(model.outputNames);
  /** @param {string} name @param {import('@tensorflow/tfjs').SymbolicTensor} symbol @returns {Spec} */
  const spec = (name, { dtype, shape }) => ({ name, dtype, shape });
  return {
    inputs: model.inputs.map((symbol, i) => spec(model.inputNames[i], symbol)),
    outputs: model.outputs.map((symbol, i) => spec(names[i], symbol)),
    async run(values) {
      // layers models are fed by position, in their own order
      const feeds = model.inputNames.map((name) => toTf(tf, need(values, name)));
      // unlike `predict`, this does not split the batch into 32s
      return execute(tf, feeds, names, new Set(), async () => ({ results: [model.predictOnBatch(feeds)].flat() }));
    },
    dispose: () => void model.dispose(),
  };
}

/**
 * Run, time, read everything, release everything but the model's own weights.
 * @param {Tf} tf
 * @param {Record<string, TfTensor> | TfTensor[]} feeds
 * @param {string[]} names
 * @param {ReadonlySet<number>} weights
 * @param {() => Promise<{results: TfTensor[], call?: string}>} run
 * @returns {Promise<import('./runtime.mjs').Execution>}
 */
async function execute(tf, feeds, names, weights, run) {
  /** @type {TfTensor[]} */
  let results = [];
  try {
    const [answer, elapsedNs] = await timed(run);
    results = answer.results;
    /** @type {Map<string, Tensor>} */
    const outputs = new Map();
    for (const [i, name] of names.entries()) outputs.set(name, await fromTf(name, results[i]));
    return { outputs, elapsedNs, call: answer.call };
  } catch (error) {
    throw explain(error);
  } finally {
    // an output may be a weight (a constant) or an input (an identity) itself
    tf.dispose([feeds, results.filter((tensor) => !weights.has(tensor.id))]);
  }
}

/**
 * @param {Tf} tf
 * @param {Tensor} tensor
 * @returns {TfTensor}
 */
function toTf(tf, { data, shape, dtype }) {
  const values = /** @type {Float32Array} */ (data);
  if (dtype !== 'complex64') return tf.tensor(values, shape, /** @type {'float32'} */ (dtype));
  return tf.tidy(() => {
    const [real, imaginary] = [0, 1].map((part) => values.filter((_, i) => i % 2 === part));
    return tf.complex(tf.tensor(real, shape), tf.tensor(imaginary, shape));
  });
}

/**
 * @param {string} name
 * @param {TfTensor} tensor
 * @returns {Promise<Tensor>}
 */
async function fromTf(name, tensor) {
  const { dtype, shape } = tensor;
  if (!DTYPES.cpu.includes(dtype))
    throw new Unsupported(`output '${name}' is ${dtype}, which this runtime cannot read`);
  // bytes() for strings: data() decodes them as UTF-8, which loses every byte that is not
  if (dtype === 'string') return { dtype, shape, data: /** @type {Uint8Array[]} */ (await tensor.bytes()) };
  const values = await tensor.data();
  // some kernels leave their result in the array of another dtype: a cast of bools to float32 stays bytes
  const Kind = ARRAYS[/** @type {'bool'} */ (dtype)];
  return { dtype, shape, data: Kind === undefined || values instanceof Kind ? values : Kind.from(values, Number) };
}

/**
 * Ids of the tensors that belong to a graph model.
 * @param {import('@tensorflow/tfjs').GraphModel} model
 */
const weightsOf = (model) => new Set(Object.values(model.weights).flatMap((list) => [list].flat().map(({ id }) => id)));

/**
 * Layers that return several tensors give their name to each: the k-th repeat becomes `name/k`.
 * @param {readonly string[]} names
 */
const distinct = (names) =>
  names.map((name, i) => {
    const repeat = names.slice(0, i).filter((other) => other === name).length;
    return repeat === 0 ? name : `${name}/${repeat}`;
  });

/**
 * @param {ReadonlyMap<string, Tensor>} values
 * @param {string} name
 */
const need = (values, name) => /** @type {Tensor} */ (values.get(name));
