/**
 * LiteRT.js below its public interface: start it in Node, and run one compiled model on raw bytes.
 *
 * The public interface takes float32, int32 and uint8 only and wants a browser. The wasm module underneath
 * (`loadModel`, `compileModel`, `LiteRtTensorBuffer`) takes every dtype, and its loader needs only a way to run a
 * classic script. Everything made in wasm memory must be deleted by hand.
 *
 * @typedef {any} Wasm the emscripten module; its types are published only in part
 * @typedef {{wasm: Wasm, environment: any, log: Log}} LiteRt
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Unsupported, WorkerError, packageDirectory } from './runtime.mjs';

/**
 * What the wasm module prints. It reports some failures of a run nowhere else (a too small output buffer is an
 * "ERROR:" line and then garbage in the output), so those lines are part of the result.
 */
class Log {
  /** @type {string[]} */
  #errors = [];

  /** @param {string} line */
  write = (line) => {
    console.error(line);
    if (line.startsWith('ERROR')) this.#errors.push(line);
  };

  /** The error lines since the last call. */
  take() {
    return this.#errors.splice(0);
  }
}

// a module whose one function uses i8x16.relaxed_swizzle: (func (result v128) …)
const RELAXED_SIMD = Uint8Array.from([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0],
  ...[65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
]);

/**
 * Start LiteRT.js once per process.
 *
 * Relaxed SIMD makes it bit-identical to native LiteRT on float models; without it the package falls back to another
 * binary. Node 20 has it behind a flag, which still takes effect here because no wasm was compiled yet.
 * @returns {Promise<LiteRt>}
 */
export async function startLiteRt() {
  const root = packageDirectory('@litertjs/core');
  if (!WebAssembly.validate(RELAXED_SIMD)) v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
  const log = new Log();
  const scope = /** @type {Record<string, unknown>} */ (globalThis);
  scope.self ??= globalThis;
  scope.navigator ??= {};
  scope.Module = {
    locateFile: (/** @type {string} */ file) => join(root, 'wasm', file),
    print: log.write,
    printErr: log.write,
  };
  scope.importScripts = (/** @type {string} */ file) => {
    scope.ModuleFactory = runScript(file);
  };
  const { loadLiteRt } = await import(pathToFileURL(join(root, 'dist', 'index.js')).href);
  const runtime = await loadLiteRt(join(root, 'wasm/'));
  delete scope.importScripts;
  delete scope.Module;
  return { wasm: runtime.liteRtWasm, environment: runtime.getDefaultEnvironment(), log };
}

/**
 * What `importScripts` does in a browser's worker, for the one file the loader asks for.
 * @param {string} file
 */
function runScript(file) {
  const source = `(function (require, __dirname, __filename) {${readFileSync(file, 'utf8')}\n;return ModuleFactory;})`;
  return vm.runInThisContext(source, { filename: file })(createRequire(file), dirname(file), file);
}

/** One .tflite file, compiled at the shapes it states. */
export class CompiledModel {
  #litert;
  #signature;
  #pointer = 0;
  /** @type {any} */
  #model;
  /** @type {any} */
  #compiled;
  /** @type {string[]} */
  #inputs = [];
  /** @type {string[]} */
  #outputs = [];

  /**
   * @param {LiteRt} litert
   * @param {number} signature index
   */
  constructor(litert, signature) {
    this.#litert = litert;
    this.#signature = signature;
  }

  /**
   * @param {LiteRt} litert
   * @param {Uint8Array} bytes with concrete input shapes
   * @param {string} key of the signature
   * @throws {Unsupported} an op is missing
   * @throws {WorkerError} `compile`
   */
  static async compile(litert, bytes, key) {
    const { wasm, environment, log } = litert;
    log.take();
    const self = new CompiledModel(litert, 0);
    try {
      self.#pointer = wasm._malloc(bytes.length);
      if (!self.#pointer) throw new Error(`no memory for a model of ${bytes.length} bytes`);
      wasm.HEAPU8.set(bytes, self.#pointer);
      self.#model = wasm.loadModel(environment.liteRtEnvironment, self.#pointer, bytes.length);
      self.#findSignature(key);
      self.#compiled = await wasm.compileModel(environment.liteRtEnvironment, self.#model, {
        environment,
        accelerator: 'wasm',
        cpuOptions: { numThreads: 1 },
        gpuOptions: {},
        webNNOptions: {},
      });
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      self.delete();
      const lines = [text(error), ...log.take()].join('; ');
      const op = /unresolved custom op: *\S+|Didn't find op for builtin opcode[^;]*/i.exec(lines);
      if (op) throw new Unsupported(`LiteRT.js lacks an op: ${op[0]}`);
      throw error instanceof WorkerError
        ? error
        : new WorkerError('compile', `LiteRT.js cannot compile the model: ${lines}`);
    }
    return self;
  }

