/** TF.js artifacts in both backends: names, odd graphs, our kernels, refusals, and nothing left behind. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { runtime as cpu } from '../src/runtimes/tfjs-node-cpu.mjs';
import { runtime as wasm } from '../src/runtimes/tfjs-node-wasm.mjs';
import { Unsupported } from '../src/runtime.mjs';
import { Worker, float32, vector } from './harness.mjs';
import { byHand, fill } from './einsum.mjs';
import { constant, graph, layersModel, writeTfjs } from './models.mjs';

/** @type {typeof import('@tensorflow/tfjs')} */
const tf = createRequire(import.meta.url)('@tensorflow/tfjs');

/** @param {import('../src/runtime.mjs').Execution} execution @param {string} name */
const values = ({ outputs }, name) => [.../** @type {any} */ (outputs.get(name)).data];

const MATMUL = graph(
  { a: [null, 2], b: [null, 2] },
  [
    ['w', 'Const', [], constant([2, 2])],
    ['product', 'MatMul', ['a', 'w']],
    ['difference', 'Sub', ['product', 'b']],
  ],
  {
    z: ['difference:0', [null, 2]],
    product: ['product:0', [null, 2]],
    weight: ['w:0', [2, 2]],
    same: ['b:0', [null, 2]],
  },
);
const WEIGHTS = [{ name: 'w', shape: [2, 2], values: [1, 2, 3, 4] }];
const FEEDS = new Map([
  ['b_in', float32([1, 2], [10, 20])],
  ['a_in', float32([1, 2], [1, 1])],
]);


/** @param {string} name @param {string} op a function of one tensor */
const unary = (name, op) => ({
  signature: {
    name,
    inputArg: [{ name: 'a', type: 'DT_FLOAT' }],
    outputArg: [{ name: 'b', type: 'DT_FLOAT' }],
  },
  nodeDef: [{ name: 'b', op, input: ['a'], attr: { T: { type: 'DT_FLOAT' } } }],
  ret: { b: 'b:0' },
});
const NEGATED = graph({ x: [2] }, [['y', 'Neg', ['x']]], { y: ['y:0', [2]] });
// TF.js takes the first number of whatever the condition is
const CONDITION = graph(
  { x: [2] },
  [
    ['positive', 'Relu', ['x']],
    ['negative', 'Neg', ['x']],
    ['y', 'If', ['positive', 'negative'], { then_branch: { func: { name: 'yes' } }, else_branch: { func: { name: 'no' } } }],
  ],
  { y: ['y:0', [2]] },
  [unary('yes', 'Abs'), unary('no', 'Neg')],
);
const SIZED_BY_VALUES = graph(
  { x: [2] },
  [
    ['positive', 'Relu', ['x']],
    ['y', 'Where', ['positive']],
  ],
  { y: ['y:0', [null, 1], 'DT_INT64'] },
);

