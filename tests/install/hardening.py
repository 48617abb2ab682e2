#!/usr/bin/env python3
"""Every program and library of a build is hardened: the commands that compiled it, and the files that came of them.

    hardening.py BUILD_DIRECTORY BUILD_TYPE

Reads compile_commands.json, and each ELF file and each object below the directory. Exit 0: clean; 1: complaints, a line each.
"""
import json
import pathlib
import platform
import re
import struct
import sys

FLAGS = ["-fstack-protector-strong", "-fstack-clash-protection"]
IF_GCC = ["-ftrivial-auto-var-init=zero"]  # clang knows it from 16 on
IF_X86 = ["-fcf-protection=full"]
IF_OPTIMISED = ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"]
IS_X86 = platform.machine() in ("x86_64", "AMD64")

ET_DYN = 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 3, 0x6474e551, 0x6474e552
PF_X, PF_W = 1, 2
DT_NULL, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_TEXTREL, DT_FLAGS, DT_FLAGS_1 = 0, 5, 6, 10, 22, 30, 0x6ffffffb
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 4, 8, 1, 0x08000000
X86_FEATURE_1_AND, IBT, SHSTK = 0xc0000002, 1, 2


class Elf:
    """A 64-bit little-endian ELF file, as far as the loader looks at it."""

    def __init__(self, data):
        self.data = data
        self.type, = struct.unpack_from("<H", data, 16)
        at, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        self.segments = [struct.unpack_from("<IIQQQQQQ", data, at + i * size) for i in range(count)]
        self.sections = list(self._sections())
        self.dynamic = dict(self._dynamic())

    def _sections(self):
        """(name, offset, size) of each."""
        at, = struct.unpack_from("<Q", self.data, 40)
        size, count, names = struct.unpack_from("<HHH", self.data, 58)
        heads = [struct.unpack_from("<IIQQQQ", self.data, at + i * size) for i in range(count)]
        for name, _, _, _, offset, length in heads:
            start = heads[names][4] + name
            yield self.data[start:self.data.index(b"\0", start)], offset, length

    def segment(self, kind):
        """(type, flags, offset, vaddr, paddr, size in file, size in memory, alignment) of the first of a kind, or None."""
        return next((segment for segment in self.segments if segment[0] == kind), None)

    def _dynamic(self):
        place = self.segment(PT_DYNAMIC)
        for at in range(place[2], place[2] + place[5], 16) if place else ():
            tag, value = struct.unpack_from("<QQ", self.data, at)
            if tag == DT_NULL:
                return
            yield tag, value

    def strings(self):
        """The names of the dynamic symbol table."""
        address, size = self.dynamic.get(DT_STRTAB, 0), self.dynamic.get(DT_STRSZ, 0)
        for kind, _, offset, vaddr, _, in_file, *_ in self.segments:
            if kind == PT_LOAD and vaddr <= address < vaddr + in_file:
                start = offset + address - vaddr
                return set(self.data[start:start + size].split(b"\0"))
        return set()

    def x86_features(self):
        at, end = 0, 0
        for name, offset, length in self.sections:
            if name == b".note.gnu.property":
                at, end = offset + 16, offset + length  # behind the note's header and its name, "GNU"
        while at < end:
            kind, size = struct.unpack_from("<II", self.data, at)
            if kind == X86_FEATURE_1_AND:
                return struct.unpack_from("<I", self.data, at + 8)[0]
            at += 8 + (size + 7) // 8 * 8
        return 0


