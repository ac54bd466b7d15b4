/**
 * Tensors in memory: the dtype table shared by the codec, the casts and every runtime of this directory.
 *
 * Names and storage tags are those of `exporter/tensors.py`. JavaScript has no typed arrays for float16, bfloat16,
 * bool and complex64, so those are carried as raw bits and nobody here interprets them.
 */

/**
 * @typedef {Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array
 *   | Float64Array | BigInt64Array | BigUint64Array} Bits
 * @typedef {{dtype: string, shape: number[], data: Bits}} NumericTensor
 * @typedef {{dtype: 'string', shape: number[], data: Uint8Array[]}} StringTensor
 * @typedef {NumericTensor | StringTensor} Tensor
 * @typedef {{tag: string, size: number, array: new (buffer: ArrayBuffer) => Bits}} DtypeInfo
 */

/**
 * dtype name -> safetensors tag, bytes per element, and the array its elements live in. complex64 is two float32
 * per element (real, imaginary); "string" is not here: it has no fixed-size storage.
 * @type {ReadonlyMap<string, DtypeInfo>}
 */
export const DTYPES = new Map([
  ['bool', { tag: 'BOOL', size: 1, array: Uint8Array }],
  ['uint8', { tag: 'U8', size: 1, array: Uint8Array }],
  ['int8', { tag: 'I8', size: 1, array: Int8Array }],
  ['uint16', { tag: 'U16', size: 2, array: Uint16Array }],
  ['int16', { tag: 'I16', size: 2, array: Int16Array }],
  ['float16', { tag: 'F16', size: 2, array: Uint16Array }],
  ['bfloat16', { tag: 'BF16', size: 2, array: Uint16Array }],
  ['uint32', { tag: 'U32', size: 4, array: Uint32Array }],
  ['int32', { tag: 'I32', size: 4, array: Int32Array }],
  ['float32', { tag: 'F32', size: 4, array: Float32Array }],
  ['uint64', { tag: 'U64', size: 8, array: BigUint64Array }],
  ['int64', { tag: 'I64', size: 8, array: BigInt64Array }],
  ['float64', { tag: 'F64', size: 8, array: Float64Array }],
  ['complex64', { tag: 'C64', size: 8, array: Float32Array }],
]);

/**
 * The number of elements of a shape.
 * @param {readonly number[]} shape
 */
export const count = (shape) => shape.reduce((product, dim) => product * dim, 1);

/**
 * The bytes under a typed array, without copying and without passing through numbers.
 * @param {ArrayBufferView} view
 */
export const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/**
 * A numeric tensor over a copy of raw little-endian bytes.
 *
 * The copy is needed twice over: typed arrays demand alignment, and Node's pooled buffers would be shared.
 * @param {string} dtype
 * @param {number[]} shape
 * @param {Uint8Array} bytes
 * @returns {NumericTensor}
 */
export function fromBytes(dtype, shape, bytes) {
  const info = DTYPES.get(dtype);
  if (info === undefined) throw new TypeError(`dtype ${dtype} is not one of ${[...DTYPES.keys()].join(', ')}`);
  const expected = count(shape) * info.size;
  if (bytes.byteLength !== expected) {
    throw new RangeError(`${dtype}[${shape}] takes ${expected} bytes, found ${bytes.byteLength}`);
  }
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return { dtype, shape, data: new info.array(copy.buffer) };
}

/**
 * `dtype[2,3]`, for messages.
 * @param {string} dtype
 * @param {readonly (number | null)[] | null} shape
 */
export const describe = (dtype, shape) =>
  `${dtype}[${shape === null ? 'unknown rank' : shape.map((dim) => dim ?? '?').join(',')}]`;
