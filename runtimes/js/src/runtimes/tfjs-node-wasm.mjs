/** TF.js in Node on its WebAssembly backend (SIMD, one thread), with our repairs of its kernels. */
import { tfjsRuntime } from '../tfjs.mjs';

export const runtime = tfjsRuntime('wasm');
