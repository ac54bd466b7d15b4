/** TF.js in Node on its plain JavaScript backend: slow, complete, and the reference of the other backends. */
import { tfjsRuntime } from '../tfjs.mjs';

export const runtime = tfjsRuntime('cpu');
