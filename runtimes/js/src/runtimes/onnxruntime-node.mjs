/**
 * ONNX Runtime's native library in Node: CPU provider, one thread (more are slower on shared cores and change the
 * order of float additions between machines).
 *
 * Every dtype ONNX Runtime offers JavaScript crosses bit for bit. Strings are JavaScript text on the way, so bytes
 * that are not UTF-8 are refused. bfloat16, float8, int4 and complex are not usable as inputs or outputs here.
 *
 * @typedef {typeof import('onnxruntime-node')} Ort
 * @typedef {import('../tensor.mjs').Tensor} Tensor
 * @typedef {import('../tensor.mjs').NumericTensor} NumericTensor
 */
import { Unsupported, WorkerError, requirePackage, timed, versionsOf } from '../runtime.mjs';
import { bytesOf, fromBytes } from '../tensor.mjs';

/** @type {Ort} */
let ort;

/** @type {import('../runtime.mjs').Runtime} */
export const runtime = {
  formats: ['onnx'],
  dtypes: [
    ...['float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'],
    ...['bool', 'string'],
  ],
  casts: {},

  async start() {
    ort = requirePackage('onnxruntime-node');
    return versionsOf('onnxruntime-node');
  },

  async load(artifact) {
    const session = await ort.InferenceSession.create(artifact, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
    });
    return {
      inputs: session.inputMetadata.map(toSpec),
      outputs: session.outputMetadata.map(toSpec),
      async run(values) {
        const feeds = Object.fromEntries([...values].map(([name, tensor]) => [name, toOrt(name, tensor)]));
        const [results, elapsedNs] = await timed(() => session.run(feeds));
        const outputs = new Map(session.outputNames.map((name) => [name, fromOrt(name, results[name])]));
        return { outputs, elapsedNs };
      },
      dispose: () => session.release(),
    };
  },
};

/**
 * @param {import('onnxruntime-node').InferenceSession.ValueMetadata} metadata
 * @returns {import('../runtime.mjs').Spec}
 */
function toSpec(metadata) {
  if (!metadata.isTensor) throw new Unsupported(`'${metadata.name}' is not a tensor but a sequence, map or optional`);
  // a dynamic dimension is its symbol, or negative where it has none
  const shape = metadata.shape.map((dim) => (typeof dim === 'number' && dim >= 0 ? dim : null));
  return { name: metadata.name, dtype: metadata.type, shape };
}

/**
 * @param {string} name
 * @param {Tensor} tensor
 */
function toOrt(name, { dtype, shape, data }) {
  if (dtype !== 'string') {
    const bits = /** @type {NumericTensor} */ ({ dtype, shape, data }).data;
    return new ort.Tensor(/** @type {'float32'} */ (dtype), /** @type {Float32Array} */ (bits), shape);
  }
  // the default decoder would drop a byte order mark
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const texts = /** @type {Uint8Array[]} */ (data).map((bytes, i) => {
    try {
      return utf8.decode(bytes);
    } catch {
      throw new Unsupported(`input '${name}' holds bytes that are not UTF-8 (element ${i}); onnxruntime-node takes text only`);
    }
  });
  return new ort.Tensor('string', texts, shape);
}

/**
 * @param {string} name
 * @param {import('onnxruntime-node').Tensor | undefined} tensor
 * @returns {Tensor}
 */
function fromOrt(name, tensor) {
  if (tensor === undefined) throw new WorkerError('no-output', `ONNX Runtime returned nothing for the output '${name}'`);
  const shape = [...tensor.dims];
  if (tensor.type === 'string') {
    const encoder = new TextEncoder();
    return { dtype: 'string', shape, data: /** @type {string[]} */ (tensor.data).map((text) => encoder.encode(text)) };
  }
  // by bytes: float16 comes as Uint16Array or Float16Array, depending on the version of Node
  return fromBytes(tensor.type, shape, bytesOf(/** @type {Float32Array} */ (tensor.data)));
}
