/**
 * Read what a .tflite file says about its signatures, tensors and ops, without a flatbuffers library.
 *
 * LiteRT.js tells names and dtypes but not what is dynamic or constant, which decides how a model can be run at all
 * (`tflite-shapes.mjs`). The walk follows schema.fbs of https://github.com/google-ai-edge/LiteRT; field numbers are
 * given where they are used.
 *
 * @typedef {{name: string, dtype: string, shape: (number | null)[], constant: boolean,
 *   at: {shape: number, signature: number}}} TfliteTensor
 *   `at`: byte offsets of the vectors `shape` and `shape_signature`, 0 where absent
 * @typedef {{code: number, inputs: number[], outputs: number[]}} Op `code`: schema.fbs BuiltinOperator
 * @typedef {{key: string, subgraph: number, inputs: Map<string, number>, outputs: Map<string, number>,
 *   at: {outputs: number}}} Signature
 *   names -> indices into the tensors of the subgraph, in the file's order; `at`: byte offset of the vector, or 0
 * @typedef {{tensors: TfliteTensor[], inputs: number[], outputs: number[], ops: Op[], at: {outputs: number}}} Subgraph
 * @typedef {{signatures: Signature[], subgraphs: Subgraph[]}} TfliteFile
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
    if (String.fromCharCode(...bytes.subarray(4, 8)) !== 'TFL3')
      throw new RangeError("the identifier 'TFL3' is missing");
    const model = new Table(bytes).root();
    // data in place, or (in files over 2 GB) at an offset behind the flatbuffer
    const filled = model.tables(4).map((buffer) => buffer.length(0) > 0 || buffer.number(1) > 1);
    // an old file has the op's number only in the byte that newer ones cap at 127
    const codes = model.tables(1).map((code) => Math.max(code.number(0, 'Int8'), code.number(3, 'Int32')));
    const subgraphs = model.tables(2).map((subgraph) => ({
      tensors: subgraph.tables(0).map((tensor) => readTensor(tensor, filled)),
      inputs: subgraph.integers(subgraph.vector(1)),
      outputs: subgraph.integers(subgraph.vector(2)),
      ops: subgraph.tables(3).map((operator) => ({
        code: codes[operator.number(0)],
        inputs: operator.integers(operator.vector(1)),
        outputs: operator.integers(operator.vector(2)),
      })),
      at: { outputs: subgraph.vector(2) },
    }));
    const signatures = model.tables(7).map((signature) => ({
      key: signature.text(2),
      subgraph: signature.number(4),
      inputs: readTensorMap(signature.tables(0)),
      outputs: readTensorMap(signature.tables(1)),
      at: { outputs: signature.vector(1) },
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
    throw new WorkerError('not-a-tflite-model', `${where} is not a readable .tflite file: ${error.message}`, {
      cause: error,
    });
  }
}

/**
 * @param {Table} table schema.fbs: Tensor
 * @param {boolean[]} filled which buffers hold data
 * @returns {TfliteTensor}
 */
function readTensor(table, filled) {
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
    constant: filled[table.number(2)] ?? false,
    at,
  };
}

/** @param {Table[]} tables schema.fbs: TensorMap */
function readTensorMap(tables) {
  const map = new Map(tables.map((entry) => [entry.text(0), entry.number(1)]));
  if (map.size !== tables.length) throw new RangeError('a signature has two inputs or two outputs of one name');
  return map;
}

/**
 * The names of a signature's side, in the order of the subgraph's own list: that of a caller who goes by index.
 * @param {ReadonlyMap<string, number>} names of the signature -> tensors
 * @param {readonly number[]} places the subgraph's inputs or outputs
 * @returns {[string, number][]} two names of one tensor have two places
 */
export function inPosition(names, places) {
  const left = new Map(names);
  /** @type {[string, number][]} */
  const ordered = [];
  for (const place of places) {
    const found = [...left].find(([, index]) => index === place);
    if (found === undefined) continue;
    ordered.push(found);
    left.delete(found[0]);
  }
  return [...ordered, ...left];
}

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

  /** @param {number} field a vector */
  length(field) {
    const start = this.vector(field);
    return start && this.#view.getUint32(start, true);
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
    if (start + 4 + length * size > this.#bytes.length)
      throw new RangeError(`a vector of ${length} elements leaves the file`);
    return Array.from({ length }, (_, i) => read(start + 4 + i * size));
  }
}
