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
 * @typedef {{signatures: Signature[], subgraphs: TfliteTensor[][]}} TfliteFile
 */
import { WorkerError } from './runtime.mjs';

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
    const subgraphs = model.tables(2).map((subgraph) => subgraph.tables(0).map(readTensor));
    const signatures = model.tables(7).map((signature) => ({
      key: signature.text(2),
      subgraph: signature.number(4),
      inputs: readTensorMap(signature.tables(0)),
      outputs: readTensorMap(signature.tables(1)),
    }));
    for (const { key, subgraph, inputs, outputs } of signatures) {
      const tensors = subgraphs[subgraph] ?? [];
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
 * A copy of the file in which the given tensors have concrete shapes.
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
   * @param {'Int8' | 'Uint32'} kind
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