def judge(elf):
    """What is wrong with a program or a library."""
    is_program = elf.segment(PT_INTERP) is not None
    flags, flags_1 = elf.dynamic.get(DT_FLAGS, 0), elf.dynamic.get(DT_FLAGS_1, 0)
    stack = elf.segment(PT_GNU_STACK)
    if elf.type != ET_DYN or (is_program and not flags_1 & DF_1_PIE):
        yield "is not position independent"
    if not elf.segment(PT_GNU_RELRO):
        yield "has no RELRO"
    if not (flags & DF_BIND_NOW or flags_1 & DF_1_NOW):
        yield "binds its symbols lazily"
    if stack is None or stack[1] & PF_X:
        yield "has a stack that can be executed"
    if any(segment[0] == PT_LOAD and segment[1] & PF_X and segment[1] & PF_W for segment in elf.segments):
        yield "has memory that can be written and executed"
    if DT_TEXTREL in elf.dynamic or flags & DF_TEXTREL:
        yield "has relocations in its text"


def judge_symbols(elf, is_optimised):
    """What the compiler puts into every program that has buffers."""
    names = elf.strings()
    if b"__stack_chk_fail" not in names:
        yield "has no stack protector"
    if is_optimised and not any(name.endswith(b"_chk") for name in names):
        yield "has no fortified call"


def judge_object(elf):
    """Programs are marked only when the C library's own objects are, which is up to the distribution; ours can be looked at."""
    if IS_X86 and not any(name.startswith(b".gnu.lto_") for name, _, _ in elf.sections) and elf.x86_features() & (IBT | SHSTK) != IBT | SHSTK:
        yield "is not marked for IBT and SHSTK"


def judge_shipped(elf, is_optimised):
    """What is wrong with a file that users get."""
    yield from judge(elf)
    yield from judge_symbols(elf, is_optimised)


def read_elf(path):
    """The file as an Elf, or nothing when it is none."""
    with path.open("rb") as file:
        if file.read(5) == b"\x7fELF\x02":
            file.seek(0)
            yield Elf(file.read())


def elf_files(build):
    """(path, Elf) of all, objects too."""
    for path in sorted(build.rglob("*")):
        if ("CMakeFiles" in path.parts and path.suffix != ".o") or path.is_symlink() or not path.is_file():
            continue
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name) or "CMakeTmp" in path.parts or "CompilerIdC" in path.parts:
            continue  # CMake's own
        for elf in read_elf(path):
            yield path, elf


def check_commands(build, is_optimised):
    commands = json.loads((build / "compile_commands.json").read_text())
    for entry in commands:
        words = entry["command"].split()
        want = FLAGS + (IF_X86 if IS_X86 else []) + (IF_OPTIMISED if is_optimised else [])
        want += IF_GCC if not any(re.search(r"(^|/)clang[-\d.]*$", word) for word in words[:2]) else []
        missing = [flag for flag in want if flag not in words]
        if not {"-fPIC", "-fPIE", "-fpic", "-fpie"} & set(words):
            missing.append("-fPIE or -fPIC")
        if is_optimised and [word for word in words if "_FORTIFY_SOURCE" in word][-1:] != ["-D_FORTIFY_SOURCE=3"]:
            missing.append("-D_FORTIFY_SOURCE=3 as the last word about it")
        if missing:
            yield "%s is compiled without %s" % (entry["file"], ", ".join(missing))
    if not commands:
        yield "compile_commands.json is empty"


def main(build, build_type):
    build = pathlib.Path(build).resolve()
    is_optimised = build_type != "Debug"
    complaints, count = list(check_commands(build, is_optimised)), 0
    shipped = {"wsgate", "wsctl", "wsbench"}
    for path, elf in elf_files(build):
        count += 1
        is_shipped = path.name in shipped or path.name.startswith("libwsbus.so")
        if path.suffix == ".o":
            wrong = judge_object(elf)
        else:
            wrong = judge_shipped(elf, is_optimised) if is_shipped else judge(elf)
        shipped.discard(path.name)
        complaints += ["%s %s" % (path.relative_to(build), word) for word in wrong]
    complaints += ["there is no %s" % name for name in sorted(shipped)]
    for complaint in complaints:
        print(complaint)
    print("%d files, %d complaints" % (count, len(complaints)))
    return 1 if complaints or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