for (const [id, runtime] of Object.entries({ cpu, wasm })) {
  // one process, one TF.js: starting selects the backend, so the two take turns
  describe(id, () => {
    test('start names the versions', async () => {
      const versions = await runtime.start();
      assert.equal(versions['@tensorflow/tfjs'], '4.22.0');
      assert.equal(tf.getBackend(), id);
    });

    test('a graph is fed and read by signature name; constants and inputs may be outputs; nothing leaks', async () => {
      const before = tf.memory().numTensors;
      const model = await runtime.load(writeTfjs(MATMUL, WEIGHTS), 'tfjs-graph', 'serving_default');
      assert.deepEqual(
        model.inputs.map(({ name }) => name),
        ['a_in', 'b_in'],
      );
      assert.deepEqual(model.outputs[0], { name: 'z', dtype: 'float32', shape: [null, 2] });
      const steady = tf.memory().numTensors;
      for (let i = 0; i < 5; i++) {
        const result = await model.run(FEEDS);
        assert.deepEqual(values(result, 'z'), [-6, -14]);
        assert.deepEqual(values(result, 'product'), [4, 6]);
        assert.deepEqual(values(result, 'weight'), [1, 2, 3, 4]);
        assert.deepEqual(values(result, 'same'), [10, 20]);
        assert.equal(tf.memory().numTensors, steady);
      }
      await model.dispose();
      assert.equal(tf.memory().numTensors, before);
    });

    test('a graph is called plainly, as a page calls it, and by executeAsync only where that throws', async () => {
      const called = async (/** @type {string} */ path) => {
        const model = await runtime.load(path, 'tfjs-graph', 'serving_default');
        const found = [];
        const left = [];
        for (const x of [[1, -2], [3, 4], [-1, 0]]) {
          const result = await model.run(new Map([['x_in', float32([2], x)]]));
          found.push([result.call, ...values(result, 'y')]);
          left.push(tf.memory().numTensors);
        }
        // the call that TF.js refuses may lose one tensor, once
        assert.deepEqual(left.slice(1), [left[0], left[0]]);
        await model.dispose();
        return found;
      };
      assert.deepEqual(await called(writeTfjs(NEGATED)), [
        ['execute', -1, 2],
        ['execute', -3, -4],
        ['execute', 1, -0],
      ]);
      assert.deepEqual(await called(writeTfjs(SIZED_BY_VALUES)), [
        ['executeAsync', 0],
        ['executeAsync', 0, 1],
        ['executeAsync'],
      ]);
    });

    test('the op that a refused call leaves running ends no worker', async () => {
      const worker = new Worker([`tfjs-node-${id}`]);
      await worker.hello(`tfjs-node-${id}`);
      const { ok } = await worker.load(writeTfjs(CONDITION), 'tfjs-graph');
      for (const again of [1, 2]) {
        const { ok: ran, outputs } = await worker.run(ok.handle, { x_in: float32([2], [again, -2]) });
        assert.equal(ran.call, 'executeAsync');
        assert.deepEqual(outputs?.get('y'), float32([2], [again, 2]));
      }
      assert.equal(await worker.bye(), 0);
    });

    test('what a plain call throws for another reason is an error, not a reason for another call', async () => {
      const nodes = /** @type {[string, string, string[], object?][]} */ ([['y', 'MatMul', ['x', 'x']]]);
      const path = writeTfjs(graph({ x: [null, null] }, nodes, { y: ['y:0', [null, null]] }));
      const model = await runtime.load(path, 'tfjs-graph', 'serving_default');
      await assert.rejects(model.run(new Map([['x_in', float32([1, 3], [1, 2, 3])]])), /inner shapes/i);
      await model.dispose();
    });

    test('a graph without nodes, whose output is its input', async () => {
      const path = writeTfjs(graph({ x: [null] }, [], { y: ['x:0', [null]] }));
      const model = await runtime.load(path, 'tfjs-graph', 'serving_default');
      assert.deepEqual(values(await model.run(new Map([['x_in', float32([3], [1, -0, 3])]])), 'y'), [1, -0, 3]);
      await model.dispose();
    });

    test('a comparison cast to float32 arrives as float32, whatever array the kernel used', async () => {
      const nodes = /** @type {[string, string, string[], object?][]} */ ([
        ['greater', 'Greater', ['a', 'b']],
        ['cast', 'Cast', ['greater'], { SrcT: { type: 'DT_BOOL' }, DstT: { type: 'DT_FLOAT' } }],
      ]);
      const json = graph({ a: [null, 2], b: [null, 2] }, nodes, { y: ['cast:0', [null, 2]] });
      const model = await runtime.load(writeTfjs(json), 'tfjs-graph', 'serving_default');
      const { outputs } = await model.run(
        new Map([
          ['a_in', float32([1, 2], [1, 5])],
          ['b_in', float32([1, 2], [2, 3])],
        ]),
      );
      assert.deepEqual(outputs.get('y'), float32([1, 2], [0, 1]));
      model.dispose();
    });

    test('scalars, empty tensors and batches', async () => {
      for (const shape of [[], [0], [2, 0, 3], [70, 2]]) {
        const path = writeTfjs(graph({ x: shape }, [['y', 'Identity', ['x']]], { y: ['y:0', shape] }));
        const model = await runtime.load(path, 'tfjs-graph', 'serving_default');
        const x = float32(
          shape,
          Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
        );
        const { outputs } = await model.run(new Map([['x_in', x]]));
        assert.deepEqual(outputs.get('y'), x);
        await model.dispose();
      }
    });

    test('Einsum agrees with arithmetic done by hand', async () => {
      const cases = /** @type {[string, number[][]][]} */ ([
        [
          'ab,bc->ac',
          [
            [2, 3],
            [3, 4],
          ],
        ],
        [
          'abc,cd->abd',
          [
            [2, 3, 4],
            [4, 5],
          ],
        ],
        [
          'aecd,abcd->acbe',
          [
            [2, 3, 4, 5],
            [2, 6, 4, 5],
          ],
        ],
        [
          'acbe,aecd->abcd',
          [
            [2, 4, 3, 5],
            [2, 5, 4, 6],
          ],
        ],
        ['ij,j->i', [[3, 4], [4]]],
        ['i,j->ji', [[3], [4]]],
        [
          'ab,ab->',
          [
            [2, 3],
            [2, 3],
          ],
        ],
        ['abc->ca', [[2, 3, 4]]],
        [
          'abx,bcy->ca',
          [
            [2, 3, 2],
            [3, 4, 2],
          ],
        ],
      ]);
      const before = tf.memory().numTensors;
      for (const [equation, shapes] of cases) {
        const operands = shapes.map((shape, k) => tf.tensor(fill(shape, k), shape));
        const result = tf.einsum(equation, ...operands);
        const expected = byHand(equation, shapes, shapes.map(fill));
        assert.deepEqual(result.shape, expected.shape, equation);
        const got = result.dataSync();
        expected.data.forEach((value, i) =>
          assert.ok(Math.abs(got[i] - value) <= 1e-4 * (1 + Math.abs(value)), equation),
        );
        tf.dispose([operands, result]);
      }
      assert.equal(tf.memory().numTensors, before);
    });

    test('Identity shares its buffer, so that a result outlives the tensor it came from', () => {
      const before = tf.memory();
      const x = tf.tensor([1, 2, 3]);
      const y = tf.tidy(
        () => /** @type {import('@tensorflow/tfjs').Tensor} */ (tf.engine().runKernel('Identity', { x })),
      );
      assert.equal(tf.memory().numDataBuffers, before.numDataBuffers + 1);
      x.dispose();
      assert.deepEqual([...y.dataSync()], [1, 2, 3]);
      y.dispose();
      assert.equal(tf.memory().numDataBuffers, before.numDataBuffers);
    });

    test('an op that TF.js or this backend lacks is unsupported, by name', async () => {
      const unknown = writeTfjs(graph({ x: [2] }, [['y', 'Erfc', ['x']]], { y: ['y:0', [2]] }));
      await assert.rejects(
        runtime.load(unknown, 'tfjs-graph', ''),
        (e) => e instanceof Unsupported && /does not know the op Erfc/.test(e.message),
      );
      const fft = writeTfjs(
        graph(
          { x: [2] },
          [
            ['y', 'RFFT', ['x']],
            ['z', 'ComplexAbs', ['y']],
          ],
          { z: ['z:0', [2]] },
        ),
      );
      const loading = runtime.load(fft, 'tfjs-graph', '');
      if (id === 'cpu') await (await loading).dispose();
      else
        await assert.rejects(
          loading,
          (e) => e instanceof Unsupported && /wasm backend.*ComplexAbs, RFFT/.test(e.message),
        );
    });

    test('a layers model is fed and read by name, not by position; a repeated output name is numbered', async () => {
      const before = tf.memory().numTensors;
      const input = { batch_input_shape: [null, 2], sparse: false };
      const json = layersModel(
        [
          ['b', 'InputLayer', input, []],
          ['a', 'InputLayer', input, []],
          [
            'pair',
            'Concatenate',
            { axis: -1 },
            [
              ['a', 0],
              ['b', 0],
            ],
          ],
          [
            'act',
            'Activation',
            { activation: 'relu' },
            [
              ['a', 0],
              ['pair', 0],
            ],
          ],
        ],
        [
          ['b', 0],
          ['a', 0],
        ],
        [
          ['act', 1],
          ['pair', 0],
          ['act', 0],
        ],
      );
      const model = await runtime.load(writeTfjs(json), 'tfjs-layers', 'serving_default');
      assert.deepEqual(
        model.inputs,
        ['b', 'a'].map((name) => ({ name, dtype: 'float32', shape: [null, 2] })),
      );
      assert.deepEqual(
        model.outputs.map(({ name }) => name),
        ['act', 'pair', 'act/1'],
      );
      // more rows than `predict` would take at once
      const rows = 40;
      const a = Array.from({ length: 2 * rows }, (_, i) => i - 50);
      const b = a.map((value) => 0.5 - value);
      const pair = Array.from({ length: rows }, (_, i) => [a, b].map((side) => side.slice(2 * i, 2 * i + 2))).flat(2);
      /** @param {number[]} side */
      const relu = (side) => side.map((value) => Math.max(0, value));
      const steady = tf.memory().numTensors;
      for (let i = 0; i < 3; i++) {
        const result = await model.run(
          new Map([
            ['a', float32([rows, 2], a)],
            ['b', float32([rows, 2], b)],
          ]),
        );
        assert.deepEqual(values(result, 'pair'), pair);
        assert.deepEqual(values(result, 'act'), relu(pair));
        assert.deepEqual(values(result, 'act/1'), relu(a));
        assert.equal(tf.memory().numTensors, steady);
      }
      await model.dispose();
      assert.equal(tf.memory().numTensors, before);
    });

    test('the identity layers vector', async () => {
      const model = await runtime.load(vector('identity/tfjs-layers/float32/model.json'), 'tfjs-layers', '');
      const x = float32([2, 3], [1, -0, Infinity, 1e-45, -3e38, 7]);
      assert.deepEqual((await model.run(new Map([['x', x]]))).outputs.get('y'), x);
      await model.dispose();
    });
  });
}

