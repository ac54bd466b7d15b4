/**
 * ONNX Runtime's native library in Node: CPU provider, one thread (more are slower on shared cores and change the
 * order of float additions between machines).
 *
 * Every dtype ONNX Runtime offers JavaScript crosses bit for bit. Strings are text on the way in, cut at the first NUL
 * by the binding, so bytes that are not UTF-8 and NULs are refused. bfloat16, float8, int4 and complex are not usable
 * as inputs or outputs here.
 *
 * @typedef {typeof import('onnxruntime-node')} Ort
 * @typedef {import('../tensor.mjs').Tensor} Tensor
 * @typedef {import('../tensor.mjs').NumericTensor} NumericTensor
 */
import { Unsupported, WorkerError, requirePackage, timed, versionsOf } from '../runtime.mjs';
import { bytesOf, fromBytes } from '../tensor.mjs';

/** @type {Ort} */
let ort;

// onnx.TensorProto.DataType, where the binding reports nothing but the number
const ONNX_TYPES = new Map([
  [14, 'complex64'],
  [15, 'complex128'],
  [16, 'bfloat16'],
]);

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
    keepFloat16AsBits();
    return versionsOf('onnxruntime-node');
  },

  async load(artifact) {
    const session = await open(artifact);
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
 * Have float16 carried in Uint16Array, as on Node 20.
 *
 * Where Float16Array exists (Node 24), the package turns every float16 tensor into one and its native half then reads
 * it as empty. It looks for the class once, when the first tensor is made, so that happens without it.
 */
function keepFloat16AsBits() {
  const scope = /** @type {Record<string, unknown>} */ (globalThis);
  const { Float16Array } = scope;
  if (Float16Array === undefined) return;
  scope.Float16Array = undefined;
  try {
    new ort.Tensor('float32', new Float32Array(1), [1]);
  } finally {
    scope.Float16Array = Float16Array;
  }
}

/**
 * @param {string} artifact
 * @throws {Unsupported} an input or output has a dtype that the binding, or ONNX Runtime itself, lacks
 */
async function open(artifact) {
  try {
    return await ort.InferenceSession.create(artifact, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const type = /Unsupported data type: (\d+)|MLDataType for: (\S+) is not currently registered/.exec(message);
    if (type === null) throw error;
    const name = type[2] ?? ONNX_TYPES.get(Number(type[1])) ?? `ONNX type ${type[1]}`;
    throw new Unsupported(`onnxruntime-node has no tensors of ${name}, which this model takes or returns`);
  }
}

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
    if (bytes.includes(0)) {
      throw new Unsupported(
        `input '${name}' holds a NUL byte (element ${i}); onnxruntime-node would cut the text there`,
      );
    }
    try {
      return utf8.decode(bytes);
    } catch {
      throw new Unsupported(
        `input '${name}' holds bytes that are not UTF-8 (element ${i}); onnxruntime-node takes text only`,
      );
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
  if (tensor === undefined)
    throw new WorkerError('no-output', `ONNX Runtime returned nothing for the output '${name}'`);
  const shape = [...tensor.dims];
  if (tensor.type === 'string') {
    const encoder = new TextEncoder();
    return { dtype: 'string', shape, data: /** @type {string[]} */ (tensor.data).map((text) => encoder.encode(text)) };
  }
  // by bytes, because the class of the array may differ from ours
  return fromBytes(tensor.type, shape, bytesOf(/** @type {Float32Array} */ (tensor.data)));
}
