/** Einsum by its definition, for comparison with our kernel. */

/**
 * Values with a period that no shape above divides.
 * @param {number[]} shape
 * @param {number} k
 */
export function fill(shape, k) {
  return Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 7 + k * 3) % 11) - 5);
}

/**
 * The definition of einsum, one multiplication at a time.
 * @param {string} equation
 * @param {number[][]} shapes
 * @param {number[][]} operands
 */
export function byHand(equation, shapes, operands) {
  const [left, result] = equation.split('->');
  const terms = left.split(',');
  /** @type {Record<string, number>} */
  const sizes = {};
  terms.forEach((term, k) => [...term].forEach((index, axis) => (sizes[index] = shapes[k][axis])));
  const indices = Object.keys(sizes);
  /** @param {string} term @param {Record<string, number>} at */
  const offset = (term, at) => [...term].reduce((sum, index) => sum * sizes[index] + at[index], 0);
  const shape = [...result].map((index) => sizes[index]);
  const data = new Array(shape.reduce((a, b) => a * b, 1)).fill(0);
  const total = indices.reduce((product, index) => product * sizes[index], 1);
  for (let n = 0; n < total; n++) {
    /** @type {Record<string, number>} */
    const at = {};
    let rest = n;
    for (const index of indices) {
      at[index] = rest % sizes[index];
      rest = Math.floor(rest / sizes[index]);
    }
    data[offset(result, at)] += terms.reduce((product, term, k) => product * operands[k][offset(term, at)], 1);
  }
  return { shape, data };
}
