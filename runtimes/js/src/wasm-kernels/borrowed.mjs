/**
 * Kernels that the wasm backend of TF.js 4.22 lends from the cpu backend: those it lacks, and the calls of its own
 * that are wrong. A lent call copies its tensors out of the wasm heap and the result back in, so it is slow and right.
 *
 * What is wrong was found by running operations in both backends. `WRONG` says for each kernel in which calls; its own
 * kernel serves all others. A complex tensor cannot live in the wasm backend at all, so the kernels that make or take
 * one are not lent.
 *
 * @typedef {typeof import('@tensorflow/tfjs')} Tf
 * @typedef {import('@tensorflow/tfjs').TensorInfo} TensorInfo
 * @typedef {import('@tensorflow/tfjs').KernelFunc} KernelFunc
 * @typedef {{inputs: Record<string, any>, attrs: Record<string, any>}} Call
 */

const COMPLEX = ['Complex', 'ComplexAbs', 'FFT', 'IFFT', 'Imag', 'Real'];

/** Needs a canvas, which is there for the backend that shows it. */
const DRAWING = ['Draw'];

const SKIPPING = 'returns zeros where strides are longer than the kernel and skip the last rows';

/** @param {Call} call a convolution */
function skips({ inputs, attrs: { strides, dilations = 1, pad } }) {
  const pair = (/** @type {number | number[]} */ value) => (Array.isArray(value) ? value : [value, value]);
  const reach = (/** @type {number} */ i) => (inputs.filter.shape[i] - 1) * pair(dilations)[i] + 1;
  return pad === 'same' && [0, 1].some((i) => reach(i) < pair(strides)[i]);
}

/** @type {Record<string, {why: string, when: (call: Call) => boolean}>} */
export const WRONG = {
  Cast: {
    why: 'truncates to 8 bits before it asks whether a number is zero, so that 0.5 and 256 become false',
    when: ({ attrs }) => attrs.dtype === 'bool',
  },
  Conv2D: { why: SKIPPING, when: skips },
  Conv3DBackpropInputV2: { why: 'computes something else', when: () => true },
  DepthwiseConv2dNative: { why: SKIPPING, when: skips },
  Equal: { why: 'compares the addresses of strings', when: ({ inputs }) => inputs.a.dtype === 'string' },
  FusedConv2D: { why: SKIPPING, when: skips },
  FusedDepthwiseConv2D: { why: SKIPPING, when: skips },
  GatherV2: { why: 'gathers from the wrong rows of a batch', when: ({ attrs }) => attrs.batchDims > 0 },
  MaxPool3D: { why: 'takes the smallest positive number for the least, above all negative ones', when: () => true },
  NotEqual: { why: 'compares the addresses of strings', when: ({ inputs }) => inputs.a.dtype === 'string' },
  OneHot: { why: 'writes integers, whatever the tensor holds', when: () => true },
  Reverse: { why: 'takes booleans for numbers of 4 bytes', when: ({ inputs }) => inputs.x.dtype === 'bool' },
  Select: {
    why: 'copies 4 bytes for each boolean, beyond the end of the tensor',
    when: ({ inputs }) => inputs.t.dtype === 'bool',
  },
  StridedSlice: {
    why: 'takes every element for the 4 bytes of a float',
    when: ({ inputs }) => inputs.x.dtype !== 'float32',
  },
  _FusedMatMul: {
    why: 'adds the bias wrongly where an operand is transposed or there is a batch',
    when: ({ inputs, attrs }) =>
      inputs.bias !== undefined && (attrs.transposeA || attrs.transposeB || inputs.a.shape[0] * inputs.b.shape[0] > 1),
  },
};

/**
 * Register them. The cpu backend has to be there, as it is in the package `@tensorflow/tfjs`.
 * @param {Tf} tf
 * @returns {{lent: string[], mended: string[]}} the kernels that were missing, and those that are wrong in some calls
 */
export function lendKernels(tf) {
  const kernels = (/** @type {string} */ backend) => tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName);
  const own = new Set([...kernels('wasm'), ...COMPLEX, ...DRAWING]);
  const lent = kernels('cpu').filter((name) => !own.has(name));
  for (const kernelName of lent) {
    tf.registerKernel({ kernelName, backendName: 'wasm', kernelFunc: lending(tf, kernelName) });
  }
  const mended = Object.keys(WRONG).filter((name) => tf.getKernel(name, 'wasm') && tf.getKernel(name, 'cpu'));
  for (const kernelName of mended) {
    const kernel = tf.getKernel(kernelName, 'wasm');
    const other = lending(tf, kernelName);
    const { when } = WRONG[kernelName];
    tf.unregisterKernel(kernelName, 'wasm');
    tf.registerKernel({
      ...kernel,
      kernelFunc: (call) => (when(/** @type {Call} */ (call)) ? other : kernel.kernelFunc)(call),
    });
  }
  return { lent, mended };
}

/**
 * A kernel of the wasm backend that is computed by the cpu backend.
 * @param {Tf} tf
 * @param {string} kernelName
 * @returns {KernelFunc}
 */
function lending(tf, kernelName) {
  return ({ inputs, attrs, backend }) => {
    const wasm = /** @type {any} */ (backend);
    const cpu = /** @type {any} */ (tf.engine().findBackend('cpu'));
    /** @type {TensorInfo[]} */
    const made = [];
    const lend = (/** @type {TensorInfo | undefined} */ info) => {
      if (!info) return info;
      made.push(cpu.makeTensorInfo(info.shape, info.dtype, wasm.readSync(info.dataId)));
      return made[made.length - 1];
    };
    const given = Object.fromEntries(
      Object.entries(inputs).map(([name, one]) => [name, Array.isArray(one) ? one.map(lend) : lend(one)]),
    );
    const kernel = tf.getKernel(kernelName, 'cpu');
    const results = kernel.kernelFunc({ inputs: /** @type {any} */ (given), attrs, backend: cpu });
    const taken = [results].flat().map(({ dataId, shape, dtype }) => {
      const values = cpu.readSync(dataId);
      made.push({ dataId, shape, dtype });
      return { dataId: wasm.write(values, shape, dtype), shape, dtype };
    });
    for (const { dataId } of made) cpu.disposeData(dataId);
    return Array.isArray(results) ? taken : taken[0];
  };
}
