/** TF.js artifacts written by hand, small enough to read. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './harness.mjs';

/**
 * Write a model.json with its weights in one shard; returns its path.
 * @param {object} json
 * @param {{name: string, shape: number[], values: number[]}[]} [weights] float32
 * @param {string} [shard]
 */
export function writeTfjs(json, weights = [], shard = 'group1-shard1of1.bin') {
  const directory = join(temporaryDirectory(), 'model');
  mkdirSync(directory);
  const specs = weights.map(({ name, shape }) => ({ name, shape, dtype: 'float32' }));
  const bytes = Buffer.concat(weights.map(({ values }) => Buffer.from(Float32Array.from(values).buffer)));
  writeFileSync(join(directory, shard), bytes);
  const path = join(directory, 'model.json');
  writeFileSync(path, JSON.stringify({ ...json, weightsManifest: [{ paths: [shard], weights: specs }] }));
  return path;
}

/** @param {(number | null)[]} shape */
const dims = (shape) => ({ dim: shape.map((dim) => ({ size: String(dim ?? -1) })) });

/**
 * A graph model. Placeholders are float32; a node is `[name, op, inputs, attributes]`.
 * @param {Record<string, (number | null)[]>} placeholders
 * @param {[string, string, string[], object?][]} nodes
 * @param {Record<string, [string, (number | null)[], string?]>} outputs signature name -> tensor, shape, dtype
 * @param {object[]} [functions]
 */
export const graph = (placeholders, nodes, outputs, functions = []) => ({
  format: 'graph-model',
  modelTopology: {
    node: [
      ...Object.entries(placeholders).map(([name, shape]) => ({
        name,
        op: 'Placeholder',
        attr: { dtype: { type: 'DT_FLOAT' }, shape: { shape: dims(shape) } },
      })),
      ...nodes.map(([name, op, input, attr = {}]) => ({ name, op, input, attr: { T: { type: 'DT_FLOAT' }, ...attr } })),
    ],
    library: { function: functions },
    versions: { producer: 1882 },
  },
  signature: {
    inputs: Object.fromEntries(
      Object.entries(placeholders).map(([name, shape]) => [
        `${name}_in`,
        { name: `${name}:0`, dtype: 'DT_FLOAT', tensorShape: dims(shape) },
      ]),
    ),
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([key, [name, shape, dtype = 'DT_FLOAT']]) => [
        key,
        { name, dtype, tensorShape: dims(shape) },
      ]),
    ),
  },
});

/** @param {(number | null)[]} shape */
export const constant = (shape) => ({
  dtype: { type: 'DT_FLOAT' },
  value: { tensor: { dtype: 'DT_FLOAT', tensorShape: dims(shape) } },
});

/**
 * A functional layers model.
 * @param {[string, string, object, [string, number][]][]} layers name, class, config, inbound (layer, node index)
 * @param {[string, number][]} inputs
 * @param {[string, number][]} outputs
 */
export const layersModel = (layers, inputs, outputs) => ({
  format: 'layers-model',
  modelTopology: {
    keras_version: '2.15.0',
    backend: 'tensorflow',
    model_config: {
      class_name: 'Model',
      config: {
        name: 'model',
        layers: layers.map(([name, className, config, inbound]) => ({
          class_name: className,
          name,
          config: { name, dtype: 'float32', ...config },
          // one call per inbound entry, except for a merge, which is one call of several
          inbound_nodes:
            className === 'Concatenate'
              ? [inbound.map(([from, node]) => [from, node, 0, {}])]
              : inbound.map(([from, node]) => [[from, node, 0, {}]]),
        })),
        input_layers: inputs.map(([name, node]) => [name, node, 0]),
        output_layers: outputs.map(([name, node]) => [name, node, 0]),
      },
    },
  },
});
