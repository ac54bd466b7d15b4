/**
 * Make .tflite files runnable in LiteRT.js: concrete shapes for dynamic ones, outputs that are tensors of their own,
 * and a refusal where that cannot work.
 *
 * LiteRT.js runs a model at the shapes its file states. A -1 (dynamic dimension) in an input is refused; at the lower
 * level that we use, sizes that do not fit give garbage or a trap, rarely an error. The dimensions are plain int32
 * fields, so a concrete file is the same file with numbers written over each -1.
 *
 * @typedef {import('./tflite.mjs').Signature} Signature
 * @typedef {import('./tflite.mjs').TfliteFile} TfliteFile
 * @typedef {import('./tflite.mjs').TfliteTensor} TfliteTensor
 */
import { Unsupported } from './runtime.mjs';

const INSTEAD = 'which LiteRT.js cannot run; export it with static shapes';

// schema.fbs: enum BuiltinOperator
const TOPK_V2 = 48;
const TRANSPOSE_CONV = 67;
const SHAPE = 77;
const FILL = 94;
const RANGE = 96;
// CONCATENATION and GATHER
const PREPARED = new Set([2, 36]);
// the output's size follows from values
const SIZED_BY_VALUES = new Map([
  [103, 'UNIQUE'],
  [109, 'WHERE'],
]);
// the output's size follows from an integer operand, which is harmless only while that is a constant
const SIZED_BY_OPERAND = new Map([
  [22, 'RESHAPE'],
  [23, 'RESIZE_BILINEAR'],
  [34, 'PAD'],
  [39, 'TRANSPOSE'],
  [45, 'STRIDED_SLICE'],
  [TOPK_V2, 'TOPK_V2'],
  [60, 'PADV2'],
  [65, 'SLICE'],
  [TRANSPOSE_CONV, 'TRANSPOSE_CONV'],
  [69, 'TILE'],
  [70, 'EXPAND_DIMS'],
  [85, 'ONE_HOT'],
  [FILL, 'FILL'],
  [RANGE, 'RANGE'],
  [97, 'RESIZE_NEAREST_NEIGHBOR'],
  [130, 'BROADCAST_TO'],
]);

// the operand that says the size is the first one, not one of those behind the data
const SIZED_BY_FIRST = new Set([FILL, TRANSPOSE_CONV, RANGE]);

const CALLING = new Map([
  [118, 'IF'],
  [119, 'WHILE'],
]);

/**
 * Refuse a signature with an output whose size is only known while the model runs: LiteRT.js hands out a buffer of
 * the size that the file states, and the interpreter then writes somewhere else.
 * @param {TfliteFile} file
 * @param {Signature} signature
 * @throws {Unsupported} naming the output and the op
 */
export function checkOutputs(file, signature) {
  const subgraph = file.subgraphs[signature.subgraph];
  const { late } = sizedLate(subgraph);
  // a loop or branch that has one value sized late has no value of known size
  const inside = file.subgraphs.some((other) => other !== subgraph && endsLate(other));
  for (const { code, outputs } of inside ? subgraph.ops : []) {
    const calls = CALLING.get(code);
    if (calls) outputs.forEach((i) => late.set(i, calls));
  }
  for (const [name, index] of signature.outputs) {
    if (late.has(index)) {
      throw new Unsupported(
        `output '${name}' comes from a ${late.get(index)} whose size is computed while the model runs, ${INSTEAD}`,
      );
    }
  }
  const sized = subgraph.ops.find(({ code }) => SIZED_BY_VALUES.has(code));
  if (sized && [...signature.outputs.values()].some((index) => subgraph.tensors[index].shape.includes(null))) {
    throw new Unsupported(`the model's outputs are sized by values (${SIZED_BY_VALUES.get(sized.code)}), ${INSTEAD}`);
  }
}

/**
 * Tensors that get their size during a run, with the op that does it.
 *
 * The interpreter computes SHAPE, and GATHER and CONCATENATION of what it knows, when it prepares; other arithmetic on
 * shapes (Flatten's STRIDED_SLICE and PACK) waits for the run. Seen in LiteRT 2.5: tests hold the two apart.
 * @param {import('./tflite.mjs').Subgraph} subgraph
 * @returns {{late: Map<number, string>, afterLate: Set<number>}} the second: those, and what is computed from them
 */
function sizedLate({ tensors, ops }) {
  const known = new Set(tensors.flatMap(({ constant }, i) => (constant ? [i] : [])));
  /** @type {Set<number>} */
  const afterLate = new Set();
  /** @type {Map<number, string>} */
  const late = new Map();
  for (const { code, inputs, outputs } of ops) {
    const present = inputs.filter((i) => i >= 0);
    const follows = present.some((i) => afterLate.has(i));
    const operands = present.filter((i, k) => isInteger(tensors[i]) && (k > 0 || SIZED_BY_FIRST.has(code)));
    const computed = SIZED_BY_OPERAND.has(code) && operands.some((i) => !known.has(i));
    const opName = SIZED_BY_VALUES.get(code) ?? (computed ? SIZED_BY_OPERAND.get(code) : undefined);
    for (const i of outputs) {
      if (opName) late.set(i, opName);
      if (opName || follows) afterLate.add(i);
      else if (code === SHAPE || (PREPARED.has(code) && present.every((k) => known.has(k)))) known.add(i);
    }
  }
  return { late, afterLate };
}

