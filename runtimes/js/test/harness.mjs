/** Test helpers: a worker child with its two pipes, tensors from vectors, and temporary directories. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { dumps, loads } from '../src/safetensors.mjs';
import { fromBytes } from '../src/tensor.mjs';

/** @typedef {import('../src/tensor.mjs').Tensor} Tensor */

/** @param {string} path relative to `tests/vectors` */
export const vector = (path) => fileURLToPath(new URL(`../../../tests/vectors/${path}`, import.meta.url));

const temporary = mkdtempSync(join(tmpdir(), 'exporter-js-'));
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));

/** A new directory that is removed when the process ends. */
export const temporaryDirectory = () => mkdtempSync(join(temporary, 'd'));

/** One worker process, as the host starts it. */
export class Worker {
  #id = 0;
  #lines;
  #directory = temporaryDirectory();
  stderr = '';
  stdout = '';

  /** @param {string[]} args @param {{script?: string}} [options] */
  constructor(args, { script = fileURLToPath(new URL('../src/worker.mjs', import.meta.url)) } = {}) {
    this.child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk) => (this.stdout += chunk));
    this.child.stderr?.on('data', (chunk) => (this.stderr += chunk));
    this.requests = /** @type {import('node:stream').Writable} */ (this.child.stdio[3]);
    // a worker that has ended breaks the pipe; the missing reply is the finding
    this.requests.on('error', () => {});
    this.#lines = createInterface({ input: /** @type {import('node:stream').Readable} */ (this.child.stdio[4]) })[
      Symbol.asyncIterator
    ]();
    /** @type {Promise<number | null>} */
    this.exit = new Promise((resolve) => this.child.on('close', resolve));
  }

  /**
   * Send one request and return its reply.
   * @param {string} op
   * @param {object} [fields]
   * @returns {Promise<any>}
   */
  async ask(op, fields = {}) {
    const id = ++this.#id;
    this.requests.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the worker ended instead of answering ${op}: ${this.stderr}`);
    const reply = JSON.parse(value);
    if (reply.id !== id) throw new Error(`reply ${reply.id} to request ${id}`);
    return reply;
  }

  /** @param {string} runtime */
  hello = (runtime) => this.ask('hello', { protocol: 1, runtime });

  /** @param {string} artifact @param {string} format @param {string} [signature] */
  load = (artifact, format, signature = 'serving_default') => this.ask('load', { artifact, format, signature });

  /**
   * Run one set of inputs; returns the reply with the outputs' tensors beside it.
   * @param {string} handle
   * @param {Record<string, Tensor>} inputs
   */
  async run(handle, inputs) {
    const [from, to] = ['in', 'out'].map((name) => join(this.#directory, `${this.#id}-${name}.safetensors`));
    writeFileSync(from, dumps(new Map(Object.entries(inputs))));
    const reply = await this.ask('run', { handle, inputs: from, outputs: to });
    return { ...reply, outputs: reply.ok ? loads(readFileSync(to), to) : undefined };
  }

  /** End politely and return the exit code. */
  async bye() {
    await this.ask('bye');
    return this.exit;
  }
}

/**
 * @param {number[]} shape
 * @param {number[]} values
 * @returns {Tensor}
 */
export const float32 = (shape, values) => ({ dtype: 'float32', shape, data: Float32Array.from(values) });

/**
 * Every bit pattern of the shared vectors in one dtype, as rows of three.
 * @param {string} dtype
 * @returns {Tensor}
 */
export function sample(dtype) {
  if (dtype === 'string') {
    const data = ['', 'plain', 'größe €😀', 'a\0b', '\ufeffBOM', 'x'].map((text) => new TextEncoder().encode(text));
    return { dtype, shape: [2, 3], data };
  }
  const files = ['dtypes', 'specials'].map((name) => loads(readFileSync(vector(`${name}.safetensors`))));
  const bytes = files
    .map((file) => file.get(dtype))
    .filter((tensor) => tensor !== undefined)
    .map((tensor) => new Uint8Array(/** @type {Float32Array} */ (tensor.data).buffer));
  const size = bytes[0].length / 21; // dtypes.safetensors holds [3, 7]
  const all = Buffer.concat(bytes);
  const rows = Math.floor(all.length / size / 3);
  return fromBytes(dtype, [rows, 3], all.subarray(0, rows * 3 * size));
}
