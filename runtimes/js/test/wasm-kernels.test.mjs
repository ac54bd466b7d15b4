/**
 * The kernels that the wasm backend lends from cpu: wrong without, right with; so that a TF.js that heals shows.
 *
 * The module is used as a page would: it is given `tf`, and nothing else of this project is there.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WRONG } from '../src/wasm-kernels/borrowed.mjs';
import { installWasmKernels } from '../src/wasm-kernels/index.mjs';

const require = createRequire(import.meta.url);
/** @type {typeof import('@tensorflow/tfjs')} */
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');
wasm.setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}/`);

/** @typedef {import('@tensorflow/tfjs').Tensor} Tensor */

/** Numbers that no two places share, around zero. @param {number[]} shape */
const range = (shape) => tf.sub(tf.reshape(tf.range(0, tf.util.sizeFromShape(shape)), shape), 7.5);
/** @param {number[]} shape */
const bools = (shape) => tf.tensor(Array.from({ length: tf.util.sizeFromShape(shape) }, (_, i) => i % 3 > 0), shape, 'bool');
/** @param {Tensor} tensor @returns {any} of the rank that its operation asks for */
const any = (tensor) => tensor;
/** @param {number} channels */
const image = (channels) => any(range([1, 9, 9, channels]));
/** @param {number} channels @param {number} filters */
const filter = (channels, filters) => any(range([2, 2, channels, filters]));

// kernel -> calls that `WRONG` describes
/** @type {Record<string, (() => Tensor)[]>} */
const CALLS = {
  Cast: [() => tf.cast(tf.tensor([0.5, 256, 0, -1]), 'bool')],
  Conv2D: [() => tf.conv2d(image(1), filter(1, 2), 3, 'same')],
  Conv3DBackpropInputV2: [
    () => tf.conv3dTranspose(any(range([1, 3, 3, 3, 2])), any(range([2, 2, 2, 3, 2])), [1, 6, 6, 6, 3], 2, 'same'),
  ],
  DepthwiseConv2dNative: [() => tf.depthwiseConv2d(image(2), filter(2, 1), 3, 'same')],
  Equal: [() => tf.equal(tf.tensor(['a', 'b']), tf.tensor(['a', 'a']))],
  FusedConv2D: [() => tf.fused.conv2d({ x: image(1), filter: filter(1, 2), strides: 3, pad: 'same' })],
  FusedDepthwiseConv2D: [
    () => tf.fused.depthwiseConv2d({ x: image(2), filter: filter(2, 1), strides: 3, pad: 'same', activation: 'relu' }),
  ],
  GatherV2: [
    () => tf.gather(range([3, 3, 4]), tf.tensor([2, 0, 1, 1, 0, 2], [3, 2], 'int32'), 1, 1),
    () => tf.gather(range([2, 2, 3]), tf.tensor([2, 0, 1, 1], [2, 2], 'int32'), 2, 2),
  ],
  MaxPool3D: [() => tf.maxPool3d(any(tf.neg(range([1, 4, 4, 4, 2]))), 2, 2, 'valid')],
  NotEqual: [() => tf.notEqual(tf.tensor(['a', 'b']), tf.tensor(['a', 'a']))],
  OneHot: [() => tf.oneHot(tf.tensor([2, 0], [2], 'int32'), 3, 1, 0, 'float32')],
  Reverse: [() => tf.reverse(bools([4]), 0)],
  Select: [() => tf.where(bools([7]), bools([7]), tf.logicalNot(bools([7])))],
  StridedSlice: [
    () => tf.stridedSlice(bools([9]), [0], [9], [2]),
    () => tf.stridedSlice(tf.cast(range([3, 4]), 'int32'), [2, 0], [0, 4], [-1, 2]),
  ],
  _FusedMatMul: [
    () => tf.fused.matMul({ a: range([3, 4]), b: range([5, 4]), transposeB: true, bias: range([5]) }),
  ],
};

/** Kernels that the backend lacks, with a call of each. @type {Record<string, () => Tensor>} */
const LACKING = {
  UnsortedSegmentSum: () => tf.unsortedSegmentSum(range([4, 2]), tf.tensor1d([1, 0, 1, 2], 'int32'), 3),
  StaticRegexReplace: () => tf.string.staticRegexReplace(tf.tensor(['a b', 'c']), '[ ]', '_'),
};

/** @param {string} backend @param {() => Tensor} call @returns {Promise<{dtype: string, shape: number[], values: unknown[]}>} */
async function computed(backend, call) {
  await tf.setBackend(backend);
  const result = tf.tidy(call);
  const found = { dtype: result.dtype, shape: result.shape, values: [...(await result.data())] };
  result.dispose();
  return found;
}

const [kernelAlone, callAlone] = process.argv.slice(2);
if (kernelAlone) {
  // the backend's own kernel, in a process that its writes beyond a tensor's end cannot harm further
  console.log(JSON.stringify(await computed('wasm', CALLS[kernelAlone][Number(callAlone)])));
  process.exit();
}

/** What the backend computes without our module: nothing where it breaks. @param {string} kernel @param {number} i */
async function withoutModule(kernel, i) {
  const argv = [fileURLToPath(import.meta.url), kernel, String(i)];
  try {
    return JSON.parse((await promisify(execFile)(process.execPath, argv)).stdout);
  } catch {
    return undefined;
  }
}

const installed = installWasmKernels(tf);

describe('kernels lent to wasm', () => {
  test('each that is wrong has calls here, and is mended', () => {
    assert.deepEqual(Object.keys(CALLS).sort(), Object.keys(WRONG).sort());
    assert.deepEqual(installed.mended.sort(), Object.keys(WRONG).sort());
  });

  for (const [kernel, calls] of Object.entries(CALLS)) {
    test(`${kernel} ${WRONG[kernel].why}`, async () => {
      for (const [i, call] of calls.entries()) {
        const expected = await computed('cpu', call);
        assert.deepEqual(await computed('wasm', call), expected);
        assert.notDeepEqual(await withoutModule(kernel, i), expected, `TF.js ${tf.version.tfjs} is right in call ${i}`);
      }
    });
  }

  for (const [kernel, call] of Object.entries(LACKING)) {
    test(`${kernel}, which the backend lacks`, async () => {
      assert.ok(installed.lent.includes(kernel));
      assert.deepEqual(await computed('wasm', call), await computed('cpu', call));
    });
  }

  test('nothing is left in either backend', async () => {
    await tf.setBackend('wasm');
    const before = [tf.memory().numTensors, tf.memory().numDataBuffers];
    const held = [/** @type {any} */ (tf.findBackend('cpu')).numDataIds(), /** @type {any} */ (tf.findBackend('wasm')).numDataIds()];
    for (const call of [...Object.values(CALLS).flat(), ...Object.values(LACKING)]) tf.dispose(tf.tidy(call));
    assert.deepEqual([tf.memory().numTensors, tf.memory().numDataBuffers], before);
    assert.deepEqual(
      [/** @type {any} */ (tf.findBackend('cpu')).numDataIds(), /** @type {any} */ (tf.findBackend('wasm')).numDataIds()],
      held,
    );
  });
});
