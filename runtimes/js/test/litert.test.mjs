/** LiteRT.js in Node: signatures, dynamic dimensions, the shape patch, and refusals instead of garbage. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { concreteShapes, distinctOutputs, specialise } from '../src/tflite-shapes.mjs';
import { readTflite } from '../src/tflite.mjs';
import { Worker, float32, vector } from './harness.mjs';

const RUNTIME = 'litert-node';

/** @type {Worker} */
let worker;
before(() => void (worker = new Worker([RUNTIME])));
after(() => worker.bye());

/** @param {any} result @param {string} name */
const values = ({ outputs }, name) => [...outputs.get(name).data];

test('each signature of a file is found by its key, and fed and read by name', async () => {
  const path = vector('models/two-signatures.tflite');
  const twice = (await worker.load(path, 'tflite', 'twice')).ok;
  const minus = (await worker.load(path, 'tflite', 'minus')).ok;
  assert.deepEqual(twice.inputs, [{ name: 'x', dtype: 'float32', shape: [null, 2] }]);
  // by position, as the subgraph lists them; the signature has them the other way round
  assert.deepEqual(
    minus.inputs.map((/** @type {any} */ spec) => spec.name),
    ['b', 'a'],
  );
  const [a, b] = [float32([2, 2], [9, 8, 7, 6]), float32([2, 2], [1, 2, 3, 4])];
  assert.deepEqual(values(await worker.run(minus.handle, { b, a }), 'difference'), [8, 6, 4, 2]);
  assert.deepEqual(values(await worker.run(twice.handle, { x: a }), 'y'), [18, 16, 14, 12]);
  const missing = await worker.load(path, 'tflite', 'thrice');
  assert.match(missing.error.message, /no signature 'thrice'; it has 'twice', 'minus'/);
});

test('a dynamic batch takes any size, again and again, more sizes than are kept', async () => {
  const { handle, outputs } = (await worker.load(vector('models/rows.tflite'), 'tflite')).ok;
  assert.deepEqual(outputs, [
    { name: 'twice', dtype: 'float32', shape: [null, 4] },
    { name: 'total', dtype: 'float32', shape: [null] },
  ]);
  for (const batch of [1, 3, 5, 2, 7, 64, 9, 3, 1]) {
    const x = Array.from({ length: 4 * batch }, (_, i) => i);
    const result = await worker.run(handle, { x: float32([batch, 4], x) });
    assert.deepEqual(
      values(result, 'twice'),
      x.map((value) => 2 * value),
    );
    assert.deepEqual(
      values(result, 'total'),
      Array.from({ length: batch }, (_, i) => 16 * i + 6),
    );
  }
  assert.match((await worker.run(handle, { x: float32([0, 4], []) })).unsupported.reason, /empty/);
});

test('several dynamic dimensions, which change places', async () => {
  const { handle } = (await worker.load(vector('models/transpose.tflite'), 'tflite')).ok;
  for (const [n, m] of [
    [2, 3],
    [5, 1],
    [1, 4],
  ]) {
    const x = Array.from({ length: n * m * 2 }, (_, i) => i);
    const { outputs } = await worker.run(handle, { x: float32([n, m, 2], x) });
    assert.deepEqual(outputs?.get('y')?.shape, [2, m, n]);
    const expected = [0, 1].flatMap((k) =>
      Array.from({ length: m * n }, (_, i) => x[(i % n) * m * 2 + Math.floor(i / n) * 2 + k]),
    );
    assert.deepEqual(values({ outputs }, 'y'), expected);
  }
});

test('shapes computed while the model runs: an intermediate one works, an output is refused', async () => {
  const { handle } = (await worker.load(vector('models/flatten.tflite'), 'tflite')).ok;
  for (const batch of [1, 4, 2]) {
    const x = Array.from({ length: 6 * batch }, (_, i) => i);
    const sums = Array.from({ length: batch }, (_, i) => 36 * i + 15);
    assert.deepEqual(values(await worker.run(handle, { x: float32([batch, 2, 3], x) }), 'total'), sums);
  }
  const refused = await worker.load(vector('models/flatten-output.tflite'), 'tflite');
  assert.match(
    refused.unsupported.reason,
    /output 'flat' comes from a RESHAPE whose size is computed while the model runs/,
  );
});

