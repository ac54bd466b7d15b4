/**
 * `Einsum`, which the wasm backend of TF.js 4.22 lacks and attention layers are made of.
 *
 * Each equation is reduced to operations that the backend does have: sum out what only one side knows, arrange both
 * sides as [batch, rows, inner] and [batch, inner, columns], multiply, arrange the result. Equations follow
 * `tf.einsum`: explicit output, at most two operands; repeated indices within one operand and ellipses are refused, as
 * in the cpu kernel.
 *
 * @typedef {import('@tensorflow/tfjs').Tensor} TfTensor
 */

/**
 * @param {typeof import('@tensorflow/tfjs')} tf
 * @param {string} equation such as `abc,cd->abd`
 * @param {TfTensor[]} operands
 */
export function einsum(tf, equation, operands) {
  const { terms, result, sizes } = parse(equation, operands);
  const sides = operands.map((tensor, i) => {
    const others = result + terms.filter((_, k) => k !== i).join('');
    return sumOut(tf, { tensor, indices: terms[i] }, others);
  });
  if (sides.length === 1) return permute(tf, sides[0], result);
  const [left, right] = sides;
  const shared = [...left.indices].filter((index) => right.indices.includes(index));
  const batch = shared.filter((index) => result.includes(index)).join('');
  const inner = shared.filter((index) => !result.includes(index)).join('');
  const rows = [...left.indices].filter((index) => !shared.includes(index)).join('');
  const columns = [...right.indices].filter((index) => !shared.includes(index)).join('');
  /** @param {string} indices */
  const size = (indices) => [...indices].reduce((product, index) => product * sizes[index], 1);
  const a = tf.reshape(permute(tf, left, batch + rows + inner), [size(batch), size(rows), size(inner)]);
  const b = tf.reshape(permute(tf, right, batch + inner + columns), [size(batch), size(inner), size(columns)]);
  const arranged = batch + rows + columns;
  const product = tf.reshape(
    tf.matMul(a, b),
    [...arranged].map((index) => sizes[index]),
  );
  return permute(tf, { tensor: product, indices: arranged }, result);
}

/**
 * @param {string} equation
 * @param {TfTensor[]} operands
 */
function parse(equation, operands) {
  const [left, result] = equation.replace(/\s/g, '').split('->');
  const terms = left.split(',');
  if (result === undefined || terms.length !== operands.length || terms.length > 2) {
    throw new Error(
      `Einsum: '${equation}' with ${operands.length} operands; expected an explicit output and at most 2`,
    );
  }
  /** @type {Record<string, number>} */
  const sizes = {};
  terms.forEach((term, i) => {
    if (!/^[A-Za-z]*$/.test(term) || new Set(term).size !== term.length) {
      throw new Error(
        `Einsum: '${term}' of '${equation}' has a repeated index or an ellipsis, which are not supported`,
      );
    }
    if (term.length !== operands[i].shape.length) {
      throw new Error(`Einsum: '${term}' of '${equation}' does not fit the shape [${operands[i].shape}]`);
    }
    [...term].forEach((index, axis) => {
      const size = operands[i].shape[axis];
      if ((sizes[index] ?? size) !== size) {
        throw new Error(`Einsum: index '${index}' of '${equation}' has the sizes ${sizes[index]} and ${size}`);
      }
      sizes[index] = size;
    });
  });
  return { terms, result, sizes };
}

/**
 * Sum over the indices that nobody else uses.
 * @param {typeof import('@tensorflow/tfjs')} tf
 * @param {{tensor: TfTensor, indices: string}} side
 * @param {string} others
 */
function sumOut(tf, { tensor, indices }, others) {
  const axes = [...indices].map((index, axis) => (others.includes(index) ? -1 : axis)).filter((axis) => axis >= 0);
  if (axes.length === 0) return { tensor, indices };
  return {
    tensor: /** @type {TfTensor} */ (tf.sum(tensor, axes)),
    indices: [...indices].filter((_, axis) => !axes.includes(axis)).join(''),
  };
}

/**
 * @param {typeof import('@tensorflow/tfjs')} tf
 * @param {{tensor: TfTensor, indices: string}} side
 * @param {string} order
 * @returns {TfTensor}
 */
function permute(tf, { tensor, indices }, order) {
  // a kernel must not return its own input, so the unchanged order is a (sharing) clone
  if (indices === order) return tensor.clone();
  return tf.transpose(
    tensor,
    [...order].map((index) => indices.indexOf(index)),
  );
}
