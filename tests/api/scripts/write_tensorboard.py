"""Writes an event log where the platform says, keeps it open to the end, and ends as it is told."""
import argparse
import json
import os

parser = argparse.ArgumentParser()
parser.add_argument("--code", type=int)
folder = json.load(open("/opt/ml/input/config/tensorboardoutputconfig.json"))["LocalPath"]
os.mkdir(folder + "/train")
log = open(folder + "/train/events.out.tfevents.1", "w")
log.write("losses in " + folder)
log.flush()
os._exit(parser.parse_args().code)
