/**
 * Call a graph model as a page does: plainly first, and by `executeAsync` only where TF.js says that it must be so.
 *
 * `predict` is `execute` on the outputs of the signature. It throws on every graph with a loop, a condition, a table or
 * an output whose size depends on values, so an answer that came from `executeAsync` is not what a page gets that calls
 * `predict`, and says which call it was.
 *
 * @typedef {import('@tensorflow/tfjs').GraphModel} GraphModel
 * @typedef {import('@tensorflow/tfjs').Tensor} TfTensor
 * @typedef {'execute' | 'executeAsync'} Call
 */

// both refusals of GraphExecutor: before anything runs, and at an op that turns out to be asynchronous
const REFUSED = 'Please use model.executeAsync() instead';

/**
 * Callers of one graph model; which call it takes is found out once, as it does not depend on what is fed.
 * @param {GraphModel} model
 * @returns {(feeds: Record<string, TfTensor>, outputs: string[]) => Promise<{call: Call, results: TfTensor[]}>}
 *   `outputs` are names of tensors
 */
export function caller(model) {
  let plain = true;
  return async (feeds, outputs) => {
    if (plain) {
      try {
        return { call: 'execute', results: [model.execute(feeds, outputs)].flat() };
      } catch (error) {
        if (!(error instanceof Error && error.message.includes(REFUSED))) throw error;
        plain = false;
        return await withoutStrays(() => callAsync(model, feeds, outputs));
      }
    }
    return callAsync(model, feeds, outputs);
  };
}

/**
 * @param {GraphModel} model
 * @param {Record<string, TfTensor>} feeds
 * @param {string[]} outputs
 * @returns {Promise<{call: Call, results: TfTensor[]}>}
 */
async function callAsync(model, feeds, outputs) {
  return { call: 'executeAsync', results: [await model.executeAsync(feeds, outputs)].flat() };
}

/**
 * Do something right after a refused plain call, which may have left an op running without anybody who waits for it
 * (`If`, tensor lists): its tensors are gone, and that it fails must not end the process.
 * @template T
 * @param {() => Promise<T>} act
 */
async function withoutStrays(act) {
  const ignore = () => {};
  // the wasm backend has put a listener there that throws
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', ignore);
  try {
    return await act();
  } finally {
    // the stray op fails within turns of its own
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', ignore);
    for (const listener of others) process.on('unhandledRejection', listener);
  }
}