/** @param {import('./tflite.mjs').Subgraph} subgraph */
function endsLate(subgraph) {
  const { afterLate } = sizedLate(subgraph);
  return subgraph.outputs.some((i) => afterLate.has(i));
}

/**
 * Which tensors must be made concrete for a set of input shapes.
 *
 * The inputs are enough where LiteRT can derive every other shape before it runs; an output shape written into the
 * file that is wrong would yield garbage. A model that computes shapes while it runs (Keras' Flatten and attention
 * do) keeps the sizes that the file states for what follows, so there every leading -1 is the batch. What neither
 * covers is refused.
 * @param {TfliteFile} file
 * @param {Signature} signature
 * @param {ReadonlyMap<string, readonly number[]>} inputs shapes by name
 * @returns {Map<TfliteTensor, readonly number[]>} leading dimensions, of the inputs all
 * @throws {Unsupported}
 */
export function concreteShapes(file, signature, inputs) {
  const { tensors } = file.subgraphs[signature.subgraph];
  const fed = new Map(
    [...inputs].map(([name, shape]) => [tensors[/** @type {number} */ (signature.inputs.get(name))], shape]),
  );
  const dynamic = [...fed].filter(([tensor]) => tensor.shape.includes(null));
  const computes = file.subgraphs.some(({ ops }) => ops.some(({ code }) => [SHAPE, RANGE, TOPK_V2].includes(code)));
  if (dynamic.length === 0 || !computes) return fed;
  const batches = new Set(dynamic.map(([, shape]) => shape[0]));
  const leading = dynamic.every(([tensor]) => tensor.shape.lastIndexOf(null) === 0);
  if (!leading || batches.size !== 1) {
    throw new Unsupported(`the model computes shapes from dynamic dimensions other than one common batch, ${INSTEAD}`);
  }
  const [batch] = batches;
  const led = file.subgraphs.flatMap((subgraph) => subgraph.tensors).filter(({ shape }) => shape[0] === null);
  return new Map([...led.map((tensor) => /** @type {const} */ ([tensor, [batch]])), ...fed]);
}

/**
 * A copy of the file in which the given tensors have the given leading dimensions.
 * @param {Uint8Array} bytes
 * @param {ReadonlyMap<TfliteTensor, readonly number[]>} shapes
 */
export function specialise(bytes, shapes) {
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  for (const [{ name, shape: declared, at }, shape] of shapes) {
    if (shape.length > declared.length)
      throw new RangeError(`tensor '${name}' has ${declared.length} dimensions, not ${shape.length}`);
    for (const start of [at.shape, at.signature]) {
      // a vector is its length and then its elements
      if (start) shape.forEach((dim, i) => view.setInt32(start + 4 + 4 * i, dim, true));
    }
  }
  return copy;
}

/**
 * The file without those outputs of a signature's subgraph that are inputs or were listed before.
 *
 * LiteRT.js makes a buffer for each listed output and moves the tensor there. An input so loses the values that were
 * fed, also for the ops that read it; a tensor listed twice gets two buffers and one name. A dropped output equals an
 * input or an output that is still there.
 * @param {Uint8Array} bytes
 * @param {TfliteFile} file
 * @param {Signature} signature
 * @returns {Uint8Array} `bytes`, or a copy with everything at the same offsets
 */
export function distinctOutputs(bytes, file, signature) {
  const { inputs, outputs, at } = file.subgraphs[signature.subgraph];
  const named = file.signatures.filter(({ subgraph }) => subgraph === signature.subgraph);
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  let dropped = false;
  /**
   * @param {number} vector where it starts: its length, then its elements
   * @param {number[]} tensors that the elements stand for
   * @param {number} drift what an element grows by for each place that it moves forward
   */
  const shorten = (vector, tensors, drift) => {
    const kept = [...tensors.keys()].filter((i) => !inputs.includes(tensors[i]) && tensors.indexOf(tensors[i]) === i);
    if (kept.length === tensors.length) return;
    dropped = true;
    view.setUint32(vector, kept.length, true);
    kept.forEach((from, to) => {
      const element = view.getUint32(vector + 4 + 4 * from, true) + drift * (from - to);
      view.setUint32(vector + 4 + 4 * to, element, true);
    });
  };
  shorten(at.outputs, outputs, 0);
  // tables are referred to by offsets from the element itself
  for (const { outputs: entries, at: start } of named) shorten(start.outputs, [...entries.values()], 4);
  return dropped ? copy : bytes;
}

/** @param {TfliteTensor} tensor */
const isInteger = ({ dtype }) => dtype === 'int32' || dtype === 'int64';
