"""Linking: layout, every reference that compiled code makes, and refusals by name."""

import ctypes
import struct

import numpy as np
import pytest

from isthmus.backends.cpu import elf, link, native, pool_ir, relocate
from isthmus.runtime import DeviceError

# Reads a constant pool, a table, zeroed and initialised variables, and calls through a table of addresses.
EVERYTHING = """
@table = internal constant [4 x double] [double 1.5, double 2.5, double 3.5, double 4.5]
@count = internal global i64 7
@zeros = internal global [16 x i64] zeroinitializer, align 64
@public = constant i64 100
@functions = internal constant [2 x ptr] [ptr @plus, ptr @times]
define internal double @plus(double %x) noinline {
  %r = fadd double %x, 1.25
  ret double %r
}
define internal double @times(double %x) noinline {
  %r = fmul double %x, 3.5
  ret double %r
}
define double @value(i64 %i) {
  %at = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %v = load double, ptr %at
  %low = and i64 %i, 1
  %function.at = getelementptr [2 x ptr], ptr @functions, i64 0, i64 %low
  %function = load ptr, ptr %function.at
  %r = call double %function(double %v)
  ret double %r
}
define i64 @next() {
  %old = load i64, ptr @count
  %new = add i64 %old, 1
  store i64 %new, ptr @count
  %zero = load i64, ptr getelementptr ([16 x i64], ptr @zeros, i64 0, i64 9)
  %public = load i64, ptr @public
  %sum = add i64 %new, %zero
  %all = add i64 %sum, %public
  ret i64 %all
}
define void @unused() {
  call void @nowhere()
  ret void
}
declare void @nowhere()
"""


def mapped(image: link.Image) -> native.Mapping:
    return native.Mapping(
        np.frombuffer(image.code, np.uint8), image.size, image.writable, image.fixups, "test"
    )


@pytest.fixture(scope="module")
def image(compile_ir):
    text = EVERYTHING.replace("call void @nowhere()", "")
    return link.link([compile_ir(text)], ["value", "next"])


def test_linked_code_computes(image):
    mapping = mapped(image)
    value = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(mapping.base + image.entries["value"])
    assert [value(i) for i in range(4)] == [2.75, 8.75, 4.75, 15.75]


def test_variables_start_as_written_and_belong_to_a_mapping(image):
    mappings = mapped(image), mapped(image)
    counters = [
        ctypes.CFUNCTYPE(ctypes.c_int64)(mapping.base + image.entries["next"]) for mapping in mappings
    ]
    assert [counters[0](), counters[0](), counters[1]()] == [108, 109, 108]


def test_writable_data_lies_on_pages_of_its_own(image):
    assert image.writable % 4096 == 0
    assert 0 < image.writable < image.size
    assert all(offset < image.writable for offset in image.entries.values())
    assert len(image.code) < image.size  # zeroed data takes no bytes in the file


def test_pages_are_never_writable_and_executable(image):
    mapping = mapped(image)
    with open("/proc/self/maps") as maps:
        modes = {int(line.split("-")[0], 16): line.split()[1] for line in maps}
    assert modes[mapping.base] == "r-xp"
    # What follows may have been merged with a neighbour of the same mode, but starts no later than our first page.
    data = max(start for start in modes if start <= mapping.base + image.writable)
    assert modes[data] == "rw-p"


def test_equal_objects_give_equal_images(compile_ir):
    text = EVERYTHING.replace("call void @nowhere()", "")
    assert link.link([compile_ir(text)], ["value"]) == link.link([compile_ir(text)], ["value"])


def test_undefined_symbols_are_named(compile_ir):
    with pytest.raises(DeviceError, match="undefined symbol 'nowhere'; emit its code into the module"):
        link.link([compile_ir(EVERYTHING)], ["value"])


def test_libm_calls_are_refused(compile_ir):
    text = """
declare float @llvm.exp.f32(float)
define float @f(float %x) {
  %r = call float @llvm.exp.f32(float %x)
  ret float %r
}"""
    with pytest.raises(DeviceError, match="undefined symbol 'expf'"):
        link.link([compile_ir(text)], ["f"])


def test_missing_exports_are_named(sample_object):
    with pytest.raises(DeviceError, match="does not define segment_9, segment_8"):
        link.link([sample_object], ["segment_9", "segment_0", "segment_8"])


def test_other_machines_are_refused(compile_ir):
    text = "define i64 @f() {\n ret i64 1\n}"
    with pytest.raises(DeviceError, match="ELF machine 243 can't be linked here, only x86-64, aarch64"):
        link.link([compile_ir(text, "riscv64-unknown-linux-gnu")], ["f"])


