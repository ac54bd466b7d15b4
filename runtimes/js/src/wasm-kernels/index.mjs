/**
 * What the wasm backend of TF.js 4.22 needs before common model families run, and run right, on it.
 *
 *     import * as tf from '@tensorflow/tfjs';
 *     import '@tensorflow/tfjs-backend-wasm';
 *     import { installWasmKernels } from './wasm-kernels/index.mjs';
 *     installWasmKernels(tf);
 *     await tf.setBackend('wasm');
 *
 * These three files depend on nothing but the `tf` that is given, in a page as in Node.
 *
 * `Identity`: the backend's own kernel copies its input, the cpu and webgl ones share it. The graph executor disposes
 * a function's intermediate tensors while a TensorList still refers to them, which only sharing survives: every Keras
 * RNN with a While loop dies with "Cannot read properties of undefined (reading 'backend')".
 *
 * `Einsum`: see einsum.mjs. All others: see borrowed.mjs.
 */
import { lendKernels } from './borrowed.mjs';
import { einsum } from './einsum.mjs';

/**
 * Replace and add the kernels. Call once, after the wasm backend was imported and before a model runs.
 * @param {typeof import('@tensorflow/tfjs')} tf
 * @returns {{lent: string[], mended: string[]}} the names of kernels that the cpu backend computes: always, as the wasm
 *   backend lacks them; or in the calls that its own get wrong. Empty where no cpu backend was imported.
 */
export function installWasmKernels(tf) {
  tf.unregisterKernel('Identity', 'wasm');
  tf.registerKernel({
    kernelName: 'Identity',
    backendName: 'wasm',
    kernelFunc: ({ inputs, backend }) => {
      const { dataId, shape, dtype } = /** @type {import('@tensorflow/tfjs').TensorInfo} */ (inputs.x);
      /** @type {{incRef(id: object): void}} */ (backend).incRef(dataId);
      return { dataId, shape, dtype };
    },
  });
  // a later release may bring its own
  if (!tf.getKernel('Einsum', 'wasm')) {
    tf.registerKernel({
      kernelName: 'Einsum',
      backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => {
        const operands = /** @type {import('@tensorflow/tfjs').Tensor[]} */ (
          /** @type {unknown} */ (Object.values(inputs))
        );
        const equation = String(/** @type {Record<string, unknown>} */ (attrs).equation);
        return tf.tidy(() => einsum(tf, equation, operands));
      },
    });
  }
  return lendKernels(tf);
}
