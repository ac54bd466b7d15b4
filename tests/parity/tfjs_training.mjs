/**
 * What a layers model is told for training, as TF.js understands it: `node tfjs_training.mjs <model.json> <weights>`.
 *
 * The model is built anew from its topology, so that TF.js draws its own weights. Prints JSON: for each weight mean,
 * deviation and largest magnitude of what was drawn, and what its constraint and regularizer make of the given values
 * (a JSON file: name -> flat list).
 */
import { readFileSync } from 'node:fs';
import { requirePackage } from '../../runtimes/js/src/runtime.mjs';

const [modelPath, weightsPath] = process.argv.slice(2);
const tf = requirePackage('@tensorflow/tfjs');
const { modelTopology } = JSON.parse(readFileSync(modelPath, 'utf8'));
const given = JSON.parse(readFileSync(weightsPath, 'utf8'));
const model = await tf.models.modelFromJSON(modelTopology);
/** @type {Record<string, object>} */
const found = {};
for (const layer of model.layers) {
  for (const weight of layer.weights) {
    const variable = weight.originalName.split('/').pop();
    const values = weight.read();
    const own = tf.tensor(given[weight.originalName], values.shape);
    const { mean, variance } = tf.moments(values);
    // cells of recurrent layers hold their own; the names are those of the configuration
    const owner = layer.cell ?? layer;
    const stem = variable.replace(/_kernel$/, '');
    const regularizer = owner[`${stem}Regularizer`];
    const constraint = owner[`${stem}Constraint`];
    found[weight.originalName] = {
      mean: mean.dataSync()[0],
      deviation: Math.sqrt(variance.dataSync()[0]),
      largest: values.abs().max().dataSync()[0],
      penalty: regularizer?.apply(own).dataSync()[0] ?? null,
      constrained: constraint ? [...constraint.apply(own).dataSync()] : null,
    };
  }
}
console.log(JSON.stringify(found));
