"""Files that would do something, or cost everything, if they were unpickled: refused in one sentence, nothing done."""

from __future__ import annotations

import io
import pickle
import re
import struct
import sys
import time
import zipfile
import zlib

import pytest
import torch

from soundguide_core.checkpoints import safe_pickle
from soundguide_core.common.errors import InputError

MOST_SEC = 5  # of the processor, so that a busy machine fails nothing
CANARY = "canary"

# Pickles by hand


def text(x: str) -> bytes:
    return b"X" + struct.pack("<I", len(x.encode())) + x.encode()


def number(x: int) -> bytes:
    data = x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(function: bytes, *args: bytes) -> bytes:
    return function + tuple_of(*args) + b"R"


def file(*body: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + b"".join(body) + b"."


def bytes_(x: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(x)) + x


TOUCH = f"touch {CANARY}"
WRITE = f"open('{CANARY}','w').close()"
OS_SYSTEM = call(name("os", "system"), text(TOUCH))
NOTHING = b"N"


class Bomb:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


FLOATS = name("torch", "FloatStorage")
FOUR = number(4)


def storage_id(kind=FLOATS, key="0", numel=FOUR, last=b"") -> bytes:
    return tuple_of(text("storage"), kind, text(key), text("cpu"), numel, last) + b"Q"


def tensor(storage=None, offset=0, shape=(4,), stride=(1,)) -> bytes:
    numbers = [tuple_of(*map(number, values)) for values in (shape, stride)]
    args = (storage or storage_id(), number(offset), *numbers, b"\x89", call(name("collections", "OrderedDict")))
    return call(name("torch._utils", "_rebuild_tensor_v2"), *args)


MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
MACHINE = file(b"}", text("little_endian"), b"\x88s")


PROTOCOL = number(1001)
ZEROS = tensor()
ZERO_DATA = struct.pack("<q", 4) + bytes(16)


def legacy(value=ZEROS, keys=("0",), data=ZERO_DATA, protocol=PROTOCOL, machine=MACHINE) -> bytes:
    listed = b"](" + b"".join(map(text, keys)) + b"e"
    return MAGIC + file(protocol) + machine + file(value) + file(listed) + data


def nested(blob: bytes) -> bytes:
    """A plain pickle with a torch file in it, as NVIDIA's files have them."""
    return file(tensor(call(name("torch.storage", "_load_from_bytes"), bytes_(blob))))


def archive(*entries, change=None, **options) -> bytes:
    """A zip of (name, contents) pairs; change(info) edits each entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as zipped:
        for entry_name, contents in entries:
            info = zipfile.ZipInfo(entry_name)
            info.compress_type = options.get("compression", zipfile.ZIP_STORED)
            if change:
                change(info)
            zipped.writestr(info, contents)
    return out.getvalue()


def torch_zip(value=ZEROS, *more, data=bytes(16), **options) -> bytes:
    return archive(("a/data.pkl", file(value)), ("a/data/0", data), *more, **options)


def patched(data: bytes, find: bytes, put: bytes, which: int = 0) -> bytes:
    """data with the which-th occurrence of find overwritten"""
    at = [match.start() for match in re.finditer(re.escape(find), data)][which]
    return data[:at] + put + data[at + len(put) :]


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def persistence(state: bytes, source: str = WRITE) -> bytes:
    meta = b"}(" + text("type") + text("class") + text("version") + b"K\x06" + text("module_src") + text(source)
    meta += text("class_name") + text("Generator") + text("state") + state + b"u"
    return call(name("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def deep(opening: bytes, closing: bytes, levels: int = 50_000) -> bytes:
    return file(opening * levels + NOTHING + closing * levels)


def laughs(levels: int = 40) -> bytes:
    """Each list holds the one before it ten times."""
    body = b"]\x94"
    for i in range(levels):
        body += b"](" + b"j" + struct.pack("<I", i) + (b"h" + bytes([i])) * 9 + b"e\x94"
    return file(body)


def copies(function: bytes, of: bytes, times: int = 30_000) -> bytes:
    """One large value, handed many times to something that copies it."""
    return file(b"](" + of + b"q\x00" + function + b"q\x01" + (b"h\x01h\x00\x85R") * times + b"e")


LARGE_LIST = b"](" + b"K\x01" * 20_000 + b"e"
LARGE_DICT = b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(20_000)) + b"u"
LARGE_META = b"}(" + text("class_name") + text("G") + text("state") + LARGE_DICT + b"u"
F4 = call(name("numpy", "dtype"), text("f4"), b"\x89", b"\x88")
OBJECTS = call(name("numpy", "dtype"), text("O8"), b"\x89", b"\x88")
EMPTY_ARRAY = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85", bytes_(b"b"))
FROM_BUFFER = name("numpy.core.numeric", "_frombuffer")


def array(length: int, data: bytes, dtype: bytes = F4) -> bytes:
    """The pickle of an array of one axis."""
    return EMPTY_ARRAY + tuple_of(b"K\x01", number(length) + b"\x85", dtype, b"\x89", data) + b"b"


FROM_TYPE = name("torch._tensor", "_rebuild_from_type_v2")
CALLS = {
    "os.system": OS_SYSTEM,
    "posix.system": call(name("posix", "system"), text(TOUCH)),
    "nt.system": call(name("nt", "system"), text(TOUCH)),
    "builtins.eval": call(name("builtins", "eval"), text(WRITE)),
    "builtins.exec": call(name("builtins", "exec"), text(WRITE)),
    "__builtin__.eval": call(name("__builtin__", "eval"), text(WRITE)),
    "builtins.open": call(name("builtins", "open"), text(CANARY), text("w")),
    "builtins.__import__": call(name("builtins", "__import__"), text("canary_module")),
    "builtins.getattr": call(name("builtins", "getattr"), name("builtins", "dict"), text("fromkeys")),
    "builtins.map": call(name("builtins", "map"), name("builtins", "eval"), b"]"),
    "builtins.type": call(name("builtins", "type"), text("X"), b")", b"}"),
    "subprocess.Popen": call(name("subprocess", "Popen"), b"](" + text("touch") + text(CANARY) + b"e"),
    "subprocess by stack": call(stack_name("subprocess", "getoutput"), text(TOUCH)),
    "importlib": call(name("importlib", "import_module"), text("canary_module")),
    "runpy": call(name("runpy", "run_module"), text("canary_module")),
    "pickle.loads": call(name("pickle", "loads"), bytes_(pickle.dumps(Bomb(eval, WRITE)))),
    "timeit": call(name("timeit", "timeit"), text(WRITE), text(WRITE)),
    "pty.spawn": call(name("pty", "spawn"), text(TOUCH)),
    "ctypes": call(name("ctypes", "CDLL"), text("libc.so.6")),
    "shutil.rmtree": call(name("shutil", "rmtree"), text(".")),
    "operator": call(name("operator", "attrgetter"), text("system")),
    "torch.load": call(name("torch", "load"), text(CANARY)),
    "torch.hub": call(name("torch.hub", "load"), text("a/b")),
    "torch's own storage type": call(name("torch", "FloatStorage"), number(2**40)),
    "torch.nn module called": call(name("torch.nn.modules.linear", "Linear"), number(2**20), number(2**20)),
    "numpy.load": call(name("numpy", "load"), text(CANARY)),
    "numpy's runstring": call(name("numpy.testing._private.utils", "runstring"), text(WRITE), b"}"),
    "a package's function": call(name("pip", "main"), b"]"),
    "a module of the file's own": call(name("canary_module", "plant"), text(CANARY)),
    "__main__": call(name("__main__", "plant")),
    "copyreg": call(name("copyreg", "_reconstructor"), name("os", "system"), name("builtins", "object"), NOTHING),
    "codecs": call(name("_codecs", "encode"), text("x"), text("zip")),
    "codecs decode": call(name("_codecs", "decode"), bytes_(b"x"), text("rot13")),
    "partial": call(name("functools", "partial"), name("os", "system"), text(TOUCH)),
    "a dotted name": call(stack_name("collections", "OrderedDict.fromkeys"), b"]"),
    "through globals": call(stack_name("torch.storage", "_load_from_bytes.__globals__"), b"]"),
    "a longer name": call(name("evil_torch_utils.persistence", "_reconstruct_persistent_obj"), b"}"),
    "a name's look-alike": call(stack_name("οs", "system"), text(TOUCH)),
    "a name with a space": call(stack_name("os ", "system"), text(TOUCH)),
    "a name with escapes": call(stack_name("\x1b[2J", "system"), text(TOUCH)),
    "a very long name": call(stack_name("a" * 100_000, "b"), text(TOUCH)),
    "a name of numbers": b"K\x01K\x02\x93)R",
    "a call of a text": text("os.system") + tuple_of(text(TOUCH)) + b"R",
    "a call without a tuple": name("collections", "OrderedDict") + text("x") + b"R",
    "a maker's wrong arguments": call(name("collections", "OrderedDict"), b"K\x01"),
    "a new OrderedDict's cousin": name("os", "_Environ") + b")\x81}b",
    "new of a maker": name("torch", "Size") + b")\x81",
    "a state for a class": name("collections", "OrderedDict") + b"}b",
    "a tensor of a type": call(FROM_TYPE, name("os", "system"), NOTHING, b")", b"}"),
    "a tensor of a maker": call(FROM_TYPE, name("builtins", "set"), NOTHING, b")", b"}"),
    "persistence with a bomb": persistence(b"}" + text("x") + OS_SYSTEM + b"s"),
    "persistence without a state": persistence(NOTHING),
    "persistence's args": persistence(b"}" + text("_init_kwargs") + b"K\x01s"),
}  # fmt: skip
HOSTILE = {
    **{what: file(body) for what, body in CALLS.items()},
    "os.system in protocol 0": pickle.dumps(Bomb(eval, WRITE), protocol=0),
    "os.system in protocol 4": pickle.dumps(Bomb(eval, WRITE), protocol=4),
    "os.system in an archive": torch_zip(OS_SYSTEM),
    "os.system in an old torch file": legacy(OS_SYSTEM),
    "os.system in the machine's description": legacy(machine=file(OS_SYSTEM)),
    "os.system in the storage keys": MAGIC + file(number(1001)) + MACHINE + file(tensor()) + file(OS_SYSTEM),
    "os.system in a nested file": nested(legacy(OS_SYSTEM)),
    "os.system in a nested file's head": nested(legacy(storage_id(), machine=file(OS_SYSTEM))),
    # opcodes
    **{
        f"opcode {what}": file(body)
        for what, body in {
            "INST": b"(" + text(TOUCH) + b"ios\nsystem\n",
            "OBJ": b"(" + name("os", "system") + text(TOUCH) + b"o",
            "EXT1": b"\x82\x01",
            "EXT2": b"\x83\x01\x00",
            "EXT4": b"\x84\x01\x00\x00\x00",
            "PERSID": b"Pcanary\n",
            "BINPERSID": text("canary") + b"Q",
            "NEXT_BUFFER": b"\x97",
            "READONLY_BUFFER": bytes_(b"x") + b"\x98",
            "unknown": b"\xff",
        }.items()
    },
    "protocol 9": file(NOTHING, protocol=9),
    # damage
    "no STOP": b"\x80\x02N",
    "nothing on the stack": file(),
    "values left over": file(b"NN"),
    "a mark left over": file(b"(N"),
    "no mark": file(b"t"),
    "a tuple of nothing": file(b"\x87"),
    "a pop through a mark": file(b"]N(a"),
    "no such memo": file(b"h\x07"),
    "an odd dict": file(b"}(Nu"),
    "items of a number": file(b"K\x01(NNu"),
    "values for a number": file(b"K\x01(Ne"),
    "a set of a list": file(b"\x8f(]\x90"),
    "text that is not UTF-8": file(b"X\x01\x00\x00\x00\xff"),
    "a name without an end": b"\x80\x02c" + b"a" * 1000,
    "after its end": file(NOTHING) + b"more",
    # sizes that are not there
    "bytes of an exabyte": file(b"\x8e" + struct.pack("<Q", 2**60)),
    "text of 4 GB": file(b"X" + struct.pack("<I", 2**32 - 1)),
    "a frame of an exabyte": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"\x8e" + struct.pack("<Q", 2**63),
    "a negative number's length": file(b"\x8b" + struct.pack("<i", -5) + b"12345"),
    "a number of a million digits": file(b"\x8b" + struct.pack("<i", 400_000) + b"\x7f" * 400_000),
    # keys
    "a list as a key": file(b"}]Ns"),
    "a colliding key": file(b"}" + number(2**61 - 1) + b"Ns"),
    # itself
    "a list that holds itself": file(b"]\x94h\x00a"),
    "a dict that holds itself": file(b"}\x94K\x01h\x00s"),
    "a tuple that holds itself": file(b"]\x94h\x00\x85a"),
    "a record that holds itself": file(name("a", "B") + b")\x81\x94}" + text("x") + b"h\x00sb"),
    "persistence that holds itself": file(b"}q\x00" + text("x") + persistence(b"}" + text("m") + b"h\x00s") + b"s"),
    # cost
    "deep lists": deep(b"]", b"a"),
    "deep tuples": deep(b"", b"\x85"),
    "deep dicts": deep(b"}K\x01", b"s"),
    "deep records": deep(name("a", "B") + b")\x81", b"b"),
    "lists that unfold": laughs(),
    "steps without end": file(b"N\x85" * 300_000),
    "copies of a list": copies(name("torch", "Size"), LARGE_LIST),
    "copies of a dict": copies(name("collections", "OrderedDict"), LARGE_DICT),
    "copies of a set": copies(name("builtins", "set"), LARGE_LIST),
    "copies of a state": copies(name("torch_utils.persistence", "_reconstruct_persistent_obj"), LARGE_META),
    "copies of a text": file(b"](" + text("x" * 200_000) + b"q\x00" + name("_codecs", "encode") + b"q\x01"
                             + (b"h\x01h\x00" + text("latin1") + b"\x86R") * 3000 + b"e"),
    # tensors
    **{
        f"{where}: {what}": wrap(body)
        for where, wrap in (("archive", torch_zip), ("old torch file", legacy))
        for what, body in {
            "offset beyond": tensor(offset=1),
            "negative offset": tensor(offset=-1),
            "shape beyond": tensor(shape=(5,)),
            "stride beyond": tensor(stride=(2,)),
            "negative stride": tensor(offset=3, stride=(-1,)),
            "negative shape": tensor(shape=(-4,)),
            "repeated without end": tensor(shape=(2**40,), stride=(0,)),
            "repeated a million times": tensor(shape=(2**18 + 1, 4), stride=(0, 1)),
            "shape overflows": tensor(shape=(2**40, 2**40), stride=(0, 0)),
            "shape and stride differ": tensor(shape=(2, 2)),
            "many axes": tensor(shape=(1,) * 5000, stride=(1,) * 5000),
            "storage of a terabyte": tensor(storage_id(numel=number(2**40))),
            "negative storage": tensor(storage_id(numel=number(-4))),
            "storage of no length": tensor(storage_id(numel=NOTHING)),
            "storage of no type": tensor(storage_id(kind=NOTHING)),
            "storage of a program": tensor(storage_id(kind=name("os", "system"))),
            "storage of another type": tensor(storage_id(kind=name("torch", "QInt8Storage"))),
            "two views of one key": tuple_of(tensor(), tensor(storage_id(numel=number(2)), shape=(2,))),
            "no storage": tensor(NOTHING),
            "a view of a storage": tensor(storage_id(last=tuple_of(text("v"), number(0), number(2)))),
        }.items()
    },
    "a key that leads away": torch_zip(tensor(storage_id(key="../../../etc/passwd"))),
    "an absolute key": torch_zip(tensor(storage_id(key="/etc/passwd"))),
    "old file: other keys": legacy(keys=("1",)),
    "old file: keys twice": legacy(keys=("0", "0")),
    "old file: keys that unfold": MAGIC + file(number(1001)) + MACHINE + file(tensor()) + laughs(),
    "old file: another length": legacy(data=struct.pack("<q", 3) + bytes(16)),
    "old file: cut short": legacy()[:-3],
    "old file: goes on": legacy() + b"more",
    "old file: another protocol": legacy(protocol=number(1002)),
    "old file: protocol is a tensor": legacy(protocol=tensor()),
    "old file: big-endian": legacy(machine=file(b"}" + text("little_endian") + b"\x89s")),
    # torch files within pickles
    "nested: an archive": nested(torch_zip()),
    "nested: a pickle": nested(file(NOTHING)),
    "nested: a program": nested(WRITE.encode()),
    "nested: no storage": nested(legacy()),
    "nested twice": nested(legacy(call(name("torch.storage", "_load_from_bytes"), bytes_(legacy(storage_id()))))),
    "nested: cut short": nested(legacy(storage_id())[:-3]),
    "nested: a number": file(tensor(call(name("torch.storage", "_load_from_bytes"), b"K\x01"))),
    # arrays
    "an array of objects": file(array(1, b"]" + OS_SYSTEM + b"a", OBJECTS)),
    "a type of texts": file(call(name("numpy", "dtype"), text("U9" * 9), b"\x89", b"\x88")),
    "an array without data": file(array(2**40, bytes_(b""))),
    "an array of negative size": file(array(-1, bytes_(b"1234"))),
    "an array that is not whole": file(EMPTY_ARRAY),
    "an array of another class": file(EMPTY_ARRAY.replace(b"cnumpy\nndarray", b"cos\nsystem")),
    "a scalar that is not whole": file(call(name("numpy.core.multiarray", "scalar"), F4, bytes_(b"12"))),
    "copies of an array": file(b"](" + bytes_(bytes(800_000)) + b"q\x00" + F4 + b"q\x01"
                               + call(FROM_BUFFER, b"h\x00", b"h\x01", number(200_000) + b"\x85", text("C")) * 200
                               + b"e"),
    # archives
    "an archive of something else": archive(("readme.txt", b"hello")),
    "an empty archive": archive(),
    "two pickles": torch_zip(NOTHING, ("b/data.pkl", file(NOTHING))),
    "a TorchScript program that asks for a call": torch_zip(
        name("__torch__.net", "Net") + b")\x81}" + text("weight") + OS_SYSTEM + b"sb", ("a/code/net.py", WRITE)
    ),
    "compressed beside a program's code": torch_zip(NOTHING, ("a/coded", WRITE * 9), compression=zipfile.ZIP_DEFLATED),
    "big-endian": torch_zip(NOTHING, ("a/byteorder", b"big")),
    "a storage is missing": archive(("a/data.pkl", file(tensor()))),
    "a storage is short": torch_zip(data=bytes(12)),
    "up and away": torch_zip(NOTHING, ("a/../../canary", WRITE)),
    "an absolute entry": torch_zip(NOTHING, ("/canary", WRITE)),
    "a drive": torch_zip(NOTHING, ("C:/canary", WRITE)),
    "a backslash": torch_zip(NOTHING).replace(b"a/data/0", b"a\\data/0"),
    "a link": torch_zip(tensor(), ("a/.link", b"/etc/passwd"), change=link),
    "a bomb": torch_zip(tensor(storage_id(numel=number(2**24))), data=bytes(2**26), compression=zipfile.ZIP_DEFLATED),
    "encrypted": patched(torch_zip(), b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    "a wrong checksum": torch_zip(data=b"0123456789abcdef").replace(b"0123456789abcdef", b"0123456789abcdeX"),
    "cut short": torch_zip()[:-30],
    "cut at the directory": torch_zip()[:100],
    "directory beyond": torch_zip()[:-6] + struct.pack("<I", 2**31)[:4] + b"\0\0",
    "more entries than there are": torch_zip()[:-12] + struct.pack("<H", 60000) + torch_zip()[-10:],
    "zip64 that is not there": torch_zip()[:-6] + b"\xff\xff\xff\xff\0\0",
    "another local name": patched(torch_zip(), b"a/data/0", b"a/data/1"),
    # something else
    "a web page": b"<!DOCTYPE html><html>404</html>",
    "a git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "gzip": b"\x1f\x8b" + bytes(100),
    "text": b"import os; " + WRITE.encode(),
    "one byte": b"\x80",
    "zeros": bytes(1000),
    "nothing": b"",
}  # fmt: skip


def overlapping() -> bytes:
    """Forty entries of the directory that all point at the same megabyte."""
    data = bytes(2**20)
    one = archive(("a/data/0", data))
    local, entry = one[: one.index(b"PK\x01\x02")], one[one.index(b"PK\x01\x02") : -22]
    names = [b"a/data/%c" % (48 + i) for i in range(40)]
    directory = b"".join(entry.replace(b"a/data/0", n) for n in names)
    return local + directory + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 40, 40, len(directory), len(local), 0)


def twice() -> bytes:
    data = torch_zip(NOTHING, ("a/data/1", bytes(16)))
    return data.replace(b"a/data/1", b"a/data/0")


HOSTILE["entries that overlap"] = overlapping()
HOSTILE["the same name twice"] = twice()
PLANT = "def plant(*args):\n    open('canary', 'w').close()\nplant()\n"


def test_there_are_enough():
    assert len(HOSTILE) >= 150


HARSH = "whom you trust"
DAMAGED = ("offset beyond", "shape beyond", "deep", "unfold", "steps", "copies", "entries", "cut", "opcode EXT")


@pytest.mark.parametrize("what", HOSTILE)
def test_harsh_words_only_where_something_asks_to_run(tmp_path, what):
    (tmp_path / "a.pt").write_bytes(HOSTILE[what])
    with pytest.raises(InputError) as error:
        safe_pickle.read(tmp_path / "a.pt")
    asks = "asks for" in error.value.cause and "memory" not in error.value.cause
    assert (HARSH in error.value.remedy) == asks
    assert asks or not ("os.system" in what or "eval" in what)
    assert not (asks and any(part in what for part in DAMAGED))


@pytest.mark.parametrize("what", HOSTILE)
def test_refused_and_nothing_done(tmp_path, monkeypatch, what):
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "canary_module.py").write_text(PLANT)
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = here / "a.pt"
    path.write_bytes(HOSTILE[what])
    modules, started = set(sys.modules), time.process_time()
    with pytest.raises(InputError) as error:
        safe_pickle.read(path)
    assert time.process_time() - started < MOST_SEC
    for sentence in (error.value.cause, error.value.remedy):
        assert sentence.endswith(".") and sentence.isprintable() and len(sentence) < 400
    assert [p.name for p in here.iterdir()] == ["a.pt"] and path.read_bytes() == HOSTILE[what]
    assert not {"canary_module", "pip", "runpy", "pty"} & (set(sys.modules) - modules)


@pytest.mark.parametrize("what", ["os.system", "builtins.eval", "a module of the file's own"])
def test_the_canary_lives(tmp_path, monkeypatch, what):
    """The same files do plant it where they are unpickled."""
    (tmp_path / "canary_module.py").write_text(PLANT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    pickle.loads(HOSTILE[what])  # noqa: S301
    sys.modules.pop("canary_module", None)
    assert (tmp_path / CANARY).exists()


def test_what_the_files_are_made_of_is_readable(tmp_path):
    """The parts that the hostile files twist are whole by themselves."""
    whole = {"zip": torch_zip(), "legacy": legacy(), "nested": nested(legacy(storage_id()))}
    whole["array"] = file(array(2, bytes_(bytes(8))))
    for what, data in whole.items():
        (tmp_path / what).write_bytes(data)
        assert not safe_pickle.read(tmp_path / what).any()
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    assert zlib.crc32(b"") == 0 and safe_pickle.read(tmp_path / "a.pt")["a"].shape == (2,)


def test_nvidias_source_is_read_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.pkl").write_bytes(file(persistence(b"}")))
    found = safe_pickle.read(tmp_path / "n.pkl")
    assert found.class_name == "Generator" and [p.name for p in tmp_path.iterdir()] == ["n.pkl"]
    assert WRITE not in repr(found)


def test_unknown_classes_are_records_that_do_nothing(tmp_path, monkeypatch):
    (tmp_path / "canary_module.py").write_text(PLANT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "n.pkl").write_bytes(file(name("canary_module", "plant"), b")\x81}", text("__class__"), b"K\x01sb"))
    found = safe_pickle.read(tmp_path / "n.pkl")
    assert (found.module, found.name, found.state) == ("canary_module", "plant", {"__class__": 1})
    assert "canary_module" not in sys.modules and not (tmp_path / CANARY).exists()


def test_a_memo_index_costs_nothing(tmp_path):
    (tmp_path / "n.pkl").write_bytes(file(b"Kr" + b"r" + struct.pack("<I", 2**32 - 1)))
    assert safe_pickle.read(tmp_path / "n.pkl") == ord("r")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_a_device_or_to_nothing(tmp_path):
    (tmp_path / "zero.pt").symlink_to("/dev/zero")
    (tmp_path / "gone.pt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.pt").symlink_to(tmp_path / "round.pt")
    for path in ("zero.pt", "gone.pt", "round.pt"):
        with pytest.raises(InputError, match="no file"):
            safe_pickle.read(tmp_path / path)