test('outputs that are inputs, and tensors with two names', async () => {
  const { handle, outputs } = (await worker.load(vector('models/same-tensors.tflite'), 'tflite')).ok;
  assert.deepEqual(
    outputs.map((/** @type {any} */ { name, shape }) => [name, shape]),
    ['q', 'sum', 'p', 'twice', 'echo', 'again'].map((name) => [name, [null, 2]]),
  );
  for (const batch of [1, 3, 2]) {
    const p = Array.from({ length: 2 * batch }, (_, i) => i + 1);
    const q = p.map((value) => 100 * value);
    const result = await worker.run(handle, { q: float32([batch, 2], q), p: float32([batch, 2], p) });
    const twice = p.map((value) => 2 * value);
    // p is read by an op and is an output; the input q is the output p, and the input p is the output q
    const expected = { q: p, twice, sum: p.map((value) => 102 * value), again: twice, p: q, echo: p };
    for (const [name, numbers] of Object.entries(expected)) {
      assert.deepEqual(result.outputs?.get(name)?.shape, [batch, 2]);
      assert.deepEqual(values(result, name), numbers, name);
    }
  }
});

test('a model of no op, whose output is one of its inputs', async () => {
  const { handle } = (await worker.load(vector('models/no-op.tflite'), 'tflite')).ok;
  for (const batch of [2, 1, 4]) {
    const q = Array.from({ length: 3 * batch }, (_, i) => i - 2.5);
    const p = float32([batch, 2], new Array(2 * batch).fill(7));
    assert.deepEqual(values(await worker.run(handle, { p, q: float32([batch, 3], q) }), 'b'), q);
  }
});

test('dropping outputs keeps the rest of the file, and a file without such outputs is not copied', () => {
  const bytes = readFileSync(vector('models/same-tensors.tflite'));
  const file = readTflite(bytes, 'same');
  const [other, signature] = file.signatures;
  const again = readTflite(distinctOutputs(bytes, file, signature), 'copy');
  const left = ['twice', 'sum'].map((name) => /** @type {const} */ ([name, Number(signature.outputs.get(name))]));
  assert.deepEqual(again.signatures, [other, { ...signature, outputs: new Map(left) }]);
  assert.deepEqual(again.subgraphs, [
    file.subgraphs[0],
    { ...file.subgraphs[1], outputs: left.map(([, index]) => index).reverse() },
  ]);
  assert.equal(distinctOutputs(bytes, file, other), bytes);
});

test('what is no .tflite file is refused in words, whatever is cut off', async () => {
  assert.match(
    (await worker.load(vector('README.md'), 'tflite')).error.message,
    /not a readable \.tflite file: the identifier 'TFL3' is missing/,
  );
  const bytes = readFileSync(vector('models/rows.tflite'));
  for (let end = 0; end < bytes.length; end += 7) {
    try {
      readTflite(bytes.subarray(0, end), 'cut.tflite');
    } catch (error) {
      assert.match(String(error), /cut\.tflite is not a readable \.tflite file/);
    }
  }
});

test('specialising writes the dimensions and nothing else', () => {
  const bytes = readFileSync(vector('models/rows.tflite'));
  const file = readTflite(bytes, 'rows');
  const [signature] = file.signatures;
  const copy = specialise(bytes, concreteShapes(file, signature, new Map([['x', [6, 4]]])));
  assert.equal(copy.length, bytes.length);
  assert.ok([...copy].filter((byte, i) => byte !== bytes[i]).length <= 8);
  const again = readTflite(copy, 'copy');
  const tensor = again.subgraphs[0].tensors[Number(signature.inputs.get('x'))];
  assert.deepEqual(tensor.shape, [6, 4]);
  assert.throws(() => specialise(bytes, new Map([[tensor, [1, 2, 3]]])), /has 2 dimensions, not 3/);
});
