/**
 * Declared dtypes are proved, not believed: per runtime and dtype an identity model, fed with random bits and every
 * special value, must give them back bit for bit; what is not declared must be refused with a reason.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { DTYPES, bytesOf, fromBytes } from '../src/tensor.mjs';
import { Worker, sample, vector } from './harness.mjs';

/** @typedef {import('../src/tensor.mjs').Tensor} Tensor */

const RUNTIMES = {
  'tfjs-node-cpu': { format: 'tfjs-graph', file: (/** @type {string} */ dtype) => `${dtype}/model.json` },
  'tfjs-node-wasm': { format: 'tfjs-graph', file: (/** @type {string} */ dtype) => `${dtype}/model.json` },
  'onnxruntime-node': { format: 'onnx', file: (/** @type {string} */ dtype) => `${dtype}.onnx` },
  'litert-node': { format: 'tflite', file: (/** @type {string} */ dtype) => `${dtype}.tflite` },
};

/**
 * Equal bit for bit, except that a NaN may change its payload.
 * @param {Tensor | undefined} found
 * @param {Tensor} expected
 */
function assertSame(found, expected) {
  assert.ok(found);
  assert.equal(found.dtype, expected.dtype);
  assert.deepEqual(found.shape, expected.shape);
  if (expected.dtype === 'string') return assert.deepEqual(found.data, expected.data);
  const [a, b] = [found, expected].map((tensor) => /** @type {Float32Array} */ (tensor.data));
  for (let i = 0; i < b.length; i++) {
    if (Number.isNaN(b[i])) assert.ok(Number.isNaN(a[i]), `element ${i}`);
    else
      assert.deepEqual(bytesOf(a.subarray(i, i + 1)), bytesOf(b.subarray(i, i + 1)), `element ${i}: ${a[i]}, ${b[i]}`);
  }
}

/**
 * `sample` without what a runtime is documented to refuse: texts with NUL are cut by onnxruntime-node.
 * @param {string} runtime
 * @param {string} dtype
 * @returns {Tensor}
 */
function feedFor(runtime, dtype) {
  const feed = sample(dtype);
  if (dtype === 'string' && runtime === 'onnxruntime-node') {
    return {
      dtype,
      shape: feed.shape,
      data: /** @type {Uint8Array[]} */ (feed.data).map((bytes) => bytes.filter((byte) => byte !== 0)),
    };
  }
  return feed;
}

for (const [runtime, { format, file }] of Object.entries(RUNTIMES)) {
  const worker = new Worker([runtime]);
  after(() => worker.bye());
  const hello = worker.hello(runtime);

  for (const dtype of [...DTYPES.keys(), 'string']) {
    test(`${runtime}: ${dtype}`, async () => {
      const { dtypes, casts } = (await hello).ok;
      const artifact = vector(`identity/${format}/${file(dtype)}`);
      assert.ok(existsSync(artifact));
      const loaded = await worker.load(artifact, format);
      if (!dtypes.includes(dtype) && !(dtype in casts)) {
        assert.match(loaded.unsupported.reason, new RegExp(dtype));
        return;
      }
      assert.deepEqual(loaded.ok.inputs, [{ name: 'x', dtype, shape: [null, 3] }]);
      const { handle } = loaded.ok;
      if (dtypes.includes(dtype)) {
        const feed = feedFor(runtime, dtype);
        for (let i = 0; i < 2; i++) assertSame((await worker.run(handle, { x: feed })).outputs?.get('y'), feed);
      } else {
        const extremes = extremesOf(dtype);
        const expected = Int32Array.from(/** @type {Int8Array} */ (extremes.data), Number);
        const { outputs } = await worker.run(handle, { x: extremes });
        assertSame(outputs?.get('y'), { dtype: 'int32', shape: extremes.shape, data: expected });
      }
      assert.ok((await worker.ask('unload', { handle })).ok);
    });
  }

  test(`${runtime}: hello declares every dtype once`, async () => {
    const { dtypes, casts } = (await hello).ok;
    assert.equal(new Set([...dtypes, ...Object.keys(casts)]).size, dtypes.length + Object.keys(casts).length);
    for (const to of Object.values(casts)) assert.ok(dtypes.includes(to));
  });
}

/**
 * The values of an integer dtype that are hardest to fit into int32.
 * @param {string} dtype
 * @returns {Tensor}
 */
function extremesOf(dtype) {
  if (dtype === 'int64') {
    return { dtype, shape: [1, 3], data: BigInt64Array.from([-(2n ** 31n), 2n ** 31n - 1n, 0n]) };
  }
  const { size } = /** @type {import('../src/tensor.mjs').DtypeInfo} */ (DTYPES.get(dtype));
  const bytes = Buffer.alloc(6 * size);
  bytes.fill(0xff, 0, size);
  bytes[2 * size - 1] = 0x80;
  bytes.fill(0xff, 2 * size, 3 * size);
  bytes[3 * size - 1] = 0x7f;
  return fromBytes(dtype, [2, 3], bytes);
}

test('an int64 beyond int32 is refused with the value', async () => {
  const worker = new Worker(['tfjs-node-cpu']);
  const { ok } = await worker.load(vector('identity/tfjs-graph/int64/model.json'), 'tfjs-graph');
  for (const value of [2n ** 31n, -(2n ** 31n) - 1n]) {
    /** @type {Tensor} */
    const x = { dtype: 'int64', shape: [1, 3], data: BigInt64Array.from([0n, value, 0n]) };
    const { reason } = (await worker.run(ok.handle, { x })).unsupported;
    assert.ok(reason.includes(`holds ${value} (element 1)`), reason);
  }
  await worker.bye();
});

test('onnxruntime-node refuses strings it would change', async () => {
  const worker = new Worker(['onnxruntime-node']);
  const { ok } = await worker.load(vector('identity/onnx/string.onnx'), 'onnx');
  for (const [bytes, message] of /** @type {[number[], RegExp][]} */ ([
    [[0xff, 0xfe], /not UTF-8 \(element 1\)/],
    [[97, 0, 98], /NUL byte \(element 1\)/],
  ])) {
    const data = [Uint8Array.of(97), Uint8Array.from(bytes), new Uint8Array()];
    assert.match(
      (await worker.run(ok.handle, { x: { dtype: 'string', shape: [1, 3], data } })).unsupported.reason,
      message,
    );
  }
  await worker.bye();
});

test('TF.js passes strings that are not UTF-8', async () => {
  for (const runtime of ['tfjs-node-cpu', 'tfjs-node-wasm']) {
    const worker = new Worker([runtime]);
    const { ok } = await worker.load(vector('identity/tfjs-graph/string/model.json'), 'tfjs-graph');
    /** @type {Tensor} */
    const x = {
      dtype: 'string',
      shape: [1, 3],
      data: [[0xff, 0, 0x80], [], [0xed, 0xa0, 0x80]].map((b) => Uint8Array.from(b)),
    };
    assertSame((await worker.run(ok.handle, { x })).outputs?.get('y'), x);
    await worker.bye();
  }
});