test('weights are read from the directory of model.json only, and must be complete', async () => {
  const outside = writeTfjs(MATMUL, WEIGHTS);
  const json = JSON.parse(readFileSync(outside, 'utf8'));
  /** @param {string} name */
  const withShard = (name) => {
    const path = writeTfjs(MATMUL, WEIGHTS);
    writeFileSync(path, JSON.stringify({ ...json, weightsManifest: [{ ...json.weightsManifest[0], paths: [name] }] }));
    return path;
  };
  const shard = join(dirname(outside), 'group1-shard1of1.bin');
  for (const name of [shard, `../${'x'.repeat(3)}.bin`, '..', '.', '']) {
    await assert.rejects(cpu.load(withShard(name), 'tfjs-graph', ''), /outside its directory/, name);
  }
  await assert.rejects(cpu.load(withShard('gone.bin'), 'tfjs-graph', ''), /'gone\.bin', which does not exist/);
  const linked = withShard('link.bin');
  symlinkSync(shard, join(dirname(linked), 'link.bin'));
  await assert.rejects(cpu.load(linked, 'tfjs-graph', ''), /outside its directory/);
  const short = writeTfjs(MATMUL, WEIGHTS);
  writeFileSync(join(dirname(short), 'group1-shard1of1.bin'), Buffer.alloc(12));
  await assert.rejects(cpu.load(short, 'tfjs-graph', ''), /take 16 bytes, its shards hold 12/);
});

test('what is no TF.js model is refused in words', async () => {
  await assert.rejects(cpu.load(vector('README.md'), 'tfjs-graph', ''), /is not JSON/);
  await assert.rejects(cpu.load(vector('vectors.json'), 'tfjs-graph', ''), /has no modelTopology/);
  const nameless = writeTfjs({ ...MATMUL, signature: undefined }, WEIGHTS);
  await assert.rejects(cpu.load(nameless, 'tfjs-graph', ''), /has no signature/);
});
