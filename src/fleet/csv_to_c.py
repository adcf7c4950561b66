"""Turns instance_types.csv into the rows of a C table: csv_to_c.py IN OUT."""
import csv
import sys

with open(sys.argv[1]) as source, open(sys.argv[2], "w") as out:
    for row in csv.DictReader(line for line in source if not line.startswith("#")):
        out.write('    {{ "{type}", {vcpus}, {memory_gib}, "{accelerator}", {accelerators}, {price} }},\n'.format(
            price=row["usd_hour"] or "-1", **row))
