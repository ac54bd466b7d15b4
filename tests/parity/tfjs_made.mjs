/**
 * Layers models that TF.js itself builds and saves, with what it computes for them: `node tfjs_made.mjs PACKAGES DIR`.
 *
 * Its files differ from the converter's: no model_config, names of its own, arguments and activations as it likes.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [packages, directory] = process.argv.slice(2);
const tf = createRequire(join(packages, 'package.json'))('@tensorflow/tfjs');
const L = tf.layers;

/** @param {number[]} inputShape @param {any[]} layers */
const sequential = (inputShape, ...layers) => {
  const model = tf.sequential();
  model.add(L.inputLayer({ inputShape }));
  for (const layer of layers) model.add(layer);
  return model;
};

/** A Sequential model whose first layer says the shape. */
const images = () =>
  tf.sequential({
    layers: [
      L.conv2d({ inputShape: [8, 8, 3], filters: 4, kernelSize: 3, activation: 'relu6', padding: 'same' }),
      L.batchNormalization(),
      L.leakyReLU(),
      L.depthwiseConv2d({ kernelSize: 3, activation: 'swish' }),
      L.averagePooling2d({}),
      L.separableConv2d({ filters: 3, kernelSize: 2, activation: 'logSoftmax' }),
      L.upSampling2d({ size: [2, 2] }),
      L.flatten(),
      L.dense({ units: 3, activation: 'softmax', kernelRegularizer: 'l1l2' }),
    ],
  });

/** The recurrent layers by their defaults, which are not those of Keras. */
const series = () =>
  sequential(
    [6, 3],
    L.gru({ units: 4, returnSequences: true }),
    L.lstm({ units: 4, returnSequences: true }),
    L.bidirectional({ layer: L.lstm({ units: 3, returnSequences: true }), mergeMode: 'sum' }),
    L.timeDistributed({ layer: L.dense({ units: 2, activation: 'hardSigmoid' }) }),
    L.simpleRNN({ units: 3 }),
  );

/** Branches, a shared layer, two outputs. */
const branches = () => {
  const a = tf.input({ shape: [4], name: 'a' });
  const b = tf.input({ shape: [4], name: 'b' });
  const shared = L.dense({ units: 5, activation: 'hardSigmoid', name: 'shared' });
  const both = L.concatenate().apply([shared.apply(a), shared.apply(b)]);
  const outputs = [L.add().apply([shared.apply(a), shared.apply(b)]), L.dense({ units: 2 }).apply(both)];
  return tf.model({ inputs: [a, b], outputs: /** @type {any} */ (outputs) });
};

await tf.setBackend('cpu');
for (const [name, build] of Object.entries({ images, series, branches })) {
  const model = build();
  for (const weight of model.weights) {
    const low = weight.name.includes('variance') ? 0.5 : -0.7;
    weight.write(tf.randomUniform(weight.shape, low, 0.9, 'float32', 3));
  }
  const inputs = model.inputs.map(({ shape }, i) => tf.randomNormal([3, ...shape.slice(1)], 0, 1, 'float32', i + 1));
  const outputs = [model.predict(inputs)].flat();
  const target = join(directory, name);
  mkdirSync(target, { recursive: true });
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      const { weightData, weightSpecs, ...rest } = artifacts;
      const weightsManifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
      writeFileSync(join(target, 'weights.bin'), Buffer.from(weightData));
      writeFileSync(join(target, 'model.json'), JSON.stringify({ ...rest, weightsManifest }));
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
    }),
  );
  const plain = (tensors) => tensors.map((tensor) => tensor.arraySync());
  writeFileSync(join(target, 'values.json'), JSON.stringify({ inputs: plain(inputs), outputs: plain(outputs) }));
}
// the names by which TF.js looks classes up
const known = Object.keys(tf.serialization.SerializationMap.getMap().classNameMap);
writeFileSync(join(directory, 'classes.json'), JSON.stringify(known));
