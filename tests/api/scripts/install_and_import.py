"""Installs a package with pip in the middle of the run, as many scripts do, and imports it."""
import subprocess
import sys
import zipfile

with zipfile.ZipFile("/tmp/late-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("late.py", "words = 'installed while the script runs'\n")
    wheel.writestr("late-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    wheel.writestr("late-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("late-1.0.dist-info/RECORD", "")
subprocess.check_call([sys.executable, "-m", "pip", "install", "--no-index", "-q", "/tmp/late-1.0-py3-none-any.whl"])

import late

print(late.words)
