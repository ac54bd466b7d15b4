/**
 * What a page does, with nothing of ours: load a model by its URL, call it with tensors by position, read by position.
 *
 * argv: a JSON file, a list of {model: path of model.json, inputs: [{dtype, shape, values}]}. Prints one JSON list per
 * model: {shape, values} of each output, in the order that the call returned. TFJS_FROM names the file beside whose
 * node_modules TF.js is looked for.
 */
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const tf = createRequire(process.env.TFJS_FROM)('@tensorflow/tfjs');
console.warn = () => {};
await tf.setBackend('cpu');
// a server of files, without the network
tf.env().platform.fetch = async (url) => new Response(fs.readFileSync(decodeURIComponent(new URL(url).pathname)));

for (const { model: file, inputs } of JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))) {
  const url = `http://page.test${encodeURI(path.resolve(file))}`;
  const graph = JSON.parse(fs.readFileSync(file, 'utf8')).format === 'graph-model';
  const model = await (graph ? tf.loadGraphModel(url) : tf.loadLayersModel(url));
  const tensors = inputs.map(({ values, shape, dtype }) => tf.tensor(values, shape, dtype));
  const feed = tensors.length === 1 ? tensors[0] : tensors;
  let found;
  try {
    found = model.predict(feed);
  } catch (error) {
    // a graph with a loop is called otherwise, with the same tensors
    if (!graph || !String(error).includes('executeAsync')) throw error;
    found = await model.executeAsync(feed);
  }
  const outputs = await Promise.all(
    [found].flat().map(async (tensor) => ({ shape: tensor.shape, values: Array.from(await tensor.data()) })),
  );
  console.log(JSON.stringify(outputs));
  model.dispose();
}
