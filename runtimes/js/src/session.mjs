/**
 * The operations of the worker protocol on one runtime: hello, load, run, unload.
 *
 * Everything that must be the same in every runtime happens here: names are compared as sets, dtypes and shapes are
 * checked before anything runs, casts are the declared ones only, and every model is released.
 *
 * @typedef {import('./runtime.mjs').Model} Model
 * @typedef {import('./runtime.mjs').Runtime} Runtime
 * @typedef {import('./runtime.mjs').Spec} Spec
 * @typedef {import('./tensor.mjs').Tensor} Tensor
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cast } from './casts.mjs';
import { Unsupported, WorkerError } from './runtime.mjs';
import { dumps, loads } from './safetensors.mjs';
import { describe } from './tensor.mjs';

export const PROTOCOL = 1;

export class Session {
  /** @type {Promise<Record<string, string>> | undefined} */
  #started;
  /** @type {Map<string, Model>} */
  #models = new Map();
  #loaded = 0;
  #id;
  #runtime;

  /**
   * @param {string} id the runtime's id, as the host names it
   * @param {Runtime} runtime
   */
  constructor(id, runtime) {
    this.#id = id;
    this.#runtime = runtime;
  }

  /** Start the runtime once; a failed start is tried again, because installing the package may heal it. */
  async #start() {
    this.#started ??= this.#runtime.start();
    try {
      return await this.#started;
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }

  /** @param {Record<string, unknown>} request */
  async hello({ protocol, runtime }) {
    if (protocol !== PROTOCOL) {
      throw new WorkerError(
        'protocol-version',
        `this worker speaks protocol ${PROTOCOL}, the host asked for ${protocol}`,
      );
    }
    if (runtime !== this.#id) {
      throw new WorkerError('wrong-runtime', `this worker hosts '${this.#id}', the host asked for '${runtime}'`);
    }
    await this.close(); // a host that begins anew has forgotten its handles
    const versions = await this.#start();
    const { formats, dtypes, casts } = this.#runtime;
    return { protocol: PROTOCOL, runtime: this.#id, versions, formats, dtypes, casts };
  }

  /** @param {Record<string, unknown>} request */
  async load(request) {
    const artifact = text(request, 'artifact');
    const format = text(request, 'format');
    const signature = text(request, 'signature');
    if (!this.#runtime.formats.includes(format)) {
      throw new Unsupported(`${this.#id} opens ${this.#runtime.formats.join(', ')}; the artifact is ${format}`);
    }
    // every library says that in words of its own
    if (!existsSync(artifact)) throw new WorkerError('no-artifact', `there is no artifact at ${artifact}`);
    await this.#start();
    const model = await this.#runtime.load(artifact, format, signature);
    try {
      for (const spec of model.inputs) this.#checkCarried('input', spec);
      for (const spec of model.outputs) this.#checkCarried('output', spec);
    } catch (error) {
      await model.dispose();
      throw error;
    }
    const handle = `m${++this.#loaded}`;
    this.#models.set(handle, model);
    return { handle, inputs: model.inputs, outputs: model.outputs };
  }

  /** @param {Record<string, unknown>} request */
  async run(request) {
    const model = this.#model(request);
    const [from, to] = [text(request, 'inputs'), text(request, 'outputs')];
    const fed = readTensors(from);
    sameNames(
      'input',
      model.inputs.map((spec) => spec.name),
      [...fed.keys()],
    );
    const inputs = new Map(
      model.inputs.map((spec) => [spec.name, this.#fit(spec, /** @type {Tensor} */ (fed.get(spec.name)))]),
    );
    const { outputs, elapsedNs, call } = await model.run(inputs);
    sameNames(
      'output',
      model.outputs.map((spec) => spec.name),
      [...outputs.keys()],
    );
    writeFileSync(to, dumps(outputs));
    return { elapsed_ns: elapsedNs, ...(call === undefined ? {} : { call }) };
  }

  /** @param {Record<string, unknown>} request */
  async unload(request) {
    const model = this.#model(request);
    this.#models.delete(/** @type {string} */ (request.handle));
    await model.dispose();
    return {};
  }

  /** Release every model that the host left open. */
  async close() {
    const models = [...this.#models.values()];
    this.#models.clear();
    for (const model of models) await model.dispose();
  }

  /**
   * @param {Record<string, unknown>} request
   * @returns {Model}
   */
  #model(request) {
    const handle = text(request, 'handle');
    const model = this.#models.get(handle);
    if (model === undefined) {
      throw new WorkerError(
        'unknown-handle',
        `no loaded model has the handle '${handle}': it was unloaded or never loaded`,
      );
    }
    return model;
  }

  /**
   * @param {string} side
   * @param {Spec} spec
   */
  #checkCarried(side, { name, dtype, shape }) {
    const { dtypes, casts } = this.#runtime;
    if (!dtypes.includes(dtype) && !(dtype in casts)) {
      throw new Unsupported(
        `${side} '${name}' is ${describe(dtype, shape)}; ${this.#id} carries ${dtypes.join(', ')}` +
          (Object.keys(casts).length ? ` and casts ${Object.keys(casts).join(', ')}` : ''),
      );
    }
  }

  /**
   * Check a fed tensor against what the model declares, and apply the declared cast.
   * @param {Spec} spec
   * @param {Tensor} tensor
   * @returns {Tensor}
   */
  #fit(spec, tensor) {
    const { dtypes, casts } = this.#runtime;
    const found = describe(tensor.dtype, tensor.shape);
    const wanted = describe(spec.dtype, spec.shape);
    const carried = dtypes.includes(spec.dtype) ? spec.dtype : casts[spec.dtype];
    // a bfloat16 or float64 feed is a dtype this runtime does not have at all; int32 for float32 is a wrong feed
    if (tensor.dtype !== carried && !dtypes.includes(tensor.dtype) && !(tensor.dtype in casts)) {
      throw new Unsupported(`input '${spec.name}' is fed ${found}; ${this.#id} carries ${dtypes.join(', ')}`);
    }
    if (tensor.dtype !== carried && casts[tensor.dtype] !== carried) {
      throw new WorkerError('input-dtype', `input '${spec.name}' is fed ${found}, expected ${wanted}`);
    }
    const fits =
      spec.shape === null ||
      (spec.shape.length === tensor.shape.length &&
        spec.shape.every((dim, i) => dim === null || dim === tensor.shape[i]));
    if (!fits) throw new WorkerError('input-shape', `input '${spec.name}' is fed ${found}, expected ${wanted}`);
    return tensor.dtype === carried ? tensor : cast(spec.name, tensor, carried);
  }
}

/**
 * @param {string} path
 * @returns {Map<string, Tensor>}
 */
function readTensors(path) {
  try {
    return loads(readFileSync(path), path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WorkerError('tensor-file', `the tensors to run cannot be read from ${path}: ${why}`, { cause });
  }
}

/**
 * A field of a request that must be text.
 * @param {Record<string, unknown>} request
 * @param {string} key
 */
function text(request, key) {
  const value = request[key];
  if (typeof value !== 'string') {
    throw new WorkerError('bad-request', `the field '${key}' is ${JSON.stringify(value)}, expected text`);
  }
  return value;
}

/**
 * @param {'input' | 'output'} side
 * @param {string[]} expected
 * @param {string[]} found
 */
function sameNames(side, expected, found) {
  const missing = expected.filter((name) => !found.includes(name));
  const unknown = found.filter((name) => !expected.includes(name));
  if (missing.length || unknown.length) {
    throw new WorkerError(
      `${side}-names`,
      `${side} names differ: expected [${expected.join(', ')}], found [${found.join(', ')}]`,
    );
  }
}
