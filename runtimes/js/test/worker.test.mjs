/** The protocol itself: what a worker answers, what it never does, and how it ends. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker, float32, sample, temporaryDirectory, vector } from './harness.mjs';

const CPU = 'tfjs-node-cpu';
const IDENTITY = vector('identity/tfjs-graph/float32/model.json');

/** @type {Worker} */
let worker;
before(() => void (worker = new Worker([CPU])));
after(() => worker.bye());

test('hello answers exactly the fields of the schema', async () => {
  const { ok } = await worker.hello(CPU);
  const schema = JSON.parse(
    readFileSync(new URL('../../../exporter/protocol/v1.schema.json', import.meta.url), 'utf8'),
  );
  assert.deepEqual(Object.keys(ok).sort(), [...schema.$defs['ok-hello'].required].sort());
  assert.equal(ok.protocol, 1);
  assert.equal(ok.versions.node, process.versions.node);
});

test('hello refuses another protocol and another runtime', async () => {
  const other = await worker.ask('hello', { protocol: 2, runtime: CPU });
  assert.equal(other.error.code, 'protocol-version');
  assert.equal((await worker.hello('litert-node')).error.code, 'wrong-runtime');
});

test('unknown ops, handles and missing fields are errors with a stage, a code and a message', async () => {
  const op = await worker.ask('dance');
  assert.equal(op.error.code, 'unknown-op');
  assert.match(op.error.message, /'dance'.*hello, load, run, unload, bye/);
  assert.deepEqual(Object.keys(op.error).sort(), ['code', 'message', 'stage', 'trace']);
  const run = await worker.ask('run', { handle: 'm99', inputs: 'a', outputs: 'b' });
  assert.equal(run.error.stage, 'run');
  assert.equal(run.error.code, 'unknown-handle');
  assert.equal((await worker.ask('load', { artifact: 'x' })).error.code, 'bad-request');
  assert.equal((await worker.load('does/not/exist.json', 'tfjs-graph')).error.code, 'no-artifact');
});

test('another format is unsupported, not an error', async () => {
  const reply = await worker.load('x.onnx', 'onnx');
  assert.match(reply.unsupported.reason, /opens tfjs-graph, tfjs-layers; the artifact is onnx/);
});

test('feeds are checked by name, dtype and shape before anything runs', async () => {
  const { ok } = await worker.load(IDENTITY, 'tfjs-graph');
  assert.deepEqual(ok.inputs, [{ name: 'x', dtype: 'float32', shape: [null, 3] }]);
  const good = float32([1, 3], [1, 2, 3]);
  const names = await worker.run(ok.handle, { z: good });
  assert.match(names.error.message, /expected \[x\], found \[z\]/);
  assert.equal((await worker.run(ok.handle, { x: good, z: good })).error.code, 'input-names');
  const shape = await worker.run(ok.handle, { x: float32([3], [1, 2, 3]) });
  assert.match(shape.error.message, /fed float32\[3\], expected float32\[\?,3\]/);
  assert.equal((await worker.run(ok.handle, { x: sample('int32') })).error.code, 'input-dtype');
  assert.match((await worker.run(ok.handle, { x: sample('float64') })).unsupported.reason, /float64/);
  assert.ok((await worker.run(ok.handle, { x: good })).ok.elapsed_ns > 0);
  assert.deepEqual((await worker.ask('unload', { handle: ok.handle })).ok, {});
  assert.equal((await worker.ask('unload', { handle: ok.handle })).error.code, 'unknown-handle');
});

test('a broken tensor file is an error that names the file', async () => {
  const { ok } = await worker.load(IDENTITY, 'tfjs-graph');
  const inputs = vector('malformed/truncated.safetensors');
  const reply = await worker.ask('run', { handle: ok.handle, inputs, outputs: join(temporaryDirectory(), 'o') });
  assert.equal(reply.error.code, 'tensor-file');
  assert.match(reply.error.message, /truncated\.safetensors/);
});

test('the end of the request pipe ends the worker, with what was asked answered', async () => {
  const other = new Worker([CPU]);
  await other.hello(CPU);
  other.requests.end();
  assert.equal(await other.exit, 0);
});

test('an unknown runtime is a usage error that lists the known ones', async () => {
  const other = new Worker(['tfjs-toaster']);
  assert.equal(await other.exit, 2);
  assert.match(other.stderr, /litert-node, onnxruntime-node, tfjs-node-cpu, tfjs-node-wasm/);
});

test('a line that is no request ends the worker loudly', async () => {
  const other = new Worker([CPU]);
  other.requests.write('hello?\n');
  assert.equal(await other.exit, 70);
  assert.match(other.stderr, /not a protocol request.*hello\?/);
});

test('without the npm packages, hello says which is missing and how to install it', async () => {
  const copy = join(temporaryDirectory(), 'src');
  cpSync(fileURLToPath(new URL('../src', import.meta.url)), copy, { recursive: true });
  const packages = {
    'tfjs-node-cpu': '@tensorflow/tfjs',
    'onnxruntime-node': 'onnxruntime-node',
    'litert-node': '@litertjs/core',
  };
  for (const [runtime, name] of Object.entries(packages)) {
    const bare = new Worker([runtime], { script: join(copy, 'worker.mjs') });
    const { error } = await bare.hello(runtime);
    assert.equal(error.code, 'missing-package');
    assert.ok(
      error.message.includes(`'${name}'`) && error.message.includes('exporter doctor --install node'),
      error.message,
    );
    assert.equal(await bare.bye(), 0);
  }
});

test('what a runtime prints reaches the log and never a record; thrown things of any kind become errors', async () => {
  const copy = join(temporaryDirectory(), 'src');
  cpSync(fileURLToPath(new URL('../src', import.meta.url)), copy, { recursive: true });
  mkdirSync(join(copy, 'runtimes'), { recursive: true });
  const noisy = `
    export const runtime = {
      formats: ['noise'], dtypes: ['float32'], casts: {},
      async start() { console.log('{"id":1,"ok":{}}'); process.stdout.write('half a line'); console.error('oh'); return {}; },
      async load(artifact, format, key) { if (key === 'number') throw 42; if (key === 'trap') throw new WebAssembly.RuntimeError('unreachable'); throw new TypeError('no such thing'); },
    };`;
  writeFileSync(join(copy, 'runtimes', 'noisy.mjs'), noisy);
  const other = new Worker(['noisy'], { script: join(copy, 'worker.mjs') });
  assert.deepEqual((await other.hello('noisy')).ok.formats, ['noise']);
  assert.equal((await other.load(copy, 'noise', 'number')).error.message, '42');
  const { error } = await other.load(copy, 'noise', 'x');
  assert.deepEqual([error.stage, error.code, error.message], ['load', 'TypeError', 'no such thing']);
  assert.match(error.trace, /noisy\.mjs/);
  assert.match(other.stdout, /half a line/);
  // after a trap, wasm memory is in an unknown state: the worker ends as a crashed one does, without an answer
  await assert.rejects(other.load(copy, 'noise', 'trap'), /ended instead of answering load/);
  assert.equal(await other.exit, 70);
  assert.match(other.stderr, /unreachable/);
  assert.match(other.stderr, /oh/);
});