@pytest.mark.parametrize("triple", ["x86_64-apple-macosx", "x86_64-pc-windows-msvc"])
def test_other_formats_are_refused(compile_ir, triple):
    with pytest.raises(DeviceError, match="expected a 64-bit little-endian ELF relocatable object"):
        link.link([compile_ir("define i64 @f() {\n ret i64 1\n}", triple)], ["f"])


def test_fixed_addresses_are_refused(compile_ir):
    data = bytearray(
        compile_ir("@v = internal global i64 1\ndefine i64 @f() {\n %r = load i64, ptr @v\n ret i64 %r\n}")
    )
    symbols = elf.read(bytes(data)).symbols
    pattern = struct.Struct("<II")
    relative = [i for n in range(len(symbols)) for i in [data.find(pattern.pack(2, n))] if i >= 0]
    for place in relative:
        pattern.pack_into(data, place, 11, pattern.unpack_from(data, place)[1])  # R_X86_64_32S
    with pytest.raises(DeviceError, match=r"relocation 11 against .* needs a fixed address"):
        link.link([bytes(data)], ["f"])


@pytest.mark.parametrize("size", [0, 3, 40, 64, 500])
def test_truncated_objects_are_refused(sample_object, size):
    with pytest.raises(DeviceError):
        link.link([sample_object[:size]], ["segment_0"])


def test_pool_links_without_externals_on_both_machines(compile_ir):
    for triple in ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"):
        machine = pool_ir.machine_of(triple)
        text = pool_ir.barrier_ir(machine) + pool_ir.pool_ir(machine)
        linked = link.link([compile_ir(text, triple)], pool_ir.POOL_EXPORTS)
        assert linked.machine == machine
        assert set(linked.entries) == set(pool_ir.POOL_EXPORTS)
        assert linked.fixups == ()
        assert linked.writable == linked.size


def patched(kind: int, instruction: int, place: int, target: int) -> int:
    """The AArch64 instruction after relocation."""
    image = bytearray(0x20000)
    struct.pack_into("<I", image, place, instruction)
    patch = relocate.KINDS["aarch64"][kind].patch
    assert patch is not None
    patch(image, place, target)
    return struct.unpack_from("<I", image, place)[0]


@pytest.mark.parametrize(
    ("kind", "before", "place", "target", "after"),
    [
        (283, 0x94000000, 0x100, 0x200, 0x94000040),  # bl +0x100
        (283, 0x94000000, 0x200, 0x100, 0x97FFFFC0),  # bl -0x100
        (282, 0x14000000, 0x100, 0x104, 0x14000001),  # b +4
        (275, 0x90000000, 0x1010, 0x3FF8, 0xD0000000),  # adrp x0, two pages on
        (275, 0x90000000, 0x3010, 0x1000, 0xD0FFFFE0),  # adrp x0, two pages back
        (277, 0x91000000, 0x1010, 0x3FF8, 0x913FE000),  # add x0, x0, 0xff8
        (286, 0xF9400000, 0x1010, 0x3FF8, 0xF947FC00),  # ldr x0, [x0, 0xff8]
        (299, 0x3DC00000, 0x1010, 0x3FF0, 0x3DC3FC00),  # ldr q0, [x0, 0xff0]
        (285, 0xBD400000, 0x1010, 0x3004, 0xBD400400),  # ldr s0, [x0, 4]
        (280, 0x54000000, 0x100, 0x80, 0x54FFFC00),  # b.eq -0x80
    ],
)
def test_aarch64_instructions(kind, before, place, target, after):
    assert hex(patched(kind, before, place, target)) == hex(after)


def test_aarch64_refuses_what_does_not_fit():
    with pytest.raises(DeviceError, match="not 8-byte aligned"):
        patched(286, 0xF9400000, 0, 0x104)
    with pytest.raises(DeviceError, match="does not fit"):
        patched(279, 0x36000000, 0, 0x10000)


def test_objects_find_their_symbols_in_each_other(compile_ir):
    twice = (
        "declare hidden i64 @once(i64)\ndefine hidden i64 @twice(i64 %x) {\n %y = call i64 @once(i64 %x)\n"
    )
    twice += " %z = add i64 %y, %y\n ret i64 %z\n}"
    local = "define internal i64 @own(i64 %x) noinline {\n %y = add i64 %x, "
    once = local + "3\n ret i64 %y\n}\n"
    once += "define hidden i64 @once(i64 %x) {\n %y = call i64 @own(i64 %x)\n ret i64 %y\n}"
    image = link.link([compile_ir(twice), compile_ir(once)], ["twice"])
    mapping = mapped(image)
    double = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(mapping.base + image.entries["twice"])
    assert double(4) == 14
    with pytest.raises(DeviceError, match="symbol 'once' is defined twice"):
        link.link([compile_ir(once), compile_ir(once)], ["once"])
    with pytest.raises(DeviceError, match="undefined symbol 'once'"):
        link.link([compile_ir(twice)], ["twice"])
