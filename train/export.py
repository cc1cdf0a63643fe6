"""Turn a checkpoint into one ONNX file whose softmax is calibrated.

    python export.py --cache CACHE --checkpoint OUT/checkpoint.pt --onnx ../models/ocelli-200.onnx [--int8]

The averaged weights are taken, batch norm is folded into the convolutions, and a temperature fitted on the held-out
training pictures is folded into the last layer. The weights are stored as float16 and cast once when the file is
loaded, or, with --int8, weights and activations are quantised (QDQ, per channel, calibrated on training pictures).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from torch.nn.utils.fusion import fuse_conv_bn_eval

from metrics import best_temperature
from model import SIZE, ConvBN, Net, serve


def load(checkpoint):
    net = Net()
    net.load_state_dict(torch.load(checkpoint, map_location="cpu")["ema"])
    return net.eval()


def fold_batch_norm(module):
    """Replace every ConvBN below `module` by one convolution."""
    for name, child in module.named_children():
        if isinstance(child, ConvBN):
            setattr(module, name, fuse_conv_bn_eval(*child))
        else:
            fold_batch_norm(child)


def pictures(images, batch):
    """uint8 [N, 64, 64, 3] -> float32 [batch, 3, S, S], one after the other, as they are served."""
    for start in range(0, len(images), batch):
        yield np.stack([serve(Image.fromarray(x)) for x in images[start : start + batch]])


@torch.no_grad()
def predict(net, images):
    """uint8 [N, 64, 64, 3] -> float32 [N, 200]."""
    return np.concatenate([net(torch.from_numpy(x)).numpy() for x in pictures(images, 100)])


def write_float(net, path):
    """The network as ONNX with a free batch dimension."""
    torch.onnx.export(
        net, (torch.zeros(1, 3, SIZE, SIZE),), path, dynamo=False, opset_version=17,
        input_names=["image"], output_names=["logits"], dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
    )


def halve(model):
    """Store the float32 weights as float16, each followed by a Cast that the runtime folds away."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        name, values = weight.name, numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(values, name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    return model


class Reader(CalibrationDataReader):
    """Feeds the quantiser one batch at a time."""

    def __init__(self, images):
        self.batches = pictures(images, 32)

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def quantise(source, target, images):
    """Weights use 7 of the 8 bits: processors without VNNI instructions would overflow with all of them."""
    quantize_static(
        source, target, Reader(images), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        calibrate_method=CalibrationMethod.Percentile, extra_options={"CalibPercentile": 99.99},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--int8", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)

    images = np.load(args.cache / "train_x.npy", mmap_mode="r")
    labels, held = np.load(args.cache / "train_y.npy"), np.load(args.cache / "held.npy")
    net = load(args.checkpoint)
    fold_batch_norm(net)
    temperature = best_temperature(predict(net, images[held]), labels[held])
    print(f"temperature {temperature:.3f}, folded into the last layer")
    with torch.no_grad():
        net.head.weight /= temperature
        net.head.bias /= temperature

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, made = (str(Path(folder) / name) for name in ("plain.onnx", "prepared.onnx", "made.onnx"))
        write_float(net, plain)
        if args.int8:
            quant_pre_process(plain, prepared)
            seen = np.setdiff1d(np.arange(len(labels)), held)
            quantise(prepared, made, images[np.sort(np.random.default_rng(0).choice(seen, 512, replace=False))])
            model = onnx.load(made)
        else:
            model = halve(onnx.load(plain))
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, args.onnx)
    print(f"{args.onnx}: {args.onnx.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
