"""Run by `test_convert.py`: the three published networks in TensorFlow, with random weights.

    python tensorflow_networks.py NETWORK WIDTH CLASSES FOLDER

writes a checkpoint as the authors' code does, and `<network>.npz`: an input and what TensorFlow
computes from it, channels last. A program of its own, so that the tests never load TensorFlow
beside PyTorch.
"""

import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import h5py
import numpy as np
import tensorflow as tf

EPSILON = 0.001
CONVOLUTIONS = (64, 64, 128, 128, 256, 256, 256, 256)
RNG = np.random.default_rng(7)


def scaled(units, width):
    return max(1, round(units * width))


def drawn(name, shape):
    """Weights that keep activations of order one; statistics unlike those of a new network."""
    if any(word in name.lower() for word in ("variance", "squeeze_1", "gamma")):
        values = 0.5 + RNG.random(shape)
    elif len(shape) == 1:
        values = 0.1 * RNG.standard_normal(shape)
    else:
        values = RNG.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return values.astype(np.float32)


def inputs(*shape):
    return RNG.random((5, *shape), dtype=np.float32)


# PIFiA: an object graph, saved by paths of attributes


class Part(tf.Module):
    def __init__(self, name, **shapes):
        super().__init__(name)
        for key, shape in shapes.items():
            setattr(self, key, tf.Variable(drawn(key, shape), trainable=key[0] != "m", name=key))


def conv_part(inputs, outputs):
    return Part("conv", kernel=(3, 3, inputs, outputs), bias=(outputs,))


def norm_part(units):
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    return Part("norm", **dict.fromkeys(keys, (units,)))


def dense_part(inputs, outputs):
    return Part("dense", kernel=(inputs, outputs), bias=(outputs,))


class Pifia(tf.Module):
    def __init__(self, width, classes):
        super().__init__("pifia")
        channels = [1, *(scaled(units, width) for units in CONVOLUTIONS)]
        for i in range(1, 9):
            setattr(self, f"conv{i}", conv_part(channels[i - 1], channels[i]))
            setattr(self, f"bn{i}", norm_part(channels[i]))
        first, second = scaled(128, width), scaled(64, width)
        self.d1 = dense_part(channels[-1] * 4, first)
        self.d2 = dense_part(first, second)
        self.d3 = dense_part(second, classes)

    def __call__(self, x):
        found = {}
        for i in range(1, 9):
            conv, norm = getattr(self, f"conv{i}"), getattr(self, f"bn{i}")
            x = found[f"conv{i}_linear"] = tf.nn.conv2d(x, conv.kernel, 1, "VALID") + conv.bias
            x = tf.nn.batch_normalization(
                x, norm.moving_mean, norm.moving_variance, norm.beta, norm.gamma, EPSILON
            )
            x = found[f"conv{i}"] = tf.nn.relu(x)
            if i in (2, 4, 8):
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.reshape(x, (len(x), -1))
        x = found["d1"] = tf.nn.relu(x @ self.d1.kernel + self.d1.bias)
        x = found["d2"] = tf.nn.relu(x @ self.d2.kernel + self.d2.bias)
        found["logits"] = x @ self.d3.kernel + self.d3.bias
        return found


def pifia(width, classes, folder):
    model, images = Pifia(width, classes), inputs(64, 64, 1)
    slot = tf.train.Checkpoint(momentum=tf.Variable(drawn("m", (3,))))
    attributes = {k: v for k, v in vars(model).items() if isinstance(v, Part)}
    tf.train.Checkpoint(**attributes, optimizer=slot).save(str(folder / "pifia"))
    wanted = ("conv1", "conv4", "conv8_linear", "conv8", "d1", "d2", "logits")
    return {"input": images, **{key: model(images)[key].numpy() for key in wanted}}


# Paired Cell Inpainting: a Keras model, its weights laid out in HDF5 as Keras 2 does

NORMS = {
    "conv1_1": "", "conv2_1": "_1", "rfpconv1_1": "_2", "rfpconv2_1": "_3",
    "conv3_1": "_4", "conv4_1": "_5", "conv5_1": "_6", "rfpconv3_1": "_7",
}  # fmt: skip


