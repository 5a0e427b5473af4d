"""Which operations a graph may be made of: plain arithmetic on tensors, and nothing that could touch the world.

What a signature reaches is made of `PURE` alone. What it does not reach (how the network was saved, restored, set up
and trained) is left out, whatever it is; but a graph that holds one of `TELLTALE` anywhere is refused, since no network
needs it.
"""

from __future__ import annotations

from frostline_zoo.errors import InvalidError

_PURE = """
    Abs Add AddN AddV2 ArgMax ArgMin AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpace
    BatchToSpaceND BiasAdd BiasAddV1 BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D
    Conv2DBackpropInput Conv3D Cos CumSum Cumprod DepthToSpace DepthwiseConv2dNative Einsum Elu Equal Erf Erfc
    Erfinv Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather
    GatherNd GatherV2 Greater GreaterEqual Identity IdentityN Inv InvertPermutation IsFinite IsNan L2Loss LRN
    LeakyRelu Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool
    MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mul MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2
    PartitionedCall Placeholder PlaceholderWithDefault Pow PreventGradient Prod Range Rank ReadVariableOp RealDiv
    Reciprocal Relu Relu6 Reshape ResizeBicubic ResizeBilinear ResizeNearestNeighbor ResourceGather Reverse
    ReverseV2 Rint Round Rsqrt Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Size Slice Snapshot Softmax
    Softplus Softsign SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StatefulPartitionedCall StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose TruncateDiv Unpack
    VarHandleOp Variable VariableV2 Where Xdivy ZerosLike
"""
_TELLTALE = """
    AudioSummary CollectiveBcastRecv CollectiveBcastSend CollectiveGather CollectiveReduce CompileAndRun
    ConfigureDistributedTPU CreateSummaryDbWriter CreateSummaryFileWriter DataServiceDataset DataServiceDatasetV2
    DataServiceDatasetV4 DatasetFromGraph DatasetToGraph DatasetToGraphV2 DebugIdentity DebugIdentityV2
    DebugIdentityV3 DecodeProtoV2 EagerPyFunc ExperimentalSqlDataset FixedLengthRecordDataset
    FixedLengthRecordDatasetV2 FixedLengthRecordReaderV2 GeneratorDataset ImageSummary ImmutableConst
    InitializeTableFromTextFile InitializeTableFromTextFileV2 LMDBDataset LoadDataset LoadDatasetV2 MapDataset
    MatchingFiles Print PrintV2 PyFunc PyFuncStateless ReadFile ReaderReadV2 Recv RegisterDataset RegisterDatasetV2
    RemoteCall RpcCall RpcServer SaveDataset SaveDatasetV2 SaveSlices Send SnapshotDataset SnapshotDatasetV2
    SqlDataset TFRecordDataset TFRecordReaderV2 TPUExecute TextLineDataset TextLineReaderV2 WholeFileReader
    WholeFileReaderV2 WriteFile WriteGraphSummary WriteSummary XlaLaunch
"""
_SETTING = "Assign AssignVariableOp IsVariableInitialized RestoreV2 StringJoin VarIsInitializedOp"

PURE = frozenset(_PURE.split())
"""Arithmetic on tensors, the reading of variables, and calls of functions made of these."""

TELLTALE = frozenset(_TELLTALE.split())
"""Operations on files, networks, processes and foreign programs. Saving and restoring are not among them: every saved
network does that, beside its signature."""

SETS_UP = PURE | frozenset(_SETTING.split())
"""What may run before a network is used: its variables are given values."""


def unsafe_operation(op: str, name: str) -> InvalidError:
    """Returns the refusal of an operation that is not on the list."""
    text = f"the graph's {name[:120]!r} is a {op[:80]}, which is not plain arithmetic on tensors and is not taken in"
    return InvalidError(f"{text}: save the network without it", reason="UNSAFE_OP", operation=op[:80])
