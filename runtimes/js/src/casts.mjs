/**
 * Declared casts: dtypes that a runtime lacks and that fit, value by value, into one it has.
 *
 * Every value is range-checked; one that does not fit makes the run `Unsupported`, never a different number.
 */
import { Unsupported } from './runtime.mjs';

/** Integer dtypes that may be fed where int32 is carried. */
export const TO_INT32 = Object.freeze({
  int64: 'int32',
  int8: 'int32',
  uint8: 'int32',
  int16: 'int32',
  uint16: 'int32',
});

const INT32_MIN = -(2n ** 31n);
const INT32_MAX = 2n ** 31n - 1n;

/**
 * Cast one input tensor to the dtype a runtime carries it in.
 * @param {string} name
 * @param {import('./tensor.mjs').Tensor} tensor
 * @param {string} to
 * @returns {import('./tensor.mjs').Tensor}
 * @throws {Unsupported} a value is out of range
 */
export function cast(name, tensor, to) {
  if (to !== 'int32' || !(tensor.dtype in TO_INT32)) {
    throw new TypeError(`there is no cast from ${tensor.dtype} to ${to} (input '${name}')`);
  }
  const source = /** @type {import('./tensor.mjs').NumericTensor} */ (tensor).data;
  const data = new Int32Array(source.length);
  if (source instanceof BigInt64Array) {
    source.forEach((value, i) => {
      if (value < INT32_MIN || value > INT32_MAX) {
        throw new Unsupported(
          `input '${name}' is int64, which is carried as int32 here, and holds ${value} (element ${i}), ` +
            `outside ${INT32_MIN}..${INT32_MAX}`,
        );
      }
      data[i] = Number(value);
    });
  } else {
    data.set(/** @type {Int8Array} */ (source));
  }
  return { dtype: 'int32', shape: tensor.shape, data };
}
