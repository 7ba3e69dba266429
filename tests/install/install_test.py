"""Installs the client library into a temporary prefix, and builds a project of its own with it, both ways.

The public headers must need nothing that a caller does not have: no protobuf, no logging library, no file of this repository.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BUILD, COMPILER, CMAKE = sys.argv[1:4]
PROJECT = pathlib.Path(__file__).parent / "project"
ALLOWED = re.compile(r'#include [<"](quorate/|boost/|tl/expected.hpp|[a-z_]+[>"])')


def run(*command, **more):
    print("+", *command, flush=True)
    return subprocess.run([str(part) for part in command], check=True, **more)


def check_headers(include):
    headers = sorted(include.rglob("*.h"))
    assert len(headers) > 10, headers
    for header in headers:
        for line in header.read_text().splitlines():
            if line.startswith("#include"):
                assert ALLOWED.match(line), f"{header.name}: {line}"


def answer(program):
    """Without a cluster the program says so: it was compiled, linked and started."""
    result = run(program, "127.0.0.1:1", stdout=subprocess.PIPE, text=True)
    assert result.stdout.startswith("CANNOT_CONNECT"), result.stdout


def with_cmake(prefix, work):
    run(CMAKE, "-S", PROJECT, "-B", work, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={COMPILER}",
        "-DCMAKE_BUILD_TYPE=Debug", stdout=subprocess.DEVNULL)
    run(CMAKE, "--build", work)
    answer(work / "hello")


def with_pkg_config(prefix, work):
    if shutil.which("pkg-config") is None:
        print("SKIPPED: no pkg-config on this machine")
        return
    pc = next(prefix.rglob("quorate.pc"))
    flags = run("pkg-config", "--cflags", "--libs", "quorate", stdout=subprocess.PIPE, text=True,
                env=os.environ | {"PKG_CONFIG_PATH": str(pc.parent)}).stdout.split()
    run(COMPILER, PROJECT / "hello.cc", *flags, "-o", work / "hello_pc")
    answer(work / "hello_pc")


def main():
    with tempfile.TemporaryDirectory() as directory:
        prefix = pathlib.Path(directory) / "prefix"
        work = pathlib.Path(directory) / "work"
        run(CMAKE, "--install", BUILD, "--prefix", prefix, "--component", "client", stdout=subprocess.DEVNULL)
        check_headers(prefix / "include")
        # Elsewhere than where it was installed: nothing may point back here.
        moved = prefix.rename(pathlib.Path(directory) / "moved")
        with_cmake(moved, work)
        with_pkg_config(moved, work)
    print("install: ok")


main()
