"""The messages of TensorFlow's files that are read here, declared field by field for the protobuf package.

Numbers and types are those of TensorFlow's own `.proto` files (tensorflow/core/protobuf and core/framework); fields
that nothing here reads are left out, and protobuf steps over them. Enumerations are plain integers.
"""

from functools import cache
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "isthmus.tensorflow"

# One line a message: its name, then `number type name`; `*` marks a repeated field, `{}` a map from strings.
_SCHEMA = """
SavedModel: 1 int64 saved_model_schema_version, 2 MetaGraphDef* meta_graphs
MetaGraphDef: 1 MetaInfoDef meta_info_def, 2 GraphDef graph_def, 3 SaverDef saver_def, 5 SignatureDef{} signature_def
MetaInfoDef: 4 string* tags, 5 string tensorflow_version
SaverDef: 1 string filename_tensor_name, 2 string save_tensor_name, 3 string restore_op_name
SignatureDef: 1 TensorInfo{} inputs, 2 TensorInfo{} outputs, 3 string method_name
TensorInfo: 1 string name, 2 int32 dtype, 3 TensorShapeProto tensor_shape
GraphDef: 1 NodeDef* node, 2 FunctionDefLibrary library, 4 VersionDef versions
VersionDef: 1 int32 producer, 2 int32 min_consumer
NodeDef: 1 string name, 2 string op, 3 string* input, 4 string device, 5 AttrValue{} attr
AttrValue: 1 ListValue list, 2 bytes s, 3 int64 i, 4 float f, 5 bool b, 6 int32 type, 7 TensorShapeProto shape, \
8 TensorProto tensor, 9 string placeholder, 10 NameAttrList func
ListValue: 2 bytes* s, 3 int64* i, 4 float* f, 5 bool* b, 6 int32* type, 7 TensorShapeProto* shape, \
8 TensorProto* tensor, 9 NameAttrList* func
NameAttrList: 1 string name, 2 AttrValue{} attr
FunctionDefLibrary: 1 FunctionDef* function
FunctionDef: 1 OpDef signature, 3 NodeDef* node_def, 4 string{} ret, 6 string{} control_ret
OpDef: 1 string name, 2 ArgDef* input_arg, 3 ArgDef* output_arg
ArgDef: 1 string name, 3 int32 type
TensorShapeProto: 2 Dim* dim, 3 bool unknown_rank
Dim: 1 int64 size, 2 string name
TensorProto: 1 int32 dtype, 2 TensorShapeProto tensor_shape, 4 bytes tensor_content, 5 float* float_val, \
6 double* double_val, 7 int32* int_val, 8 bytes* string_val, 9 float* scomplex_val, 10 int64* int64_val, \
11 bool* bool_val, 12 double* dcomplex_val, 13 int32* half_val, 16 uint32* uint32_val, 17 uint64* uint64_val
BundleHeaderProto: 1 int32 num_shards, 2 int32 endianness
BundleEntryProto: 1 int32 dtype, 2 TensorShapeProto shape, 3 int32 shard_id, 4 int64 offset, 5 int64 size, \
6 fixed32 crc32c, 7 TensorSliceProto* slices
TensorSliceProto: 1 Extent* extent
Extent: 1 int64 start, 2 int64 length
"""


@cache
def message_class(name: str) -> Any:
    """The class of a message of the schema above."""
    return GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> DescriptorPool:
    """A pool of our own: the framework, where it is loaded too, registers these messages in protobuf's default one."""
    file = FileDescriptorProto(name="isthmus/tensorflow.proto", package=_PACKAGE, syntax="proto2")
    for line in filter(None, _SCHEMA.splitlines()):
        name, _, fields = line.partition(": ")
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            number, type, label = field.split()
            _add_field(message, int(number), type, label)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(message: DescriptorProto, number: int, type: str, name: str) -> None:
    repeated = type.endswith(("*", "{}"))
    field = message.field.add(name=name, number=number, label=3 if repeated else 1)
    if type.endswith("{}"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, 1, "string", "key")
        _add_field(entry, 2, type.removesuffix("{}"), "value")
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
        return
    type = type.removesuffix("*")
    if type[0].isupper():
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{type}"
        return
    field.type = FieldDescriptorProto.Type.Value(f"TYPE_{type.upper()}")
    if repeated and type not in ("string", "bytes"):
        field.options.packed = True
