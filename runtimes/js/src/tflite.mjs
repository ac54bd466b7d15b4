/**
 * Read and specialise .tflite files, without a flatbuffers library.
 *
 * LiteRT.js runs a model only at the exact shapes its file states: a -1 (dynamic dimension) is refused or, at its
 * lower level, reads out of bounds. The dimensions are plain int32 fields, so a concrete file is the same file with
 * numbers written over each -1. The walk follows
 * https://github.com/google-ai-edge/LiteRT (tflite/converter/schema/schema.fbs); field numbers are given where used.
 *
 * @typedef {{name: string, dtype: string, shape: (number | null)[], at: {shape: number, signature: number}}} TfliteTensor
 *   `at`: byte offsets of the vectors `shape` and `shape_signature`, 0 where absent
 * @typedef {{key: string, subgraph: number, inputs: Map<string, number>, outputs: Map<string, number>}} Signature
 *   names -> indices into the tensors of the subgraph
 * @typedef {{tensors: TfliteTensor[], ops: Set<number>}} Subgraph `ops`: schema.fbs BuiltinOperator
 * @typedef {{signatures: Signature[], subgraphs: Subgraph[]}} TfliteFile
 */
import { Unsupported, WorkerError } from './runtime.mjs';

// schema.fbs: enum BuiltinOperator
const SHAPE = 77;
const RANGE = 96;
const UNIQUE = 103;
const WHERE = 109;

// schema.fbs: enum TensorType
const TYPES = [
  ...['float32', 'float16', 'int32', 'uint8', 'int64', 'string', 'bool', 'int16', 'complex64', 'int8', 'float64'],
  ...['complex128', 'uint64', 'resource', 'variant', 'uint32', 'uint16', 'int4', 'bfloat16'],
];

/**
 * @param {Uint8Array} bytes
 * @param {string} where what to call the file in messages
 * @returns {TfliteFile}
 * @throws {WorkerError} `not-a-tflite-model`
 */
export function readTflite(bytes, where) {
  try {
    if (String.fromCharCode(...bytes.subarray(4, 8)) !== 'TFL3') throw new RangeError("the identifier 'TFL3' is missing");
    const model = new Table(bytes).root();
    // an old file has the op's number only in the byte that newer ones cap at 127
    const codes = model.tables(1).map((code) => Math.max(code.number(0, 'Int8'), code.number(3, 'Int32')));
    const subgraphs = model.tables(2).map((subgraph) => ({
      tensors: subgraph.tables(0).map(readTensor),
      ops: new Set(subgraph.tables(3).map((operator) => codes[operator.number(0)])),
    }));
    const signatures = model.tables(7).map((signature) => ({
      key: signature.text(2),
      subgraph: signature.number(4),
      inputs: readTensorMap(signature.tables(0)),
      outputs: readTensorMap(signature.tables(1)),
    }));
    for (const { key, subgraph, inputs, outputs } of signatures) {
      const tensors = subgraphs[subgraph]?.tensors ?? [];
      for (const [name, index] of [...inputs, ...outputs]) {
        if (tensors[index] === undefined) throw new RangeError(`signature '${key}' maps '${name}' to no tensor`);
      }
    }
    return { signatures, subgraphs };
  } catch (error) {
    // DataView raises RangeError for every offset outside the file
    if (!(error instanceof RangeError)) throw error;
    throw new WorkerError('not-a-tflite-model', `${where} is not a readable .tflite file: ${error.message}`, { cause: error });
  }
}

/**
 * Which tensors must be made concrete for a set of input shapes.
 *
 * The inputs are enough where LiteRT can derive every other shape before it runs; an output shape written into the
 * file that is wrong would yield garbage instead of an error. A model that computes shapes while it runs (Keras'
 * Flatten and attention do) keeps the sizes that the file states for what follows, so there every leading -1 is the
 * batch. What neither covers is refused: LiteRT.js would answer with garbage or a trap.
 * @param {TfliteFile} file
 * @param {Signature} signature
 * @param {ReadonlyMap<string, readonly number[]>} inputs shapes by name
 * @returns {Map<TfliteTensor, readonly number[]>}
 * @throws {Unsupported}
 */
