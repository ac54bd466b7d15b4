/**
 * Tensors as safetensors files, bit for bit: the JavaScript twin of `exporter/tensors.py`, held to the same bytes by
 * `tests/vectors`.
 *
 * Why our own: the file must come out identical from Python, JavaScript and the JVM, carry strings, and move bytes
 * rather than numbers (a float32 that passes through a JavaScript number loses its signalling-NaN bit).
 * Format: https://huggingface.co/docs/safetensors (8-byte little-endian header length, JSON header, raw data).
 *
 * Strings are bytes: tensor `x` is stored as `x#bytes` (U8) and `x#offsets` (I64, n+1 entries), its shape as a JSON
 * list under `x#shape` in `__metadata__`.
 *
 * @typedef {import('./tensor.mjs').Tensor} Tensor
 * @typedef {import('./tensor.mjs').NumericTensor} NumericTensor
 * @typedef {{dtype: string, shape: number[], data_offsets: [number, number]}} Entry
 */
import { DTYPES, bytesOf, count, fromBytes } from './tensor.mjs';

/** A file is not a readable safetensors file, or a tensor cannot be stored in one. */
export class TensorFileError extends Error {
  name = 'TensorFileError';
}

const MAX_HEADER = 100_000_000; // the limit of the reference implementation
const BY_TAG = new Map([...DTYPES].map(([name, info]) => [info.tag, name]));

/**
 * Order by Unicode code point, as Python sorts; JavaScript's `<` compares UTF-16 units and puts U+1F600 before U+FF00.
 * @param {string} a
 * @param {string} b
 */
const byCodePoint = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/**
 * Serialize named tensors to one safetensors byte string.
 * @param {ReadonlyMap<string, Tensor>} tensors
 * @returns {Uint8Array}
 * @throws {TensorFileError} reserved name, unknown dtype, or data that does not fill the shape
 */
export function dumps(tensors) {
  /** @type {{name: string, size: number, tag: string, shape: readonly number[], bytes: Uint8Array}[]} */
  const plain = [];
  /** @type {string[]} */
  const metadata = [];
  for (const [name, tensor] of tensors) {
    if (name.includes('#') || name === '__metadata__') throw new TensorFileError(`tensor name '${name}' is reserved`);
    if (tensor.dtype === 'string') {
      const strings = /** @type {Uint8Array[]} */ (tensor.data);
      if (strings.length !== count(tensor.shape)) {
        throw new TensorFileError(`tensor '${name}': ${strings.length} strings for shape [${tensor.shape}]`);
      }
      const offsets = new BigInt64Array(strings.length + 1);
      strings.forEach((value, i) => (offsets[i + 1] = offsets[i] + BigInt(value.length)));
      const joined = Buffer.concat(strings);
      plain.push({ name: `${name}#bytes`, size: 1, tag: 'U8', shape: [joined.length], bytes: joined });
      plain.push({ name: `${name}#offsets`, size: 8, tag: 'I64', shape: [offsets.length], bytes: bytesOf(offsets) });
      metadata.push(`${JSON.stringify(`${name}#shape`)}:${JSON.stringify(`[${tensor.shape.join(', ')}]`)}`);
    } else {
      const info = DTYPES.get(tensor.dtype);
      if (info === undefined) throw new TensorFileError(`tensor '${name}' has unknown dtype '${tensor.dtype}'`);
      const bytes = bytesOf(/** @type {NumericTensor} */ (tensor).data);
      if (bytes.length !== count(tensor.shape) * info.size) {
        throw new TensorFileError(
          `tensor '${name}': ${bytes.length} bytes for shape [${tensor.shape}] of ${tensor.dtype}`,
        );
      }
      plain.push({ name, size: info.size, tag: info.tag, shape: tensor.shape, bytes });
    }
  }
  // largest items first, then by name: every tensor starts at a multiple of its item size
  plain.sort((a, b) => b.size - a.size || byCodePoint(a.name, b.name));
  // the header is written by hand because JavaScript objects move integer-like keys ("0") to the front
  const header = metadata.length ? [`"__metadata__":{${metadata.join(',')}}`] : [];
  let position = 0;
  for (const { name, tag, shape, bytes } of plain) {
    const end = position + bytes.length;
    header.push(`${JSON.stringify(name)}:{"dtype":"${tag}","shape":[${shape}],"data_offsets":[${position},${end}]}`);
    position = end;
  }
  const text = Buffer.from(`{${header.join(',')}}`);
  const padding = (8 - (text.length % 8)) % 8;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length + padding));
  return Buffer.concat([length, text, Buffer.alloc(padding, ' '), ...plain.map((p) => p.bytes)]);
}

/**
 * Parse one safetensors byte string.
 * @param {Uint8Array} data
 * @param {string} where what to call the data in messages, usually the file's path
 * @returns {Map<string, Tensor>}
 * @throws {TensorFileError} truncated, holes, overlaps, unknown dtype, or a broken string pair
 */
