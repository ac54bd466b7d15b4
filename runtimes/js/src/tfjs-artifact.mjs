/**
 * TF.js models on disk: read model.json and its weight shards, and describe a graph's signature.
 *
 * The published file loader needs the native tfjs-node package; this one needs only `fs`. Shard paths come from
 * inside the artifact, so each is checked to stay in the artifact's directory.
 *
 * @typedef {{name: string, shape: number[], dtype: string, quantization?: {dtype: string}}} WeightSpec
 * @typedef {{name: string, dtype: string | number, tensorShape?: {unknownRank?: boolean, dim?: {size?: string | number}[]},
 *   resourceId?: number}} SignatureEntry
 * @typedef {{
 *   format?: string,
 *   modelTopology: any,
 *   signature?: {inputs?: Record<string, SignatureEntry>, outputs?: Record<string, SignatureEntry>},
 *   weightsManifest?: {paths: string[], weights: WeightSpec[]}[],
 * } & Record<string, unknown>} ModelJson
 */
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';
import { WorkerError } from './runtime.mjs';
import { count } from './tensor.mjs';

// what model.json may hold besides topology and weights; without `signature` the names are lost
const PASSED_ON = [
  'format',
  'generatedBy',
  'convertedBy',
  'signature',
  'userDefinedMetadata',
  'modelInitializer',
  'initializerSignature',
  'trainingConfig',
];

// bytes per stored value; strings are absent because their length is in the data
const STORED = new Map([
  ['float32', 4],
  ['int32', 4],
  ['complex64', 8],
  ['float16', 2],
  ['uint16', 2],
  ['uint8', 1],
  ['bool', 1],
]);

/**
 * Parse model.json.
 * @param {string} path
 * @returns {ModelJson}
 * @throws {WorkerError} `not-a-tfjs-model`
 */
export function readModelJson(path) {
  /** @type {any} */
  let json;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new WorkerError('not-a-tfjs-model', `${path} is not JSON: ${error.message}`);
  }
  if (typeof json?.modelTopology !== 'object' || json.modelTopology === null) {
    throw new WorkerError('not-a-tfjs-model', `${path} has no modelTopology, so it is not a TF.js model.json`);
  }
  return json;
}

/**
 * What TF.js calls an IOHandler: topology, metadata and all weight bytes.
 * @param {string} path of model.json
 * @param {ModelJson} json
 */
export function diskHandler(path, json) {
  return {
    load: async () => {
      const groups = json.weightsManifest ?? [];
      const specs = groups.flatMap((group) => group.weights);
      const shards = groups.flatMap((group) => group.paths.map((name) => readShard(path, name)));
      const bytes = Buffer.concat(shards);
      checkSize(path, specs, bytes.length);
      return /** @type {import('@tensorflow/tfjs').io.ModelArtifacts} */ (
        /** @type {unknown} */ ({
          ...Object.fromEntries(PASSED_ON.filter((key) => json[key] != null).map((key) => [key, json[key]])),
          modelTopology: json.modelTopology,
          weightSpecs: specs,
          // a buffer of its own: a pooled one would start somewhere inside
          weightData: bytes.buffer.byteLength === bytes.length ? bytes.buffer : new Uint8Array(bytes).buffer,
        })
      );
    },
  };
}

/**
 * @param {string} model
 * @param {string} name
 */
function readShard(model, name) {
  const root = realpathSync(dirname(model));
  const outside = new WorkerError(
    'unsafe-path',
    `${model} names the weight file '${name}', which is outside its directory`,
  );
  const path = resolve(root, name);
  if (!isInside(root, path)) throw outside;
  /** @type {string} */
  let real;
  try {
    real = realpathSync(path);
  } catch {
    throw new WorkerError('missing-weights', `${model} names the weight file '${name}', which does not exist`);
  }
  // a link may still lead out
  if (!isInside(root, real)) throw outside;
  return readFileSync(real);
}

/**
 * @param {string} root
 * @param {string} path
 */
function isInside(root, path) {
  const step = relative(root, path);
  return step !== '' && step !== '..' && !step.startsWith(`..${sep}`) && !step.startsWith(sep);
}

/**
 * TF.js ignores surplus bytes and reports missing ones as a typed-array error; say which it is instead.
 * @param {string} path
 * @param {WeightSpec[]} specs
 * @param {number} found
 */
function checkSize(path, specs, found) {
  let expected = 0;
  for (const { shape, dtype, quantization } of specs) {
    const size = STORED.get(quantization?.dtype ?? dtype);
    if (size === undefined) return;
    expected += count(shape) * size;
  }
  if (expected !== found) {
    throw new WorkerError('weights-size', `the weights of ${path} take ${expected} bytes, its shards hold ${found}`);
  }
}

// TensorFlow's DataType: JSON holds the name or the number
const DATA_TYPES = new Map([
  ['DT_FLOAT', 1],
  ['DT_DOUBLE', 2],
  ['DT_INT32', 3],
  ['DT_UINT8', 4],
  ['DT_INT16', 5],
  ['DT_INT8', 6],
  ['DT_STRING', 7],
  ['DT_COMPLEX64', 8],
  ['DT_INT64', 9],
  ['DT_BOOL', 10],
  ['DT_BFLOAT16', 14],
  ['DT_UINT16', 17],
  ['DT_HALF', 19],
  ['DT_UINT32', 22],
  ['DT_UINT64', 23],
]);
const OUR_NAMES = new Map([
  ['DT_FLOAT', 'float32'],
  ['DT_DOUBLE', 'float64'],
  ['DT_HALF', 'float16'],
]);

/**
 * dtype name of a signature entry; an unknown one keeps TensorFlow's name, for the message that refuses it.
 * @param {string | number} dataType
 */
export function dtypeOf(dataType) {
  const byNumber = [...DATA_TYPES].find(([, number]) => number === dataType);
  const name = byNumber ? byNumber[0] : String(dataType);
  return OUR_NAMES.get(name) ?? name.replace(/^DT_/, '').toLowerCase();
}

/**
 * @param {SignatureEntry} entry
 * @returns {(number | null)[] | null}
 */
export function shapeOf({ tensorShape }) {
  if (tensorShape === undefined || tensorShape.unknownRank) return null;
  // protobuf's JSON leaves out a size of 0
  return (tensorShape.dim ?? []).map(({ size }) => (Number(size ?? 0) < 0 ? null : Number(size ?? 0)));
}