  /** @param {string} key */
  #findSignature(key) {
    const keys = Array.from({ length: this.#model.getNumSignatures() }, (_, i) => {
      const signature = this.#model.getSignature(i);
      const found = {
        key: signature.key(),
        inputs: list(signature.inputNames()),
        outputs: list(signature.outputNames()),
      };
      signature.delete();
      return found;
    });
    this.#signature = keys.findIndex((signature) => signature.key === key);
    if (this.#signature < 0) {
      throw new WorkerError(
        'no-signature',
        `LiteRT.js finds the signatures ${keys.map((k) => k.key).join(', ')}, not '${key}'`,
      );
    }
    // in the subgraph's order, which is not the signature's: only the names say which is which
    this.#inputs = keys[this.#signature].inputs;
    this.#outputs = keys[this.#signature].outputs;
  }

  /**
   * Copy inputs in; the returned function runs them and may be timed; its result must be given to `read`.
   * @param {ReadonlyMap<string, {shape: readonly number[], bytes: Uint8Array}>} values
   */
  feed(values) {
    const buffers = this.#inputs.map((name, i) => {
      const value = values.get(name);
      if (value === undefined)
        throw new WorkerError('input-names', `LiteRT.js asks for the input '${name}', which was not fed`);
      return this.#toBuffer(i, value.shape, value.bytes);
    });
    return async () => {
      try {
        return /** @type {any[]} */ (await this.#compiled.run(this.#signature, buffers));
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError) throw error;
        throw new WorkerError('run', [text(error), ...this.#litert.log.take()].join('; '));
      } finally {
        buffers.forEach((buffer) => buffer.delete());
      }
    };
  }

  /**
   * Copy outputs out and release them.
   * @param {any[]} buffers
   * @returns {Map<string, {shape: number[], bytes: Uint8Array}>}
   * @throws {WorkerError} `run`: the runtime printed an error and went on
   */
  read(buffers) {
    const { wasm, log } = this.#litert;
    const outputs = new Map(
      buffers.map((buffer, i) => {
        const type = buffer.tensorType();
        const layout = type.layout();
        const shape = list(layout.dimensions());
        const start = buffer.lock(wasm.LiteRtTensorBufferLockMode.READ);
        const bytes = wasm.HEAPU8.slice(start, start + buffer.packedSize());
        buffer.unlock();
        [layout, type, buffer].forEach((object) => object.delete());
        return [this.#outputs[i], { shape, bytes }];
      }),
    );
    const errors = log.take();
    if (errors.length) throw new WorkerError('run', `LiteRT.js reported: ${errors.join('; ')}`);
    return outputs;
  }

  /**
   * @param {number} index
   * @param {readonly number[]} shape
   * @param {Uint8Array} bytes
   */
  #toBuffer(index, shape, bytes) {
    const { wasm, environment } = this.#litert;
    const declared = this.#model.getInputTensorType(this.#signature, index);
    const dimensions = new wasm.VectorInt32();
    shape.forEach((dim) => dimensions.push_back(dim));
    const layout = wasm.LiteRtLayout.create(dimensions);
    const type = wasm.LiteRtRankedTensorType.create(declared.elementType(), layout);
    const buffer = wasm.LiteRtTensorBuffer.createManaged(
      environment.liteRtEnvironment,
      wasm.LiteRtTensorBufferType.HOST_MEMORY,
      type,
      bytes.length,
    );
    [declared, dimensions, layout, type].forEach((object) => object.delete());
    const start = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
    wasm.HEAPU8.set(bytes, start);
    buffer.unlock();
    return buffer;
  }

  /** Release the wasm memory; safe on a half-made model. */
  delete() {
    this.#compiled?.delete();
    this.#model?.delete();
    if (this.#pointer) this.#litert.wasm._free(this.#pointer);
    this.#compiled = this.#model = undefined;
    this.#pointer = 0;
  }
}

/**
 * An emscripten vector as an array; the vector is deleted.
 * @param {any} vector
 */
function list(vector) {
  const items = Array.from({ length: vector.size() }, (_, i) => vector.get(i));
  vector.delete();
  return items;
}

/** @param {unknown} error */
const text = (error) => (error instanceof Error ? error.message : `wasm exception ${String(error)}`);