export function loads(data, where = 'tensor data') {
  const { entries, metadata, body } = readHeader(data, where);
  /** @type {Map<string, NumericTensor>} */
  const raw = new Map();
  let position = 0;
  for (const { name, dtype, shape, begin, end } of entries) {
    const size = /** @type {import('./tensor.mjs').DtypeInfo} */ (DTYPES.get(dtype)).size;
    const expected = position + count(shape) * size;
    if (begin !== position || end !== expected || end > body.length) {
      throw new TensorFileError(
        `${where}: tensor '${name}' of ${dtype}[${shape}] occupies bytes ${begin}..${end} of ${body.length}, ` +
          `expected ${position}..${expected}`,
      );
    }
    raw.set(name, fromBytes(dtype, shape, body.subarray(begin, end)));
    position = end;
  }
  if (position !== body.length) {
    throw new TensorFileError(`${where}: ${body.length - position} bytes after the last tensor`);
  }
  /** @type {Map<string, Tensor>} */
  const out = new Map();
  for (const [name, tensor] of raw) {
    const [base, part] = name.split('#', 2);
    if (part === undefined) out.set(name, tensor);
    else if (part === 'bytes') {
      out.set(base, joinStrings(base, tensor, raw.get(`${base}#offsets`), metadata[`${base}#shape`], where));
    } else if (part !== 'offsets' || !raw.has(`${base}#bytes`)) {
      throw new TensorFileError(`${where}: '${name}' is not part of a string tensor ('#bytes' with '#offsets')`);
    }
  }
  return out;
}

/**
 * Split and check everything that precedes the data; entries come back in file order.
 * @param {Uint8Array} data
 * @param {string} where
 */
function readHeader(data, where) {
  if (data.length < 8) {
    throw new TensorFileError(`${where}: ${data.length} bytes is too short for a safetensors file`);
  }
  const size = new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0, true);
  if (size > BigInt(Math.min(MAX_HEADER, data.length - 8))) {
    throw new TensorFileError(`${where}: header of ${size} bytes does not fit into ${data.length} bytes`);
  }
  const start = 8 + Number(size);
  /** @param {unknown} why */
  const unreadable = (why) => new TensorFileError(`${where}: unreadable safetensors header (${why})`);
  /** @type {unknown} */
  let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(8, start)));
  } catch (error) {
    throw unreadable(error instanceof Error ? error.message : error);
  }
  if (!isObject(header)) throw unreadable('expected a JSON object');
  const metadata = /** @type {unknown} */ (header.__metadata__ ?? {});
  if (!isObject(metadata)) throw unreadable('__metadata__ is not an object');
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, info]) => {
      if (!isObject(info)) throw unreadable(`'${name}' is not an object`);
      const { shape, data_offsets: offsets } = info;
      const dtype = BY_TAG.get(String(info.dtype));
      if (dtype === undefined)
        throw new TensorFileError(`${where}: tensor '${name}' has unknown dtype '${info.dtype}'`);
      if (!isSizes(shape)) throw unreadable(`the shape of '${name}' is ${JSON.stringify(shape)}`);
      if (!isSizes(offsets) || offsets.length !== 2) {
        throw unreadable(`the data_offsets of '${name}' are ${JSON.stringify(offsets)}`);
      }
      return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
    })
    .sort((a, b) => a.begin - b.begin || a.end - b.end || byCodePoint(a.name, b.name));
  return { entries, metadata, body: data.subarray(start) };
}

/**
 * @param {string} name
 * @param {NumericTensor} data
 * @param {NumericTensor | undefined} offsets
 * @param {unknown} shapeText
 * @param {string} where
 * @returns {Tensor}
 */
function joinStrings(name, data, offsets, shapeText, where) {
  if (offsets === undefined || typeof shapeText !== 'string') {
    throw new TensorFileError(`${where}: string tensor '${name}' lacks its offsets or its shape`);
  }
  /** @type {unknown} */
  let shape;
  try {
    shape = JSON.parse(shapeText);
  } catch {
    shape = undefined;
  }
  if (!isSizes(shape)) throw new TensorFileError(`${where}: string tensor '${name}' has the shape '${shapeText}'`);
  if (data.dtype !== 'uint8' || offsets.dtype !== 'int64') {
    throw new TensorFileError(
      `${where}: string tensor '${name}' is stored as ${data.dtype} and ${offsets.dtype}, expected uint8 and int64`,
    );
  }
  const blob = /** @type {Uint8Array} */ (data.data);
  const bounds = Array.from(/** @type {BigInt64Array} */ (offsets.data), Number);
  const sorted = bounds.every((bound, i) => i === 0 || bounds[i - 1] <= bound);
  if (bounds.length !== count(shape) + 1 || bounds[0] !== 0 || bounds.at(-1) !== blob.length || !sorted) {
    throw new TensorFileError(`${where}: string tensor '${name}' has inconsistent offsets`);
  }
  return { dtype: 'string', shape, data: bounds.slice(1).map((end, i) => blob.slice(bounds[i], end)) };
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * True for a list of non-negative integers that JavaScript holds exactly.
 * @param {unknown} value
 * @returns {value is number[]}
 */
function isSizes(value) {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
