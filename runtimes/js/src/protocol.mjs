/**
 * Worker protocol v1 on two pipes: one JSON object per line, requests on file descriptor 3, replies on 4.
 *
 * stdout and stderr are the log: wasm runtimes and native libraries print there, and nothing they print can touch a
 * record. The schema is `exporter/protocol/v1.schema.json`.
 *
 * @typedef {{id: number, op: string} & Record<string, unknown>} Request
 * @typedef {(request: Request) => Promise<object>} Handler
 */
import { createReadStream, fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { Unsupported } from './runtime.mjs';

const REQUESTS = 3;
const REPLIES = 4;

/**
 * Answer requests one after the other until `bye` or the end of the request pipe.
 * @param {ReadonlyMap<string, Handler>} handlers by op
 * @returns {Promise<void>}
 * @throws {Error} a line that is no request, or a WebAssembly trap: the worker cannot go on
 */
export async function serve(handlers) {
  const lines = createInterface({ input: requestStream(), crlfDelay: Infinity });
  for await (const line of lines) {
    if (line.trim() === '') continue;
    const request = parse(line);
    writeRecord({ id: request.id, ...(await answer(handlers, request)) });
    if (request.op === 'bye') return;
  }
}

/**
 * The request pipe as a stream. A file stream would block a thread in read(2), and a process cannot exit while one
 * of its threads waits there; it is only for a file of requests, given by hand.
 */
function requestStream() {
  const kind = fstatSync(REQUESTS);
  return kind.isFIFO() || kind.isSocket()
    ? new Socket({ fd: REQUESTS, readable: true, writable: false })
    : createReadStream('', { fd: REQUESTS });
}

/**
 * @param {ReadonlyMap<string, Handler>} handlers
 * @param {Request} request
 */
async function answer(handlers, request) {
  const stage = request.op === 'run' ? 'run' : 'load';
  const handler = handlers.get(request.op);
  if (handler === undefined) {
    const known = [...handlers.keys()].join(', ');
    return {
      error: {
        stage,
        code: 'unknown-op',
        message: `unknown op '${request.op}'; this worker answers ${known}`,
        trace: '',
      },
    };
  }
  try {
    return { ok: await handler(request) };
  } catch (error) {
    // a trap leaves wasm memory in an unknown state: like a native crash it ends the worker, and costs one answer
    if (error instanceof WebAssembly.RuntimeError) throw error;
    if (error instanceof Unsupported) return { unsupported: { reason: error.message } };
    return { error: { stage, ...describeError(error) } };
  }
}

/**
 * code, message and trace of anything that was thrown; wasm code throws numbers and plain objects too.
 * @param {unknown} error
 */
function describeError(error) {
  if (!(error instanceof Error)) return { code: 'exception', message: String(error), trace: '' };
  const { code } = /** @type {{code?: unknown}} */ (/** @type {unknown} */ (error));
  return {
    code: typeof code === 'string' ? code : error.name,
    message: error.message || error.name,
    trace: error.stack ?? '',
  };
}

/**
 * A line that is no request cannot be answered, because an answer needs its id: the worker ends, loudly.
 * @param {string} line
 * @returns {Request}
 */
function parse(line) {
  /** @type {any} */
  let request;
  try {
    request = JSON.parse(line);
  } catch {
    request = undefined;
  }
  if (!Number.isSafeInteger(request?.id) || request.id < 1 || typeof request.op !== 'string') {
    throw new Error(`not a protocol request (expected an object with an integer id and an op): ${line.slice(0, 200)}`);
  }
  return request;
}

/**
 * Write one record with as few writes as the pipe allows (one, unless it is full or the record is huge).
 * @param {object} record
 */
function writeRecord(record) {
  let rest = Buffer.from(`${JSON.stringify(record)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(REPLIES, rest));
    } catch (error) {
      // a non-blocking pipe whose reader is slow; there is nothing else to do than to wait for it
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