def paired_cell(width, classes, folder):
    layers = tf.keras.layers

    def encode(x, units, name, pool):
        x = layers.Conv2D(scaled(units, width), 3, padding="same", activation="relu", name=name)(x)
        x = layers.BatchNormalization(epsilon=EPSILON, name=f"batch_normalization{NORMS[name]}")(x)
        return layers.MaxPooling2D(2)(x) if pool else x

    source, marker = layers.Input((64, 64, 2)), layers.Input((64, 64, 1))
    x, y = source, marker
    for i, units in enumerate((96, 256, 384, 384, 256), start=1):
        x = encode(x, units, f"conv{i}_1", i <= 2)
    for i, units in enumerate((16, 32, 32), start=1):
        y = encode(y, units, f"rfpconv{i}_1", i <= 2)
    x = layers.Concatenate()([x, y])
    for i, units in enumerate((256, 384, 384, 256, 96), start=6):
        x = layers.UpSampling2D(2)(x) if i >= 9 else x
        x = layers.Conv2D(
            scaled(units, width), 3, padding="same", activation="relu", name=f"conv{i}_1"
        )(x)
    model = tf.keras.Model([source, marker], layers.Conv2D(1, 1, name="y_gfp")(x))
    for variable in model.variables:
        variable.assign(drawn(variable.name, tuple(variable.shape)))
    with h5py.File(folder / "paired_cell.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"] = b"tensorflow"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = variable.numpy()
    images, markers = inputs(64, 64, 2), inputs(64, 64, 1)
    keys = [f"conv{i}_1" for i in range(1, 6)]
    whole = tf.keras.Model(
        model.inputs, [*(model.get_layer(key).output for key in keys), model.outputs[0]]
    )
    found = [value.numpy() for value in whole([images, markers], training=False)]
    return {
        "input": images,
        "target_marker": markers,
        **dict(zip([*keys, "prediction"], found, strict=True)),
    }


# DeepLoc: a TensorFlow 1 graph and its Saver, with the names that the published code's scopes make


def deeploc(width, classes, folder):
    v1 = tf.compat.v1
    found = {}

    def variable(name, shape, trainable=True):
        made = v1.Variable(drawn(name, shape), name=name, trainable=trainable, use_resource=False)
        assert made.op.name == name
        return made

    def normalised(x, name, units):
        norm = f"{name}/batch_norm/{name}_batch_norm"
        moments = f"{name}_batch_norm/{norm}/moments"
        beta, gamma = variable(f"{norm}/beta", (units,)), variable(f"{norm}/gamma", (units,))
        mean, spread = (
            variable(f"{moments}/{part}/ExponentialMovingAverage", (units,), trainable=False)
            for part in ("Squeeze", "Squeeze_1")
        )
        return tf.nn.batch_normalization(x, mean, spread, beta, gamma, EPSILON)

    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.Variable(0, trainable=False, name="Variable", use_resource=False)
        images = v1.placeholder(tf.float32, (None, 60, 60, 2))
        x, channels = images, 2
        for i, units in enumerate((scaled(units, width) for units in CONVOLUTIONS), start=1):
            kernel = variable(f"conv_{i}/weights/Variable", (3, 3, channels, units))
            x = tf.nn.conv2d(x, kernel, 1, "SAME") + variable(f"conv_{i}/biases/Variable", (units,))
            x = found[f"conv_{i}"] = tf.nn.relu(normalised(x, f"conv_{i}", units))
            if i in (2, 4, 8):
                x = tf.nn.max_pool2d(x, 2, 2, "SAME")
            channels = units
        x, before = tf.reshape(x, (-1, 64 * channels)), 64 * channels
        for name, units in (
            ("fc_1", scaled(512, width)), ("fc_2", scaled(512, width)), ("final_layer", classes),
        ):  # fmt: skip
            kernel = variable(f"{name}/weights/Variable", (before, units))
            x = x @ kernel + variable(f"{name}/biases/Variable", (units,))
            x = normalised(x, name, units)
            if name != "final_layer":
                x = found[name] = tf.nn.relu(x)
            before = units
        found["logits"] = x
        v1.train.AdamOptimizer(0.1).minimize(tf.reduce_mean(x), global_step=step)
        session.run(v1.global_variables_initializer())
        for version, name in ((v1.train.SaverDef.V2, "model.ckpt"), (v1.train.SaverDef.V1, "old")):
            saver = v1.train.Saver(v1.global_variables(), write_version=version)
            saver.save(session, str(folder / name), global_step=5000, write_meta_graph=False)
        values = inputs(60, 60, 2)
        wanted = ("conv_1", "conv_3", "conv_5", "conv_8", "fc_1", "fc_2", "logits")
        return {
            "input": values,
            **session.run({key: found[key] for key in wanted}, {images: values}),
        }


if __name__ == "__main__":
    network, width, classes, folder = sys.argv[1:]
    write = {"pifia": pifia, "paired_cell": paired_cell, "deeploc": deeploc}[network]
    arrays = write(float(width), int(classes), Path(folder))
    np.savez(Path(folder) / f"{network}.npz", **arrays)
