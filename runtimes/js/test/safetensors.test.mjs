/** The codec against the shared vectors: what Python wrote must come back from us byte for byte. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { TensorFileError, dumps, loads } from '../src/safetensors.mjs';
import { bytesOf } from '../src/tensor.mjs';

const VECTORS = new URL('../../../tests/vectors/', import.meta.url);
/** @type {{good: Record<string, {name: string, dtype: string, shape: number[], sha256: string}[]>, bad: Record<string, string>}} */
const INDEX = JSON.parse(readFileSync(new URL('vectors.json', VECTORS), 'utf8'));

/**
 * The bytes a vector's checksum is over: the data, or for strings the int64 offsets and then the bytes.
 * @param {import('../src/tensor.mjs').Tensor} tensor
 */
function rawBytes(tensor) {
  if (tensor.dtype !== 'string') return bytesOf(/** @type {import('../src/tensor.mjs').NumericTensor} */ (tensor).data);
  const values = /** @type {Uint8Array[]} */ (tensor.data);
  const ends = new BigInt64Array(values.length + 1);
  values.forEach((value, i) => (ends[i + 1] = ends[i] + BigInt(value.length)));
  return Buffer.concat([bytesOf(ends), ...values]);
}

test('the index is not empty', () => {
  assert.ok(Object.keys(INDEX.good).length >= 9);
  assert.ok(Object.keys(INDEX.bad).length >= 40);
});

for (const [file, expected] of Object.entries(INDEX.good)) {
  test(`${file} is read and written back identically`, () => {
    const bytes = readFileSync(new URL(file, VECTORS));
    const tensors = loads(bytes, file);
    const found = [...tensors].map(([name, tensor]) => ({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      sha256: createHash('sha256').update(rawBytes(tensor)).digest('hex'),
    }));
    /** @param {{name: string}} a @param {{name: string}} b */
    const byName = (a, b) => (a.name < b.name ? -1 : 1);
    assert.deepEqual(found.sort(byName), [...expected].sort(byName));
    assert.deepEqual(Buffer.from(dumps(tensors)), bytes);
  });
}

for (const [file, why] of Object.entries(INDEX.bad)) {
  test(`${file} is refused: ${why}`, () => {
    const bytes = readFileSync(new URL(file, VECTORS));
    assert.throws(
      () => loads(bytes, file),
      (error) => error instanceof TensorFileError && error.message.includes(file),
    );
  });
}

test('every truncation of a file is refused', () => {
  const bytes = readFileSync(new URL('mixed.safetensors', VECTORS));
  for (let end = 0; end < bytes.length; end++) {
    assert.throws(() => loads(bytes.subarray(0, end)), TensorFileError, `${end} of ${bytes.length} bytes`);
  }
});

test('what cannot be stored is refused', () => {
  const data = new Uint8Array(3);
  const cases = /** @type {[string, any, RegExp][]} */ ([
    ['a#bytes', { dtype: 'uint8', shape: [3], data }, /reserved/],
    ['__metadata__', { dtype: 'uint8', shape: [3], data }, /reserved/],
    ['x', { dtype: 'uint8', shape: [4], data }, /3 bytes for shape \[4\]/],
    ['x', { dtype: 'int4', shape: [3], data }, /unknown dtype 'int4'/],
    ['x', { dtype: 'string', shape: [2], data: [data] }, /1 strings for shape \[2\]/],
  ]);
  for (const [name, tensor, message] of cases) assert.throws(() => dumps(new Map([[name, tensor]])), message);
});

test('tensors are copies: changing one does not change the file or its neighbours', () => {
  const bytes = readFileSync(new URL('dtypes.safetensors', VECTORS));
  const tensors = loads(bytes);
  /** @type {any} */ (tensors.get('uint8')).data.fill(0);
  assert.deepEqual(Buffer.from(dumps(loads(bytes))), bytes);
});
