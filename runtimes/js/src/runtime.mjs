/**
 * What a runtime module exports, and the two errors it may answer with.
 *
 * A runtime is one file in `runtimes/`; its file name is its id. It says what it can carry (`formats`, `dtypes`,
 * `casts`), starts once, and opens artifacts as `Model`s that are fed and read by name. Protocol, files, name and
 * dtype checks and casts are the same for all of them and live in `session.mjs`.
 *
 * @typedef {import('./tensor.mjs').Tensor} Tensor
 * @typedef {{name: string, dtype: string, shape: (number | null)[] | null}} Spec
 *   null: unknown rank; null entries: dynamic dimensions
 * @typedef {{outputs: Map<string, Tensor>, elapsedNs: number, call?: string}} Execution
 *   `call`: which of several calls of the runtime it was, where callers must know
 * @typedef {{
 *   inputs: Spec[],
 *   outputs: Spec[],
 *   run(inputs: ReadonlyMap<string, Tensor>): Promise<Execution>,
 *   dispose(): void | Promise<void>,
 * }} Model
 *   `inputs` and `outputs` stand in the order in which a caller without names feeds and reads the artifact
 * @typedef {{
 *   formats: readonly string[],
 *   dtypes: readonly string[],
 *   casts: Readonly<Record<string, string>>,
 *   start(): Promise<Record<string, string>>,
 *   load(artifact: string, format: string, signature: string): Promise<Model>,
 * }} Runtime
 *   `start` makes the runtime usable and returns package versions; it is called once, before the first `load`.
 *   `dtypes` cross bit for bit; `casts` maps further dtypes to the one they become inside, range-checked.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** The runtime cannot carry this (dtype, op, value), and the message is the reason. Not a failure. */
export class Unsupported extends Error {
  name = 'Unsupported';
}

/** A failure with a stable short code, for the host to tell kinds apart. */
export class WorkerError extends Error {
  name = 'WorkerError';

  /**
   * @param {string} code
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Load an npm package by name (CommonJS view), or say how to get it.
 * @param {string} name
 * @throws {WorkerError} `missing-package`
 */
export function requirePackage(name) {
  return requireModule(name, name);
}

/**
 * @param {string} module
 * @param {string} name the package it belongs to
 */
function requireModule(module, name) {
  try {
    return require(module);
  } catch (error) {
    // a package that is there but lacks a part of its own is broken, not missing
    if (!isMissing(error, module)) throw error;
    const message =
      `the npm package '${name}' is not installed beside the JavaScript workers; ` +
      `run: exporter doctor --install node`;
    throw new WorkerError('missing-package', message, { cause: error });
  }
}

/**
 * The directory of an installed npm package.
 * @param {string} name
 */
export function packageDirectory(name) {
  const manifest = `${name}/package.json`;
  requireModule(manifest, name);
  return require.resolve(manifest).slice(0, -'package.json'.length);
}

/**
 * name -> version of installed npm packages, with Node's own.
 * @param {...string} names
 * @returns {Record<string, string>}
 */
export function versionsOf(...names) {
  const versions = names.map((name) => [name, String(requireModule(`${name}/package.json`, name).version)]);
  return { node: process.versions.node, ...Object.fromEntries(versions) };
}

/**
 * @param {unknown} error
 * @param {string} module
 */
function isMissing(error, module) {
  return (
    error instanceof Error &&
    /** @type {NodeJS.ErrnoException} */ (error).code === 'MODULE_NOT_FOUND' &&
    error.message.includes(`'${module}'`)
  );
}

/**
 * Run and time one execution.
 * @template T
 * @param {() => T | Promise<T>} execute
 * @returns {Promise<[T, number]>} its result, and the nanoseconds it took
 */
export async function timed(execute) {
  const start = process.hrtime.bigint();
  const result = await execute();
  return [result, Number(process.hrtime.bigint() - start)];
}
