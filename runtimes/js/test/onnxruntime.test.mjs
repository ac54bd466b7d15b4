/** ONNX Runtime in Node beyond the identity models: names, sizes, and what cannot be opened. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Worker, float32, vector } from './harness.mjs';

const RUNTIME = 'onnxruntime-node';

/** @type {Worker} */
let worker;
before(() => void (worker = new Worker([RUNTIME])));
after(() => worker.bye());

test('inputs and outputs go by name, batches of any size', async () => {
  const { handle, inputs } = (await worker.load(vector('models/minus.onnx'), 'onnx')).ok;
  assert.deepEqual(
    inputs.map((/** @type {any} */ spec) => [spec.name, spec.shape]),
    [
      ['b', [null, 2]],
      ['a', [null, 2]],
    ],
  );
  for (const batch of [1, 3, 0]) {
    const a = Array.from({ length: 2 * batch }, (_, i) => 10 * i);
    const b = a.map((_, i) => i);
    const { outputs } = await worker.run(handle, { a: float32([batch, 2], a), b: float32([batch, 2], b) });
    assert.deepEqual(outputs?.get('same'), float32([batch, 2], b));
    assert.deepEqual(
      outputs?.get('difference'),
      float32(
        [batch, 2],
        a.map((value, i) => value - b[i]),
      ),
    );
  }
});

test('a model that is unloaded is gone, and the next one gets another handle', async () => {
  const path = vector('models/minus.onnx');
  const first = (await worker.load(path, 'onnx')).ok.handle;
  assert.deepEqual((await worker.ask('unload', { handle: first })).ok, {});
  const second = (await worker.load(path, 'onnx')).ok.handle;
  assert.notEqual(first, second);
  assert.equal((await worker.run(first, {})).error.code, 'unknown-handle');
});

test('what is no ONNX file is an error, and the worker goes on', async () => {
  assert.match((await worker.load(vector('README.md'), 'onnx')).error.message, /README\.md/);
  assert.ok((await worker.load(vector('models/minus.onnx'), 'onnx')).ok);
});