export function concreteShapes(file, signature, inputs) {
  const { tensors } = file.subgraphs[signature.subgraph];
  const fed = new Map([...inputs].map(([name, shape]) => [tensors[/** @type {number} */ (signature.inputs.get(name))], shape]));
  const dynamic = [...fed].filter(([tensor]) => tensor.shape.includes(null));
  const ops = new Set(file.subgraphs.flatMap((subgraph) => [...subgraph.ops]));
  if (dynamic.length === 0) return fed;
  if (ops.has(UNIQUE) || ops.has(WHERE)) {
    throw new Unsupported(`the model has dynamic dimensions and outputs sized by values (WHERE or UNIQUE), ${INSTEAD}`);
  }
  if (!ops.has(SHAPE) && !ops.has(RANGE)) return fed;
  const batches = new Set(dynamic.map(([, shape]) => shape[0]));
  const leading = dynamic.every(([tensor]) => tensor.shape.indexOf(null) === 0 && tensor.shape.lastIndexOf(null) === 0);
  if (!leading || batches.size !== 1) {
    throw new Unsupported(`the model computes shapes from dynamic dimensions other than one common batch, ${INSTEAD}`);
  }
  const [batch] = batches;
  const led = file.subgraphs.flatMap((subgraph) => subgraph.tensors).filter(({ shape }) => shape[0] === null);
  return new Map([...led.map((tensor) => /** @type {const} */ ([tensor, [batch]])), ...fed]);
}

const INSTEAD = 'which LiteRT.js cannot run; export it with static shapes';

/**
 * A copy of the file in which the given tensors have concrete leading dimensions (usually all of them).
 * @param {Uint8Array} bytes
 * @param {ReadonlyMap<TfliteTensor, readonly number[]>} shapes
 */
export function specialise(bytes, shapes) {
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  for (const [{ at }, shape] of shapes) {
    for (const start of [at.shape, at.signature]) {
      // a vector is its length and then its elements
      if (start) shape.forEach((dim, i) => view.setInt32(start + 4 + 4 * i, dim, true));
    }
  }
  return copy;
}

/**
 * @param {Table} table schema.fbs: Tensor
 * @returns {TfliteTensor}
 */
function readTensor(table) {
  const type = table.number(1, 'Int8');
  const at = { shape: table.vector(0), signature: table.vector(7) };
  const declared = table.integers(at.signature || at.shape);
  if (at.shape && at.signature && table.integers(at.shape).length !== declared.length) {
    throw new RangeError(`tensor '${table.text(3)}' has a shape and a shape signature of different ranks`);
  }
  return {
    name: table.text(3),
    dtype: TYPES[type] ?? `TFLite type ${type}`,
    shape: declared.map((dim) => (dim < 0 ? null : dim)),
    at,
  };
}

/** @param {Table[]} tables schema.fbs: TensorMap */
const readTensorMap = (tables) => new Map(tables.map((entry) => [entry.text(0), entry.number(1)]));

/** One flatbuffers table: a start, and a vtable that says at which offset each field lies. */
class Table {
  #bytes;
  #view;
  #start;

  /**
   * @param {Uint8Array} bytes
   * @param {number} start
   */
  constructor(bytes, start = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#start = start;
  }

  root() {
    return new Table(this.#bytes, this.#follow(0));
  }

  /** @param {number} position of a relative, unsigned offset */
  #follow(position) {
    return position + this.#view.getUint32(position, true);
  }

  /**
   * Where a field's value lies, or 0 if the table leaves it at its default.
   * @param {number} field
   */
  #field(field) {
    const vtable = this.#start - this.#view.getInt32(this.#start, true);
    const slot = 4 + 2 * field;
    const offset = slot < this.#view.getUint16(vtable, true) ? this.#view.getUint16(vtable + slot, true) : 0;
    return offset && this.#start + offset;
  }

  /**
   * @param {number} field
   * @param {'Int8' | 'Int32' | 'Uint32'} kind
   */
  number(field, kind = 'Uint32') {
    const at = this.#field(field);
    return at && this.#view[`get${kind}`](at, true);
  }

  /**
   * Start of a vector, or 0.
   * @param {number} field
   */
  vector(field) {
    const at = this.#field(field);
    return at && this.#follow(at);
  }

  /** @param {number} start of a vector of int32, or 0 */
  integers(start) {
    return this.#elements(start, 4, (at) => this.#view.getInt32(at, true));
  }

  /** @param {number} field */
  tables(field) {
    return this.#elements(this.vector(field), 4, (at) => new Table(this.#bytes, this.#follow(at)));
  }

  /** @param {number} field */
  text(field) {
    const start = this.vector(field);
    const bytes = this.#elements(start, 1, (at) => this.#view.getUint8(at));
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }

  /**
   * @template T
   * @param {number} start
   * @param {number} size
   * @param {(at: number) => T} read
   * @returns {T[]}
   */
  #elements(start, size, read) {
    if (start === 0) return [];
    const length = this.#view.getUint32(start, true);
    if (start + 4 + length * size > this.#bytes.length) throw new RangeError(`a vector of ${length} elements leaves the file`);
    return Array.from({ length }, (_, i) => read(start + 4 + i * size));
  }
}
