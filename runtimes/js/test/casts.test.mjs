/** Declared casts: every value that fits arrives, and one that does not is refused and never another number. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TO_INT32, cast } from '../src/casts.mjs';
import { Unsupported } from '../src/runtime.mjs';

/** @param {bigint[]} values @returns {import('../src/tensor.mjs').Tensor} */
const int64 = (...values) => ({ dtype: 'int64', shape: [values.length], data: new BigInt64Array(values) });

test('the ends of int32 fit and their neighbours do not', () => {
  const ends = [-(2n ** 31n), -1n, 0n, 2n ** 31n - 1n];
  const found = cast('n', int64(...ends), 'int32');
  assert.deepEqual([...found.data], ends.map(Number));
  assert.deepEqual([found.dtype, found.shape], ['int32', [4]]);
  for (const [at, beyond] of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 32n].entries()) {
    const values = Array(4).fill(7n).with(at, beyond);
    assert.throws(
      () => cast('n', int64(...values), 'int32'),
      (error) => error instanceof Unsupported && error.message.includes(`holds ${beyond} (element ${at})`),
    );
  }
});

test('narrower integers keep their sign', () => {
  const bytes = { dtype: 'int8', shape: [3], data: new Int8Array([-128, -1, 127]) };
  assert.deepEqual([...cast('n', bytes, 'int32').data], [-128, -1, 127]);
  const wide = { dtype: 'uint16', shape: [2], data: new Uint16Array([0, 65535]) };
  assert.deepEqual([...cast('n', wide, 'int32').data], [0, 65535]);
});

test('there is no cast that is not declared', () => {
  const floats = { dtype: 'float32', shape: [1], data: new Float32Array([0.5]) };
  assert.throws(() => cast('n', floats, 'int32'), /no cast from float32 to int32/);
  assert.throws(() => cast('n', int64(1n), 'float32'), /no cast from int64 to float32/);
  assert.ok(!('uint32' in TO_INT32) && !('uint64' in TO_INT32));
});
