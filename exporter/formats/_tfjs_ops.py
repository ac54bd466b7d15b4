"""What TF.js 4.22 graph models can execute: its op tables, and where an op ignores what TensorFlow obeys.

`KNOWN` lists the `tfOpName`s of tfjs-converter 4.22 (src/operations/op_list/*.ts) that an executor implements
(src/operations/executors/*.ts), without BitwiseAnd and ImageProjectiveTransformV3: those raise on every input, because
table and executor name their parameters differently. `LIMITS` lists attributes that those executors do not read: a
graph that sets them loads, runs and computes something else, so it has to be refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TFJS_VERSION = "4.22"

_KNOWN_TEXT = """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool AvgPool3D
    BatchMatMul BatchMatMulV2 BatchToSpaceND BiasAdd Bincount BroadcastArgs BroadcastTo Cast Ceil
    ClipByValue Complex ComplexAbs Concat ConcatV2 Const Conv1D Conv2D Conv2DBackpropInput Conv3D Cos Cosh
    CropAndResize Cumprod Cumsum DenseBincount DepthToSpace DepthwiseConv2d DepthwiseConv2dNative Dilation2D Div
    DivNoNan Einsum Elu EmptyTensorList EnsureShape Enter Equal Erf EuclideanNorm Exit Exp ExpandDims Expm1 FFT
    FakeQuantWithMinMaxVars Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3
    FusedDepthwiseConv2dNative Gather GatherNd GatherV2 Greater GreaterEqual HashTable HashTableV2 IFFT IRFFT
    Identity IdentityN If Imag InitializeTable InitializeTableV2 IsFinite IsInf IsNan
    LRN LeakyRelu Less LessEqual LinSpace ListDiff Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr
    LookupTableFind LookupTableFindV2 LookupTableImport LookupTableImportV2 LookupTableSize LookupTableSizeV2
    LoopCond LowerBound MatMul MatrixBandPart Max MaxPool MaxPool3D MaxPoolWithArgmax Maximum Mean Merge Min
    Minimum MirrorPad Mod Mul Multinomial Neg NextIteration NoOp NonMaxSuppressionV2 NonMaxSuppressionV3
    NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual OneHot Ones OnesLike Pack Pad PadV2 Placeholder
    PlaceholderWithDefault Pow Prelu Print Prod RFFT RaggedGather RaggedRange RaggedTensorToTensor
    RandomStandardNormal RandomUniform RandomUniformInt Range Rank Real RealDiv Reciprocal Relu Relu6 Reshape
    ResizeBilinear ResizeNearestNeighbor Reverse ReverseV2 Round Rsqrt ScatterNd Select SelectV2 Selu Shape
    ShapeN Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus SpaceToBatchND SparseFillEmptyRows
    SparseReshape SparseSegmentMean SparseSegmentSum SparseToDense Split SplitV Sqrt Square SquaredDifference
    Squeeze StatelessIf StatelessWhile StaticRegexReplace StopGradient StridedSlice StringNGrams StringSplit
    StringToHashBucketFast Sub Sum Switch Tan Tanh TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3
    TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3
    TensorListConcat TensorListConcatV2 TensorListFromTensor TensorListGather TensorListGetItem TensorListLength
    TensorListPopBack TensorListPushBack TensorListReserve TensorListResize TensorListScatter
    TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack TensorScatterUpdate Tile TopKV2
    Transpose TruncatedNormal Unique UniqueV2 Unpack UpperBound Where While Zeros ZerosLike _FusedConv2D
    _FusedMatMul
"""
KNOWN = frozenset(_KNOWN_TEXT.split())

# Nothing but structure happens to the values, so 8-bit integers survive as the int32 TF.js keeps them in.
_MOVES_ONLY_TEXT = """
    Placeholder Const Identity IdentityN Reshape ExpandDims Squeeze Transpose Slice StridedSlice GatherV2
    GatherNd ConcatV2 Pack Unpack Split SplitV Tile ReverseV2 Shape Size Rank Switch Merge Enter Exit
    NextIteration
"""
MOVES_ONLY = frozenset(_MOVES_ONLY_TEXT.split())

# Ops Keras leaves behind whose names say little to a reader.
EXPLAIN: Mapping[str, str] = {
    "StatefulPartitionedCall": "a compiled function, which is how Keras writes grouped convolutions",
    "PartitionedCall": "a function that could not be inlined",
    "Conv3DBackpropInputV2": "the gradient Keras uses as Conv3DTranspose",
    "Bucketize": "Discretization",
    "StringToHashBucketStrong": "Hashing with a salt",
    "ResizeBicubic": "bicubic resizing",
}


@dataclass(frozen=True)
class Limit:
    """An attribute the executor ignores: `holds` is the one value it then computes, `why` completes 'TF.js …'."""

    attribute: str
    holds: Callable[[Any], bool]
    why: str


def _ones(value: Any) -> bool:
    return all(i == 1 for i in value.list.i)


def _flat_window(value: Any) -> bool:
    return not value.list.i or (value.list.i[0] == 1 and value.list.i[-1] == 1)


def _is_float(value: Any) -> bool:
    return int(value.type) == 1  # DT_FLOAT


def _is_integer(value: Any) -> bool:
    return int(value.type) != 1


_CHANNELS_LAST = Limit("data_format", lambda v: v.s in (b"", b"NHWC", b"NDHWC"), "computes it with the channels last")
_WINDOW = Limit("ksize", _flat_window, "pools over space only")
_INFERENCE = Limit("is_training", lambda v: not v.b, "always uses the stored statistics")
_FLOAT_MEAN = Limit("T", _is_float, "returns float32 where TensorFlow truncates to an integer")

# applies to every op that has the attribute
GENERAL = (_CHANNELS_LAST,)

LIMITS: Mapping[str, tuple[Limit, ...]] = {
    "AvgPool": (_WINDOW,),
    "AvgPool3D": (_WINDOW,),
    "Conv2DBackpropInput": (Limit("dilations", _ones, "ignores its dilation"),),
    "Div": (Limit("T", _is_float, "rounds the quotient down where TensorFlow truncates it"),),
    "FloorDiv": (Limit("T", _is_integer, "returns int32 for a float quotient"),),
    "FusedBatchNorm": (_INFERENCE,),
    "FusedBatchNormV2": (_INFERENCE,),
    "FusedBatchNormV3": (_INFERENCE,),
    "MaxPool": (_WINDOW, Limit("padding", lambda v: v.s != b"EXPLICIT", "ignores explicit padding")),
    "MaxPool3D": (_WINDOW,),
    "Mean": (_FLOAT_MEAN,),
    "Mod": (Limit("T", _is_float, "takes the sign of the divisor where TensorFlow takes the dividend's"),),
}

# op -> indices of inputs of which TF.js reads the first element only
SCALAR_INPUTS: Mapping[str, tuple[int, ...]] = {"ClipByValue": (1, 2), "PadV2": (2,)}

# activations the fused kernels of every backend know (tfjs-core/src/ops/fused_types.ts); not, for one, Tanh
FUSABLE_ACTIVATIONS = frozenset({"Relu", "Relu6", "Elu", "LeakyRelu", "Sigmoid"})
