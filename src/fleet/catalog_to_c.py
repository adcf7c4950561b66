"""Turns the catalogue into the rows of two C tables: catalog_to_c.py types.csv prices.csv OUT."""
import csv
import sys


def rows(path):
    with open(path) as source:
        return list(csv.DictReader(line for line in source if not line.startswith("#")))


def market_rows(prices, scale):
    """The prices of one type by region; 'scale' turns EC2's into those of its ml. name."""
    return ['    {{ "{}", {:.9g}, {}, {} }},\n'.format(
        p["region"], float(p["usd_hour"]) * scale,
        "{:.6g}".format(float(p["spot_usd_hour"]) * scale) if p["spot_usd_hour"] else -1,
        p["interrupted"] or 0) for p in prices]


def main():
    types, by_type, out = rows(sys.argv[1]), {}, []
    for price in rows(sys.argv[2]):
        by_type.setdefault(price["type"], []).append(price)
    for row in types:
        prices = by_type.get(row["type"], [])
        home = next((float(p["usd_hour"]) for p in prices if p["region"] == "us-east-1"), 0)
        out.append((row["type"], row, home, prices, 1))
        if row["ml"] == "1":
            ml = float(row["ml_usd_hour"] or 0)
            out.append(("ml." + row["type"], row, ml, prices, ml / home if home else 0))
    out.sort(key=lambda entry: entry[0].encode())
    with open(sys.argv[3], "w") as f:
        f.write("static const struct instance_market markets[] = {\n")
        offset = []
        count = 0
        for _, _, usd_hour, prices, scale in out:
            lines = market_rows(prices, scale) if usd_hour and scale else []
            offset.append((count, len(lines)))
            count += len(lines)
            f.writelines(lines)
        f.write("};\n\nstatic const struct instance_type types[] = {\n")
        for (name, row, usd_hour, _, _), (at, size) in zip(out, offset):
            f.write('    {{ "{}", {vcpus}, {memory_gib}, "{accelerator}", {accelerators}, {accelerator_gib}, '
                    '{network_gbps}, {nvme_gb}, "{arch}", {:.9g}, markets + {}, {} }},\n'.format(
                        name, usd_hour or -1, at, size, **row))
        f.write("};\n")


main()
