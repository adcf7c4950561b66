"""pack.py OUTPUT FILE... - makes the toolkit one executable file.

Compiled modules stand beside the sources: Python takes those if they are of its own version, else the sources.
Times are fixed, so that the same sources give the same bytes."""
import io
import marshal
import os
import struct
import sys
import importlib.util
import zipfile

WHEN = (2024, 1, 1, 0, 0, 0)

# Not as a zip file that Python is given: that goes through runpy, which takes as long as starting Python. -S: what is
# installed on the machine is for the user's script, and looking for it costs as much again.
START = (b'#!/usr/bin/env -S /usr/bin/python3 -S -c "import sys;del sys.argv[0];sys.path[0]=sys.argv[0];'
         b'from sagebrush_toolkit.__main__ import main;main()"\n')


def add(archive, name, data):
    entry = zipfile.ZipInfo(name, WHEN)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def compiled(name, source):
    # Flags 1: checked by the hash of its source, or, as here without bit 2, taken as it is.
    code = compile(source, name, 'exec', dont_inherit=True, optimize=0)
    return importlib.util.MAGIC_NUMBER + struct.pack('<I', 1) + importlib.util.source_hash(source) + marshal.dumps(code)


def main(output, *paths):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, 'w', zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            source = open(path, 'rb').read()
            name = 'sagebrush_toolkit/' + os.path.basename(path)
            add(archive, name, source)
            add(archive, name + 'c', compiled(name, source))
    with open(output, 'wb') as f:
        f.write(START + memory.getvalue())
    os.chmod(output, 0o755)


main(*sys.argv[1:])
