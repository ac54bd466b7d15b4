/**
 * LiteRT.js (TensorFlow Lite compiled to WebAssembly with XNNPACK) in Node, one thread.
 *
 * A model with dynamic dimensions is compiled once per set of input shapes it is fed with, a few of which are kept.
 *
 * @typedef {import('../litert.mjs').LiteRt} LiteRt
 * @typedef {import('../tensor.mjs').Tensor} Tensor
 */
import { readFileSync } from 'node:fs';
import { CompiledModel, startLiteRt } from '../litert.mjs';
import { Unsupported, WorkerError, timed, versionsOf } from '../runtime.mjs';
import { bytesOf, describe, fromBytes } from '../tensor.mjs';
import { checkOutputs, concreteShapes, distinctOutputs, specialise } from '../tflite-shapes.mjs';
import { inPosition, readTflite } from '../tflite.mjs';

const KEPT = 4;

/** @type {LiteRt} */
let litert;

/** @type {import('../runtime.mjs').Runtime} */
export const runtime = {
  formats: ['tflite'],
  dtypes: [
    ...['float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'],
    ...['bool', 'bfloat16', 'complex64'],
  ],
  casts: {},

  async start() {
    const versions = versionsOf('@litertjs/core');
    litert = await startLiteRt();
    return versions;
  },

  async load(artifact, _format, key) {
    const model = new TfliteModel(readFileSync(artifact), artifact, key);
    await model.compileEarly();
    return model;
  },
};

/** One signature of one file; a `Model` of `runtime.mjs`. */
class TfliteModel {
  #bytes;
  #key;
  #file;
  #signature;
  /** @type {Map<string, CompiledModel>} by input shapes, least recently used first */
  #compiled = new Map();
  /** @type {Map<number, string>} tensor index -> the input that feeds it */
  #fedAs;
  /** @type {Map<number, string>} tensor index -> the first of its output names, which LiteRT.js is left with */
  #readAs;

  /**
   * @param {Uint8Array} bytes
   * @param {string} where
   * @param {string} key
   */
  constructor(bytes, where, key) {
    this.#file = readTflite(bytes, where);
    const { signatures, subgraphs } = this.#file;
    const signature = signatures.find((candidate) => candidate.key === key);
    if (signature === undefined) {
      const keys = signatures.map((candidate) => `'${candidate.key}'`).join(', ') || 'none';
      throw new WorkerError('no-signature', `${where} has no signature '${key}'; it has ${keys}`);
    }
    // what it does without the check: for the test that notices when the engine has learnt it
    if (process.env.EXPORTER_LITERT_CHECKS !== 'none') checkOutputs(this.#file, signature);
    this.#bytes = distinctOutputs(bytes, this.#file, signature);
    this.#key = key;
    this.#signature = signature;
    this.#fedAs = new Map([...signature.inputs].map(([name, index]) => [index, name]));
    this.#readAs = new Map([...signature.outputs].reverse().map(([name, index]) => [index, name]));
    const { tensors, inputs, outputs } = subgraphs[signature.subgraph];
    /** @param {[string, number]} entry */
    const toSpec = ([name, index]) => ({ name, dtype: tensors[index].dtype, shape: tensors[index].shape });
    this.inputs = inPosition(signature.inputs, inputs).map(toSpec);
    this.outputs = inPosition(signature.outputs, outputs).map(toSpec);
  }

  /**
   * Find out at load whether the model compiles, where the shapes are known: static ones, or a batch that may be 1.
   * Other dynamic dimensions have no harmless value.
   */
  async compileEarly() {
    const known = this.inputs.every(
      ({ shape, dtype }) => shape.slice(1).every((dim) => dim !== null) && dtype !== 'string',
    );
    if (known)
      await this.#compiledFor(new Map(this.inputs.map(({ name, shape }) => [name, shape.map((dim) => dim ?? 1)])));
  }

  /** @param {ReadonlyMap<string, Tensor>} values */
  async run(values) {
    const feeds = new Map(
      [...values].map(([name, tensor]) => {
        if (tensor.shape.includes(0))
          throw new Unsupported(`input '${name}' is empty ([${tensor.shape}]); LiteRT.js takes no empty tensors`);
        return [name, { shape: tensor.shape, bytes: bytesOf(/** @type {Float32Array} */ (tensor.data)) }];
      }),
    );
    const compiled = await this.#compiledFor(new Map([...feeds].map(([name, { shape }]) => [name, shape])));
    const [buffers, elapsedNs] = await timed(compiled.feed(feeds));
    const raw = compiled.read(buffers);
    /** @type {Map<string, Tensor>} */
    const outputs = new Map();
    for (const { name, dtype, shape } of this.outputs) {
      const index = /** @type {number} */ (this.#signature.outputs.get(name));
      const fed = this.#fedAs.get(index);
      const output = fed === undefined ? raw.get(this.#readAs.get(index) ?? name) : feeds.get(fed);
      if (output === undefined)
        throw new WorkerError('no-output', `LiteRT.js returned nothing for the output '${name}'`);
      if (output.shape.length !== shape.length || shape.some((dim, i) => dim !== null && dim !== output.shape[i])) {
        throw new WorkerError(
          'output-shape',
          `output '${name}' came back as ${describe(dtype, output.shape)}, declared is ${describe(dtype, shape)}`,
        );
      }
      outputs.set(name, fromBytes(dtype, output.shape, output.bytes));
    }
    return { outputs, elapsedNs };
  }

  dispose() {
    this.#compiled.forEach((compiled) => compiled.delete());
    this.#compiled.clear();
  }

  /**
   * @param {ReadonlyMap<string, readonly number[]>} shapes by input name
   * @returns {Promise<CompiledModel>}
   */
  async #compiledFor(shapes) {
    const id = JSON.stringify([...shapes]);
    let compiled = this.#compiled.get(id);
    this.#compiled.delete(id);
    if (compiled === undefined) {
      for (const [oldest, model] of this.#compiled) {
        if (this.#compiled.size < KEPT) break;
        this.#compiled.delete(oldest);
        model.delete();
      }
      const concrete = concreteShapes(this.#file, this.#signature, shapes);
      compiled = await CompiledModel.compile(litert, specialise(this.#bytes, concrete), this.#key);
    }
    this.#compiled.set(id, compiled);
    return compiled;
  }
}
